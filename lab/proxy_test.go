package lab

import (
	"net/netip"
	"slices"
	"testing"
)

func TestProxies(t *testing.T) {
	f := mustParse(t, "[[proxy]]\nname = 'redis'\naddress = '198.18.0.2:6379'\nupstream = 'localhost:6379'\n"+
		"[[proxy]]\nlisten = ':80'\nupstream = '[::1]:8080'\n")
	want := []Proxy{
		{Name: "redis", Address: netip.MustParseAddrPort("198.18.0.2:6379"), Upstream: "localhost:6379"},
		{Listen: ":80", Upstream: "[::1]:8080"},
	}
	if got := f.Proxies(); !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
