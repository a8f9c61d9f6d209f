package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
)

// on has a prepared command start on a host: the network of this machine is never touched.
func on(t testing.TB, host *netns.NS, cmd *exec.Cmd) {
	t.Helper()
	nstest.Must(t, host.Do(cmd.Start))
}

// finishOn runs a prepared command on a host.
func finishOn(t testing.TB, host *netns.NS, cmd *exec.Cmd) outcome {
	t.Helper()
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	on(t, host, cmd)
	err := cmd.Wait()
	return outcome{stdout.String(), stderr.String(), statusOf(t, err)}
}

// echo serves on a host: it sends back what comes, until the test ends.
func echo(t testing.TB, host *netns.NS, address string) {
	t.Helper()
	l := nstest.Listen(t, host, address)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(c, c)
				c.Close()
			}()
		}
	}()
}

// probing is how a command calls a probe: env ROLE=probe EXE what...
func probing(t testing.TB, what ...string) []string {
	t.Helper()
	exe, err := os.Executable()
	nstest.Must(t, err)
	return append([]string{"env", testRole + "=" + roleProbe, exe}, what...)
}

// probe is a client: it sends ping to an address, and prints what it has met.
func probe(args []string) int {
	began := time.Now()
	c, err := net.DialTimeout("tcp", args[0], time.Minute)
	if err != nil {
		fmt.Println(errorName(err))
		return 1
	}
	defer c.Close()
	took := time.Since(began)
	reply := make([]byte, 4)
	if _, err = c.Write([]byte("ping")); err == nil {
		_, err = io.ReadFull(c, reply)
	}
	if err != nil {
		fmt.Println(errorName(err))
		return 1
	}
	fmt.Printf("%s from %s in %d ms\n", reply, c.RemoteAddr(), took.Milliseconds())
	return 0
}

// errorName is an error in the kernel's word, where it is one of its.
func errorName(err error) string {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return unix.ErrnoName(errno)
	}
	return err.Error()
}

// resolvVar is the resolv.conf of roleHost.
const resolvVar = "TCPMANGLE_TEST_RESOLV"

// becomeHost plays roleHost: it covers resolv.conf, in a mount namespace that the test has
// made, and goes on as the command.
func becomeHost() {
	err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, "")
	if err == nil {
		err = unix.Mount(os.Getenv(resolvVar), "/etc/resolv.conf", "", unix.MS_BIND, "")
	}
	if err == nil {
		os.Setenv(testRole, roleCommand)
		err = syscall.Exec("/proc/self/exe", os.Args, os.Environ())
	}
	fmt.Println("become a host:", err)
	os.Exit(99)
}

// resolver answers every question for an IPv4 address on a host, with the same one.
func resolver(t testing.TB, host *netns.NS, at string, answer netip.Addr) {
	t.Helper()
	var c net.PacketConn
	nstest.Must(t, host.Do(func() (err error) {
		c, err = net.ListenPacket("udp", at)
		return err
	}))
	t.Cleanup(func() { c.Close() })
	go func() {
		packet := make([]byte, 1500)
		for {
			n, from, err := c.ReadFrom(packet)
			if err != nil {
				return
			}
			c.WriteTo(answered(packet[:n], answer), from)
		}
	}()
}

// answered makes the answer to a question of DNS (RFC 1035, section 4).
func answered(question []byte, a netip.Addr) []byte {
	const header, typeA = 12, 1
	end := header
	for question[end] != 0 {
		end += int(question[end]) + 1
	}
	end += 5 // the root, type, class
	reply := append([]byte{}, question[:end]...)
	binary.BigEndian.PutUint16(reply[2:], 0x8180) // a response, recursion available
	binary.BigEndian.PutUint32(reply[6:], 0)      // no answer, no authority
	binary.BigEndian.PutUint16(reply[10:], 0)     // nothing more
	if binary.BigEndian.Uint16(question[end-4:]) != typeA {
		return reply
	}
	reply[7] = 1
	reply = append(reply, 0xc0, header, 0, typeA, 0, 1, 0, 0, 0, 60, 0, 4)
	return append(reply, a.AsSlice()...)
}

// written is a file in a folder of the test.
func written(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	nstest.Must(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

// A standing is a tcpmangle run that is inline.
type standing struct {
	*exec.Cmd
	stdout strings.Builder
	stderr *bufio.Reader
	said   string // the line in which it told so
}

// stand starts tcpmangle run on a host, and returns once it is inline.
func stand(t testing.TB, host *netns.NS, cmd *exec.Cmd) *standing {
	t.Helper()
	s := &standing{Cmd: cmd}
	cmd.Stdout = &s.stdout
	pipe, err := cmd.StderrPipe()
	nstest.Must(t, err)
	on(t, host, cmd)
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	s.stderr = bufio.NewReader(pipe)
	s.said = s.await(t, "tcpmangle: inline ")
	return s
}

// await reads standard error up to a line that begins so.
func (s *standing) await(t testing.TB, begin string) (line string) {
	t.Helper()
	var read strings.Builder
	for {
		line, err := s.stderr.ReadString('\n')
		read.WriteString(line)
		if strings.HasPrefix(line, begin) {
			return line
		}
		if err != nil {
			t.Fatalf("standard error ends before %q: %v\n%s", begin, s.Wait(), read.String())
		}
	}
}

// end has it end by a signal, and returns what it has left to say.
func (s *standing) end(t testing.TB, sig syscall.Signal) outcome {
	t.Helper()
	nstest.Must(t, s.Process.Signal(sig))
	rest, _ := io.ReadAll(s.stderr)
	status := statusOf(t, s.Wait())
	return outcome{s.stdout.String(), string(rest), status}
}
