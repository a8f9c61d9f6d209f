package engine

import (
	"syscall"
	"testing"
)

// RefuseSteering makes the kernel refuse the steering program, as one does
// without the privilege, until the test ends.
func RefuseSteering(t testing.TB) {
	testOnlyRefusal = syscall.EPERM
	t.Cleanup(func() { testOnlyRefusal = nil })
}
