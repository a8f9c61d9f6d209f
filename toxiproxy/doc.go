// Package toxiproxy speaks the HTTP API of Toxiproxy's server, so that a test suite
// that uses it finds its proxies and toxics here: point TOXIPROXY_URL at it.
//
// There is no proxy behind it. A proxy is a way in to the box, through which TCP stays end
// to end, and a toxic is rules for its connections, exact to the segment:
//
//	POST /proxies                 ─► Ways.Add: clients connect here, the box sees it all
//	POST /proxies/redis/toxics    ─► compile.go: toxics → rules ─► Box.Put
//
// So an upstream that refuses really refuses, half-closed connections stay so, and a
// black hole heals. docs/toxiproxy.md lists where that differs from Toxiproxy, on purpose, and the toxics
// that only we have.
package toxiproxy
