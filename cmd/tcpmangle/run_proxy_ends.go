package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/tcpmangle/tcpmangle/inline"
	"github.com/tcpmangle/tcpmangle/lab"
)

// proxyHint is what --proxy is like.
const proxyHint = "--proxy 198.18.0.2:6379=127.0.0.1:6379"

// cutProxy reads ADDRESS=UPSTREAM. Only the host knows whether an address is one of its own.
func cutProxy(text string) (one lab.Proxy, err error) {
	address, upstream, ok := strings.Cut(text, "=")
	if !ok {
		return one, errors.New(`there is no "=" between ADDRESS and UPSTREAM`)
	}
	host, err := cutEnd("ADDRESS", address)
	if err != nil {
		return one, err
	}
	if _, err := cutEnd("UPSTREAM", upstream); err != nil {
		return one, err
	}
	one.Upstream = upstream
	if one.Address, err = netip.ParseAddrPort(address); err == nil && !one.Address.Addr().IsUnspecified() {
		return one, nil
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && host != "localhost" {
		return one, fmt.Errorf("ADDRESS %q is a name; it has to be an IP address, or localhost", host)
	}
	one.Address, one.Listen = netip.AddrPort{}, address
	return one, nil
}

// cutEnd reads HOST:PORT, and says what is wrong with it under the name of its part.
func cutEnd(part, text string) (host string, err error) {
	host, port, err := net.SplitHostPort(text)
	_, isAddress := netip.ParseAddr(strings.Trim(text, "[]"))
	switch {
	case err != nil && (!strings.Contains(text, ":") || strings.HasSuffix(text, "]")), err == nil && port == "":
		return "", fmt.Errorf("%s %q has no port", part, text)
	case err != nil && isAddress == nil:
		return "", fmt.Errorf("%s %q: an IPv6 address stands in brackets, and a port behind it", part, text)
	case err != nil:
		return "", fmt.Errorf("%s %q is not HOST:PORT", part, text)
	}
	if _, err := net.LookupPort("tcp", port); err != nil { // asks no other host
		return "", fmt.Errorf("%s: port %q is not one of 1 to 65535", part, port)
	}
	return host, nil
}

// nameOf is how a proxy was called for.
func nameOf(one lab.Proxy) string {
	switch {
	case one.Name != "":
		return "proxy " + one.Name
	case one.Listen != "":
		return "proxy " + one.Listen + "=" + one.Upstream
	}
	return "proxy " + one.Address.String() + "=" + one.Upstream
}

// resolve finds the addresses of names, for as long as ctx lets it. The upstream decides on the IP
// version.
func resolve(ctx context.Context, one lab.Proxy) (s inline.Service, err error) {
	s.Name, s.Address = one.Name, one.Address
	version := ""
	if one.Address.IsValid() {
		version = versionOf(one.Address.Addr())
	}
	if s.Upstream, err = addressOf(ctx, one.Upstream, version); err != nil {
		return s, err
	}
	s.Upstream = netip.AddrPortFrom(here(s.Upstream.Addr()), s.Upstream.Port())
	if one.Listen != "" {
		s.Listen, err = addressOf(ctx, one.Listen, versionOf(s.Upstream.Addr()))
	}
	return s, err
}

// versionOf is the IP version of an address, as package net has it behind "tcp" and "ip".
func versionOf(a netip.Addr) string {
	if a.Is6() {
		return "6"
	}
	return "4"
}

// here is where who connects to an address gets to: no address, as in ":6379", is this host's
// loopback.
func here(a netip.Addr) netip.Addr {
	if a.IsUnspecified() {
		return loopback(a.Is6())
	}
	return a
}

// loopback is this host's address for itself.
func loopback(v6 bool) netip.Addr {
	if v6 {
		return netip.IPv6Loopback()
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

// addressOf finds the address of HOST:PORT in an IP version, any if it is empty: IPv4 then, if
// there is one. Without a host it is no address, and so is that of the other version, :: for 4.
func addressOf(ctx context.Context, end, version string) (netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(end)
	if err != nil {
		return netip.AddrPort{}, err
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "tcp", service)
	if err != nil {
		return netip.AddrPort{}, err
	}
	at := func(a netip.Addr) netip.AddrPort { return netip.AddrPortFrom(a.Unmap(), uint16(port)) }
	switch a, err := netip.ParseAddr(host); {
	case host == "", err == nil && a.IsUnspecified() && version != "":
		return at(unspecified(version)), nil
	case err == nil && version == "":
		return at(a), nil
	case err == nil && version != versionOf(a.Unmap()):
		return netip.AddrPort{}, &inline.ServiceError{Err: fmt.Errorf("%s is not IPv%s, as the other end is", end, version)}
	}
	all, err := net.DefaultResolver.LookupNetIP(ctx, "ip"+version, host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	for _, a := range all {
		if a.Unmap().Is4() {
			return at(a), nil
		}
	}
	return at(all[0]), nil
}

// unspecified is no address of an IP version, or of IPv4.
func unspecified(version string) netip.Addr {
	if version == "6" {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}
