package engine

import (
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/tcpmangle/tcpmangle/tunnel"
)

// A Steering is how packets get to the worker that has their connection. Both
// directions have to meet there, read from two devices.
type Steering uint8

// The ways of steering.
const (
	// SteerNone: there is one worker, and all packets are its.
	SteerNone Steering = iota
	// SteerProgram: an eBPF program on both devices chooses the queue by a hash
	// that is the same for both directions, and for ICMP errors about them.
	SteerProgram
	// SteerKernel: the kernel chooses by its own symmetric hash, and by the queue
	// that a flow was last written to, which is its worker's. An ICMP error may
	// reach a worker that does not know its connection, and passes.
	SteerKernel
)

// String is the steering as logs write it.
func (s Steering) String() string { return [...]string{"none", "program", "kernel"}[s] }

// steer decides how many workers there are, and how packets get to them.
func (e *Engine) steer() (workers int) {
	near, far := e.cfg.Devices[0], e.cfg.Devices[1]
	workers = max(e.cfg.Workers, 1)
	if workers == 1 {
		return 1
	}
	if near.Queues() != far.Queues() || near.Queues() < workers {
		e.log.Warn("one worker only: each needs a queue on both devices", zap.Int("workers", workers),
			zap.Int("near queues", near.Queues()), zap.Int("far queues", far.Queues()))
		return 1
	}
	e.steering = SteerProgram
	if err := steerByProgram(near, far); err != nil {
		e.steering = SteerKernel
		e.log.Info("the kernel steers", zap.Error(err))
	}
	return workers
}

// testOnlyRefusal, if there is one, stands for a kernel that lets no program in.
var testOnlyRefusal error

// steerByProgram lets the program choose the queues of both devices, or of neither:
// its hash is not the kernel's.
func steerByProgram(near, far tunnel.Device) error {
	if testOnlyRefusal != nil {
		return testOnlyRefusal
	}
	prog, err := loadSteering()
	if err != nil {
		return fmt.Errorf("load the steering program: %w", err)
	}
	defer prog.Close() // the devices keep it
	if err := tunnel.SetSteering(near, prog.FD()); err != nil {
		return err
	}
	if err := tunnel.SetSteering(far, prog.FD()); err != nil {
		return errors.Join(err, tunnel.SetSteering(near, -1))
	}
	return nil
}
