package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpmangle/tcpmangle/inline"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
)

// Outputs that cannot be written whole: of a full disk.

// smallDisk is a folder on a disk of its own that holds four kilobytes. It is mounted nowhere
// and ends with the test.
func smallDisk(t *testing.T) (folder string) {
	t.Helper()
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	nstest.Must(t, err)
	defer unix.Close(fs)
	nstest.Must(t, unix.FsconfigSetString(fs, "size", "4k"))
	nstest.Must(t, unix.FsconfigCreate(fs))
	disk, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	nstest.Must(t, err)
	t.Cleanup(func() { unix.Close(disk) })
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), disk)
}

const full = "no space left on device\n"

// A lab's report comes whole, and then why an output is not; the status is 2, or the verdict's.
func TestLabOnAFullDisk(t *testing.T) {
	needLab(t)
	for _, row := range []struct {
		args, stderr string
		status       int
	}{
		{"--events /dev/full testdata/exchange.toml", "tcpmangle: testdata/exchange.toml: events: write /dev/full: " + full, 2},
		{"--events /dev/full testdata/never.toml", "tcpmangle: testdata/never.toml: events: write /dev/full: " + full, 1},
		{"--svg /dev/full testdata/exchange.toml", "tcpmangle: svg: write /dev/full: " + full, 2},
		{"--junit /dev/full testdata/exchange.toml", "tcpmangle: junit: write /dev/full: " + full, 2},
		{"--junit /dev/full testdata/never.toml", "tcpmangle: junit: write /dev/full: " + full, 1},
	} {
		t.Run(row.args, func(t *testing.T) {
			t.Parallel()
			o := tcpmangle(t, append([]string{"lab"}, strings.Fields(row.args)...)...)
			o.wants(t, row.status)
			has(t, "report", o.stdout, "states: inferred and kernel's agree")
			if o.stderr != row.stderr {
				t.Errorf("got %q, want %q", o.stderr, row.stderr)
			}
		})
	}
	// What cannot even begin is told before anything has run.
	o := tcpmangle(t, "lab", "--pcap", "/dev/full", "testdata/exchange.toml")
	o.wants(t, 2)
	has(t, "standard error", o.stderr, "tcpmangle: testdata/exchange.toml: capture: write /dev/full: "+full)
	if o.stdout != "" {
		t.Errorf("it has run:\n%s", o.stdout)
	}
}

func TestLabCaptureOnAFullDisk(t *testing.T) {
	needRoot(t)
	t.Parallel()
	file := filepath.Join(smallDisk(t), "out.pcapng")
	o := tcpmangle(t, "lab", "--pcap", file, "testdata/faults.toml")
	o.wants(t, 2)
	has(t, "report", o.stdout, "reset-both", "\nPASS  testdata/faults.toml in ")
	if want := "tcpmangle: testdata/faults.toml: capture: write " + file + ": " + full; o.stderr != want {
		t.Errorf("got %q, want %q", o.stderr, want)
	}
}

// A box in front of a service tells at once that an output has stopped, and goes on; in the end it
// says so again, whatever the status of the command is.
func TestExecOnAFullDisk(t *testing.T) {
	needRoot(t)
	rules := written(t, "rules.toml", "[[rule]]\nname = 'all'\nmatch = { port = 7000 }\naction = 'pass'")
	for _, row := range []struct {
		what   string
		flags  func(*testing.T) []string
		status int // of the command
		want   int
	}{
		{"capture", func(t *testing.T) []string { return []string{"--pcap", filepath.Join(smallDisk(t), "out")} }, 7, 7},
		{"capture", func(t *testing.T) []string { return []string{"--pcap", filepath.Join(smallDisk(t), "out")} }, 0, 2},
		{"events", func(*testing.T) []string { return []string{"--events", "/dev/full", "--events-all"} }, 7, 7},
		{"events", func(*testing.T) []string { return []string{"--events", "/dev/full", "--events-all"} }, 0, 2},
	} {
		t.Run(fmt.Sprintf("%s %d", row.what, row.status), func(t *testing.T) {
			t.Parallel()
			host := nstest.New(t)
			echo(t, host, "127.0.0.1:7000")
			// The command talks until it reads that the file has stopped, and once more.
			said := filepath.Join(t.TempDir(), "stderr")
			stderr, err := os.Create(said)
			nstest.Must(t, err)
			defer stderr.Close()
			talk := strings.Join(probing(t, inline.HostName+":7000"), " ")
			script := fmt.Sprintf("for i in $(seq 200); do %s; grep -q 'it has stopped' %s && break; sleep 0.05; done; %s; exit %d",
				talk, said, talk, row.status)
			cmd := executing(t, append([]string{"-f", rules}, row.flags(t)...), "sh", "-c", script)
			cmd.Stderr = stderr
			on(t, host, cmd)
			status := statusOf(t, cmd.Wait())
			text, err := os.ReadFile(said)
			nstest.Must(t, err)
			if status != row.want {
				t.Errorf("status %d, want %d", status, row.want)
			}
			lines := slices.DeleteFunc(strings.Split(string(text), "\n"), func(l string) bool { return !strings.HasPrefix(l, "tcpmangle: ") })
			if len(lines) != 2 || !strings.HasPrefix(lines[0], "tcpmangle: "+row.what+": write ") ||
				lines[0] != lines[1]+"; it has stopped, all else goes on" {
				t.Errorf("it said\n%s\nof\n%s", strings.Join(lines, "\n"), text)
			}
			has(t, "report", string(text), "rule \"all\" fired ", "\nseed 1\n")
		})
	}
}

// A report that nobody can read is an error, of every command.
func TestFullStandardOutput(t *testing.T) {
	for _, args := range []string{
		"help rules", "help drop", "help lab", "lab --help", "--help", "", "version", "--version", "check testdata/good.toml",
		"check --schema", "play testdata/pass.ladder", "completion bash",
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			out, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
			nstest.Must(t, err)
			defer out.Close()
			var stderr strings.Builder
			cmd := command(t, strings.Fields(args)...)
			cmd.Stdout, cmd.Stderr = out, &stderr
			if status := statusOf(t, cmd.Run()); status != 2 || stderr.String() != "tcpmangle: write /dev/stdout: "+full {
				t.Errorf("status %d, %q", status, stderr.String())
			}
		})
	}
}

// What is not run any more is counted.
func TestInterruptOfSeveral(t *testing.T) {
	needLab(t)
	t.Parallel()
	o := interruptOnce(t, command(t, "lab", "-v", "testdata/exchange.toml", "testdata/long.toml", "testdata/exchange.toml", "testdata/wrong.toml"))
	o.wants(t, 130)
	wantInterrupted(t, o)
	if !strings.HasSuffix(o.stdout, "\n1 passed, 0 failed, 1 interrupted, 2 not run\n") {
		t.Errorf("no sums at the end:\n%s", o.stdout)
	}
}

// A measurement that is interrupted says so by its status, as a lab does.
func TestInterruptOfBench(t *testing.T) {
	needLab(t)
	t.Parallel()
	cmd := command(t, "bench", "--quick")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	nstest.Must(t, cmd.Start())
	for end := time.Now().Add(patience); !hasChild(cmd); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing is measured")
		}
	}
	nstest.Must(t, cmd.Process.Signal(syscall.SIGINT))
	if status := statusOf(t, cmd.Wait()); status != 130 || stderr.String() != interrupted {
		t.Errorf("status %d, %q", status, stderr.String())
	}
}

func hasChild(cmd *exec.Cmd) bool {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", cmd.Process.Pid))
	return slices.ContainsFunc(lists, func(file string) bool {
		list, _ := os.ReadFile(file)
		return len(list) > 0
	})
}
