package lab

import (
	"net"
	"net/netip"
	"strconv"

	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
)

// A Proxy is a [[proxy]]: a service in front of which tcpmangle run puts the box. A lab
// has no use for it.
type Proxy struct {
	Name     string
	Address  netip.AddrPort // the virtual one; invalid: one is to be chosen
	Listen   string         // HOST:PORT of the host that leads there; "": none
	Upstream string         // HOST:PORT
}

// Proxies are those of the file, in order.
func (f *File) Proxies() []Proxy { return f.proxies }

// Expectations are those of the file in words, in order.
func (f *File) Expectations() (all []string) {
	for _, e := range f.expects {
		all = append(all, e.String())
	}
	return all
}

// readProxy reads one [[proxy]].
func readProxy(t *tomldoc.Table) (p Proxy) {
	p.Name, _ = t.Text("name")
	if v, ok := t.Value("address"); ok {
		text, _ := v.Text()
		var err error
		if p.Address, err = netip.ParseAddrPort(text); err != nil {
			v.Errorf(`%q is not like "198.18.0.2:6379"`, text)
		}
	}
	p.Listen = readEnd(t, "listen")
	p.Upstream = readEnd(t, "upstream")
	if !t.Has("upstream") {
		t.Errorf("", `"upstream" is missing`)
	}
	if !t.Has("address") && !t.Has("listen") {
		t.Errorf("", "has no place: it needs address or listen")
	}
	return p
}

// readEnd reads HOST:PORT.
func readEnd(t *tomldoc.Table, key string) string {
	v, ok := t.Value(key)
	if !ok {
		return ""
	}
	text, ok := v.Text()
	if !ok {
		return ""
	}
	_, port, err := net.SplitHostPort(text)
	if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || n == 0 {
		v.Errorf(`%q is not like "127.0.0.1:6379"`, text)
	}
	return text
}
