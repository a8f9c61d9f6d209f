package client_test

import (
	"context"
	"fmt"
	"log"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/client"
)

// What a test does with an instance that runs in front of Redis.
func ExampleFor() {
	testLosesLastACK := func(t *testing.T) {
		faults := client.For(t) // $TCPMANGLE_API, or the instance of this machine
		faults.Install(`
  [[rule]]
  name   = "lose-last-ack"
  match  = { port = 6379, segment = "last-ack" }
  action = "drop"`)
		// ... what is tested ...
		faults.Await(client.Condition{Rule: "lose-last-ack"})
		faults.Await(client.Condition{
			Filter: client.Filter{Port: "6379", ServerState: "LAST_ACK"},
			Within: client.Duration(5 * time.Second),
		})
	}
	_ = testLosesLastACK
}

// Connections that their server has not closed are reset.
func Example() {
	ctx := context.Background()
	c, err := client.New("")
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	conns, err := c.Connections(ctx, client.Filter{Port: "6379", State: "CLOSE_WAIT"})
	if err != nil {
		log.Fatal(err)
	}
	for _, conn := range conns {
		if _, err := c.Act(ctx, conn.Conn, client.Reset("both")); err != nil {
			log.Print(err) // one that has just ended, perhaps
		}
	}
}

// States as they change, for a second, also of connections that no rule can concern.
func ExampleClient_Events() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c, err := client.New("127.0.0.1:8475")
	if err != nil {
		log.Fatal(err)
	}
	events, err := c.Events(ctx, client.EventFilter{Types: []string{"state"}, All: true})
	if err != nil {
		log.Fatal(err)
	}
	for e, err := range events {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Time, e.Conn, e.Endpoint, e.FromState, e.ClientState, e.ServerState)
	}
}
