package packaging

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/nstest"
)

// The unit starts without rights of root, is inline when the start has returned, puts changed rules
// in force and refuses bad ones, comes back after a kill -9, and undoes everything at its end.
func TestUnit(t *testing.T) {
	m := boot(t)
	before := nstest.Face(t, m.net)
	m.install(t)
	echo(t, m, upstream)

	m.run(t, "systemctl", "start", "tcpmangle")
	c := dial(t, m)
	exchange(t, c, "as it is packaged")
	m.wantStatus(t, "inline at 198.18.0.2:6379 to 127.0.0.1:6379; api /run/tcpmangle/tcpmangle.sock")
	m.wantRights(t)

	t.Run("reload", func(t *testing.T) {
		m.write(t, rulesIn, refusing)
		m.run(t, "systemctl", "reload", "tcpmangle")
		wantRefused(t, m)
		exchange(t, c, "a connection that was there before")
	})

	t.Run("reload of a mistake", func(t *testing.T) {
		m.write(t, rulesIn, strings.Replace(refusing, `"syn"`, `"sin"`, 1))
		if said, err := m.try("systemctl", "reload", "tcpmangle"); err == nil {
			t.Errorf("it is content: %s", said)
		}
		const mistake = rulesIn + `:4:35: rule 1 "refuse": match.segment: unknown segment kind "sin"`
		eventually(t, "the journal has the mistake", func() error {
			said, err := m.try("journalctl", "--unit=tcpmangle", "--output=cat")
			if err == nil && !strings.Contains(said, mistake) {
				err = errors.New(said)
			}
			return err
		})
		m.wantProperty(t, "ActiveState", "active")
		wantRefused(t, m)
	})

	t.Run("kill", func(t *testing.T) {
		m.write(t, rulesIn, "")
		killed := m.property(t, "MainPID")
		m.run(t, "systemctl", "kill", "--signal=KILL", "tcpmangle")
		eventually(t, "it is inline again", func() error {
			if pid := m.property(t, "MainPID"); pid == killed || pid == "0" || m.property(t, "ActiveState") != "active" {
				return fmt.Errorf("main process %s", pid)
			}
			return nil
		})
		exchange(t, dial(t, m), "after the kill")
		m.wantNotes(t, 1)
	})

	m.run(t, "systemctl", "stop", "tcpmangle")
	nstest.SameFace(t, m.net, before)
	m.wantNotes(t, 0)
	m.wantProperty(t, "Result", "success")
}

// What root does beside the unit does not keep it from starting, and the unit knows of it: it undoes
// nothing that a living one needs, and undoes what a killed one has left.
func TestUnitBesideRoot(t *testing.T) {
	m := boot(t)
	before := nstest.Face(t, m.net)
	m.install(t)
	m.write(t, "/none.toml", "")
	for _, step := range []string{
		"tcpmangle exec -f /none.toml -- true",
		"systemctl start tcpmangle",
		"tcpmangle exec -f /none.toml -- true",
		"tcpmangle doctor",
		"tcpmangle rules --api /run/tcpmangle/tcpmangle.sock",
	} {
		m.run(t, strings.Fields(step)...)
	}
	m.write(t, "/etc/systemd/system/other.service",
		"[Service]\nExecStart=/usr/bin/tcpmangle exec -f /none.toml -- sleep infinity\n")
	m.run(t, "systemctl", "daemon-reload")
	m.run(t, "systemctl", "start", "other")
	eventually(t, "root's command has begun", func() error {
		_, err := m.try("pgrep", "--exact", "sleep")
		return err
	})
	m.run(t, "systemctl", "restart", "tcpmangle")
	m.wantNotes(t, 2)
	m.run(t, "systemctl", "kill", "--signal=KILL", "other")
	m.run(t, "systemctl", "stop", "other")
	m.run(t, "systemctl", "restart", "tcpmangle")
	m.wantNotes(t, 1)
	m.run(t, "systemctl", "stop", "tcpmangle")
	m.wantNotes(t, 0)
	nstest.SameFace(t, m.net, before)
}

// With what README.md adds, the unit enters another namespace, and its events are where it may write.
func TestUnitElsewhere(t *testing.T) {
	m := boot(t)
	m.install(t)
	m.run(t, "ip", "netns", "add", "blue")
	m.write(t, "/etc/default/tcpmangle", `ARGS="--netns blue --port 6379 --events /var/log/tcpmangle/events.jsonl"`)
	nstest.Must(t, os.MkdirAll(m.path("/etc/systemd/system/tcpmangle.service.d"), 0o755))
	m.write(t, "/etc/systemd/system/tcpmangle.service.d/override.conf", advice(t, "As a service", "ini"))
	m.run(t, "systemctl", "daemon-reload")
	m.run(t, "systemctl", "start", "tcpmangle")
	if links := m.run(t, "ip", "-netns", "blue", "link"); !strings.Contains(links, "mangle0") {
		t.Errorf("the box is not in the namespace: %s", links)
	}
	m.run(t, "systemctl", "stop", "tcpmangle")
	if links := m.run(t, "ip", "-netns", "blue", "link"); strings.Contains(links, "mangle") {
		t.Errorf("devices are left: %s", links)
	}
	m.read(t, "/var/log/private/tcpmangle/events.jsonl")
}

// A mistake in the files is told by the start, and does not mend itself: there is no second try.
func TestUnitWithMistake(t *testing.T) {
	m := boot(t)
	m.install(t)
	m.write(t, rulesIn, "[[rool]]")
	if said, err := m.try("systemctl", "start", "tcpmangle"); err == nil {
		t.Errorf("it starts: %s", said)
	}
	m.wantProperty(t, "ExecMainStatus", "2")
	m.wantProperty(t, "ActiveState", "failed")
	m.wantProperty(t, "NRestarts", "0")
}

// systemd finds nothing wrong with the unit, and not much that it could do besides its work.
func TestUnitIsSound(t *testing.T) {
	m := boot(t)
	m.install(t)
	if said := m.run(t, "systemd-analyze", "verify", "/usr/lib/systemd/system/tcpmangle.service"); said != "" {
		t.Error(said)
	}
	m.run(t, "systemd-analyze", "security", "--offline=true", "--threshold=30", "/usr/lib/systemd/system/tcpmangle.service")
}

// property is one of the unit's.
func (m *machine) property(t *testing.T, name string) string {
	t.Helper()
	return strings.TrimSpace(m.run(t, "systemctl", "show", "--value", "--property="+name, "tcpmangle"))
}

func (m *machine) wantProperty(t *testing.T, name, want string) {
	t.Helper()
	if got := m.property(t, name); got != want {
		t.Errorf("%s is %q, want %q", name, got, want)
	}
}

func (m *machine) wantStatus(t *testing.T, want string) {
	t.Helper()
	m.wantProperty(t, "StatusText", want)
}

// wantNotes counts the notes of what is to be undone.
func (m *machine) wantNotes(t *testing.T, want int) {
	t.Helper()
	files, err := os.ReadDir(m.path("/run/private/tcpmangle"))
	nstest.Must(t, err)
	got := 0
	for _, f := range files {
		if strings.HasPrefix(f.Name(), "setup-") {
			got++
		}
	}
	if got != want {
		t.Errorf("%d notes of what is to be undone, want %d", got, want)
	}
}

// wantRights holds the process against what its unit promises: no root, two capabilities, no more
// to come.
func (m *machine) wantRights(t *testing.T) {
	t.Helper()
	status := m.read(t, "/proc/"+m.property(t, "MainPID")+"/status")
	const netAdminAndBPF = "0000008000001000"
	for _, want := range []string{"CapEff:\t" + netAdminAndBPF, "CapBnd:\t" + netAdminAndBPF, "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(status, want) {
			t.Errorf("the process has not %q:\n%s", want, status)
		}
	}
	if strings.Contains(status, "Uid:\t0\t") {
		t.Error("the process is root's")
	}
}
