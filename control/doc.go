// Package control lets others look into a running Engine and act on it, over HTTP: what
// docs/api.md describes and package client speaks.
//
//	                   ┌ guard.go      who may call: token, Host, Origin
//	Listen ─► Serve ─► │ routes.go     which call is whose
//	                   └ answer.go     JSON in, JSON out, one shape of error
//	                         │
//	   ┌─────────────┬───────┴──────┬──────────────┬──────────────┬───────────┐
//	connections.go  rules.go     leases.go      events.go      wait.go    metrics.go
//	   │             └─► book.go ◄──┘               └─► hub.go ◄──┘           │
//	   └──────────────────┬──────────────────────────────┴────────────────────┘
//	                engine.Engine: its workers stand still for each answer, shortly
//
// A Book is the rules in force: those of the files and, laid over them, those of
// leases and facades. Nothing here lies on a packet's path, but for events: while somebody
// follows them, workers tell of them. A wait is driven by them too, and asks for no more than
// how connections live and what rules do.
package control
