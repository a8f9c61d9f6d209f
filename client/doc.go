// Package client talks to a running tcpmangle: connections with the states of both
// endpoints, rules and how often they have fired, events as they happen, faults on one
// connection, and waits for a condition.
//
//	c, err := client.New("") // $TCPMANGLE_API, or the instance of this machine
//	conns, err := c.Connections(ctx, client.Filter{Port: "6379", State: "CLOSE_WAIT"})
//	_, err = c.Act(ctx, conns[0].Conn, client.Reset("client"))
//
// In a test, For gives a client whose rules end with the test, also when its process
// is killed:
//
//	faults := client.For(t)
//	faults.Install(`
//	  [[rule]]
//	  name   = "lose-last-ack"
//	  match  = { port = 6379, segment = "last-ack" }
//	  action = "drop"`)
//	... what is tested ...
//	faults.Await(client.Condition{Rule: "lose-last-ack"})
//
// The types of this package are the API's JSON, which docs/api.md describes. A
// Client may be shared by goroutines.
package client
