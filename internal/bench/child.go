package bench

import (
	"errors"
	"fmt"
	"net/rpc"
	"os"
	"os/exec"

	"github.com/tcpmangle/tcpmangle/internal/netns"
)

// A child is an Endpoint process in a namespace, as its parent sees it.
type child struct {
	cmd *exec.Cmd
	rpc *rpc.Client
}

// startChild runs this program again, with the arguments that make it call
// Endpoint. It ends when its standard input does, however we end.
func startChild(ns *netns.NS, args []string) (*child, error) {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := ns.Do(cmd.Start); err != nil {
		return nil, fmt.Errorf("start the load generator: %w", err)
	}
	c := &child{cmd: cmd, rpc: rpc.NewClient(stream{out, in})}
	var count Count
	return c, c.call("Count", Nothing{}, &count) // it serves
}

// call asks the process for something and waits.
func (c *child) call(method string, args, reply any) error {
	err := c.rpc.Call(endpointName+"."+method, args, reply)
	if err != nil {
		return fmt.Errorf("load generator: %w", err)
	}
	return nil
}

func (c *child) count() (n Count, err error) {
	err = c.call("Count", Nothing{}, &n)
	return n, err
}

func (c *child) close() error {
	c.rpc.Close() // ends its standard input
	err := c.cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && !exit.Exited() {
		return nil // an interrupt that was meant for all of us
	}
	return err
}
