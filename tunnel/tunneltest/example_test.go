package tunneltest_test

import (
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/tunnel"
	"github.com/tcpmangle/tcpmangle/tunnel/tunneltest"
)

// The test plays both kernels: it sends on one side what should come out on the other.
func ExamplePair() {
	var t *testing.T // of the test function

	near, far := tunneltest.Pair(t)
	go box(near, far) // the code under test

	near.Send(tunnel.Header{}, []byte("a packet"))
	if _, packet, err := far.Receive(time.Second); err != nil || string(packet) != "a packet" {
		t.Errorf("got %q, %v", packet, err)
	}
}

func box(near, far tunnel.Device) { _ = forwardLate(near, far, 0) }
