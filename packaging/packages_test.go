package packaging

import (
	"debug/elf"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/nstest"
)

// largest is the size that the binary may grow to, in bytes, before somebody has to ask why.
const largest = 24 << 20

// built is a file that build.sh has made, by a pattern.
func built(t *testing.T, pattern string) string {
	t.Helper()
	folder := os.Getenv("TCPMANGLE_PACKAGES")
	if folder == "" {
		lacking(t, "TCPMANGLE_PACKAGES does not name the folder where packaging/build.sh has built")
	}
	found, err := filepath.Glob(filepath.Join(folder, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %d files are %s, want one", folder, len(found), pattern)
	}
	return found[0]
}

// install installs the deb on a machine.
func (m *machine) install(t *testing.T) {
	t.Helper()
	m.run(t, "dpkg", "--install", m.take(t, built(t, "*.deb")))
}

// The binary needs nothing but a kernel, and is no larger than it has to be.
func TestBinary(t *testing.T) {
	file := built(t, "tcpmangle")
	binary, err := elf.Open(file)
	nstest.Must(t, err)
	defer binary.Close()
	for _, p := range binary.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the binary has a segment %v: it is not static", p.Type)
		}
	}
	info, err := os.Stat(file)
	nstest.Must(t, err)
	t.Logf("%d bytes", info.Size())
	if info.Size() > largest {
		t.Errorf("the binary has %d bytes, more than %d", info.Size(), largest)
	}
}

// A packaged binary has the version of its package.
func TestVersion(t *testing.T) {
	said, err := output(exec.Command(built(t, "tcpmangle"), "version"))
	nstest.Must(t, err)
	version, err := output(exec.Command("dpkg-deb", "--field", built(t, "*.deb"), "Version"))
	if err != nil {
		lacking(t, err.Error())
	}
	if !regexp.MustCompile(`^tcpmangle ` + regexp.QuoteMeta(strings.TrimSpace(version)) + `\b`).MatchString(said) {
		t.Errorf("the package of %s has %s", version, said)
	}
}

// shipped are files that a package has to have, and their modes.
var shipped = map[string]fs.FileMode{
	"/usr/bin/tcpmangle":                                   0o755,
	"/usr/lib/systemd/system/tcpmangle.service":            0o644,
	"/etc/tcpmangle/rules.toml":                            0o644,
	"/etc/default/tcpmangle":                               0o644,
	"/usr/share/bash-completion/completions/tcpmangle":     0o644,
	"/usr/share/doc/tcpmangle/copyright":                   0o644,
	"/usr/share/doc/tcpmangle/docs/inline.md":              0o644,
	"/usr/share/doc/tcpmangle/examples/last-ack-lost.toml": 0o644,
	"/usr/share/fish/vendor_completions.d/tcpmangle.fish":  0o644,
	"/usr/share/tcpmangle/tcpmangle.schema.json":           0o644,
	"/usr/share/zsh/vendor-completions/_tcpmangle":         0o644,
}

// Both kinds of packages are installed, started, removed with the unit running, and leave
// nothing but, with dpkg, what an administrator has changed; until they are purged.
func TestPackages(t *testing.T) {
	for _, kind := range []struct {
		name, pattern, tool    string
		install, again, remove string
		list, configs          string
		keeps                  bool
		purge                  string
	}{
		{
			name: "deb", pattern: "*.deb", install: "dpkg --install", again: "dpkg --install", remove: "dpkg --remove tcpmangle",
			list: "dpkg-query --listfiles tcpmangle", configs: "dpkg-query --showformat=${Conffiles} --show tcpmangle",
			keeps: true, purge: "dpkg --purge tcpmangle",
		},
		{
			name: "rpm", pattern: "*.rpm", install: "rpm --force-debian --nodeps --install", again: "rpm --force-debian --nodeps --reinstall",
			remove: "rpm --force-debian --erase tcpmangle", list: "rpm --query --list tcpmangle", configs: "rpm --query --configfiles tcpmangle",
		},
	} {
		t.Run(kind.name, func(t *testing.T) {
			m := boot(t)
			face := nstest.Face(t, m.net)
			do := func(call string, args ...string) string { return m.run(t, append(strings.Fields(call), args...)...) }
			file := m.take(t, built(t, kind.pattern))

			do(kind.install, file)
			files := strings.Fields(do(kind.list))
			for path, mode := range shipped {
				m.wantFile(t, files, path, mode)
			}
			if caps := m.run(t, "getcap", "/usr/bin/tcpmangle"); caps != "" {
				t.Errorf("everybody may run a binary with %s", caps)
			}
			configs := do(kind.configs)
			for _, path := range []string{"/etc/tcpmangle/rules.toml", "/etc/default/tcpmangle"} {
				if !strings.Contains(configs, path) {
					t.Errorf("%s is no configuration: %s", path, configs)
				}
			}
			m.wantProperty(t, "ActiveState", "inactive")
			m.wantProperty(t, "UnitFileState", "disabled")

			const ours = "# changed here\n"
			m.write(t, rulesIn, ours)
			m.write(t, "/etc/default/tcpmangle", `ARGS="--port 1 --events /var/log/tcpmangle/events.jsonl"`)
			do("systemctl enable --quiet --now tcpmangle")
			do(kind.again, file)
			if got := m.read(t, rulesIn); got != ours {
				t.Errorf("an update changes the rules to %q", got)
			}
			m.wantProperty(t, "ActiveState", "active")

			do(kind.remove)
			nstest.SameFace(t, m.net, face)
			m.wantProperty(t, "ActiveState", "inactive")
			if kind.keeps {
				if got := m.read(t, rulesIn); got != ours {
					t.Errorf("removed, the rules are %q", got)
				}
				do(kind.purge)
			}
			m.wantGone(t, append(files, "/var/log/tcpmangle", "/var/log/private/tcpmangle",
				"/etc/systemd/system/multi-user.target.wants/tcpmangle.service"))
		})
	}
}

// wantFile fails unless a file is listed, and, if it is one that this machine's dpkg does not
// leave out, is there with its mode, as root's.
func (m *machine) wantFile(t *testing.T, listed []string, path string, mode fs.FileMode) {
	t.Helper()
	if !slices.Contains(listed, path) {
		t.Errorf("%s is not in the package", path)
	}
	info, err := os.Stat(m.path(path))
	if errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(path, "/usr/share/") {
		return
	}
	nstest.Must(t, err)
	if info.Mode().Perm() != mode {
		t.Errorf("%s has mode %v, want %v", path, info.Mode().Perm(), mode)
	}
}

// wantGone fails if something of a package is left, besides folders that others have a part in.
func (m *machine) wantGone(t *testing.T, files []string) {
	t.Helper()
	for _, path := range files {
		info, err := os.Lstat(m.path(path))
		if err == nil && (!info.IsDir() || strings.Contains(path, "tcpmangle")) {
			t.Errorf("%s is left", path)
		}
	}
}
