package bench

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/tcpmangle/tcpmangle/internal/netns"
)

// A proxy is another program that stands between client and server, on the
// router's address to the client.
type proxy struct {
	cmd  *exec.Cmd
	dir  string // of its configuration
	addr netip.AddrPort
}

// A proxyKind is how a program is told to be such a proxy.
type proxyKind struct {
	program string // looked for on PATH
	port    uint16
	config  string // a text, with listening and upstream address to be put in
	args    func(file string) []string
	env     []string
}

// Toxiproxy has no toxic, and logs errors only; HAProxy has the defaults that
// the mode tcp has.
var (
	toxiproxyKind = proxyKind{
		program: "toxiproxy-server", port: 9001,
		config: `[{"name": "bench", "listen": "%v", "upstream": "%v", "enabled": true}]`,
		args:   func(file string) []string { return []string{"-config", file} },
		env:    []string{"LOG_LEVEL=error"},
	}
	haproxyKind = proxyKind{
		program: "haproxy", port: 9002,
		config: `defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen bench
  bind %v
  server upstream %v
`,
		args: func(file string) []string { return []string{"-db", "-f", file} },
	}
)

// startProxy runs the program in a namespace until close. An error that wraps
// exec.ErrNotFound says that it is not on PATH.
func startProxy(ns *netns.NS, k proxyKind) (*proxy, error) {
	path, err := exec.LookPath(k.program)
	if err != nil {
		return nil, err
	}
	p := &proxy{addr: netip.AddrPortFrom(nearRouter, k.port)}
	if err := p.start(ns, path, k); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", k.program, err), p.close())
	}
	return p, nil
}

func (p *proxy) start(ns *netns.NS, path string, k proxyKind) (err error) {
	if p.dir, err = os.MkdirTemp("", "tcpmangle-bench-"); err != nil {
		return err
	}
	file := filepath.Join(p.dir, "config")
	config := fmt.Sprintf(k.config, p.addr, netip.AddrPortFrom(serverAddr, serverPort))
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return err
	}
	cmd := exec.Command(path, k.args(file)...)
	cmd.Env = append(os.Environ(), k.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := ns.Do(cmd.Start); err != nil {
		return err
	}
	p.cmd = cmd
	return p.wait(ns)
}

// wait waits until the proxy takes connections.
func (p *proxy) wait(ns *netns.NS) error {
	deadline := time.Now().Add(patience)
	for {
		err := ns.Do(func() error {
			conn, err := net.DialTimeout("tcp", p.addr.String(), time.Second)
			if err == nil {
				err = conn.Close()
			}
			return err
		})
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (p *proxy) close() error {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait() // says that it was killed
	}
	return os.RemoveAll(p.dir)
}
