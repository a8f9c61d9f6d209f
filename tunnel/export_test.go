package tunnel

import "golang.org/x/sys/unix"

// What the external tests see of the inside.
const (
	RingLen   = ringLen
	DevNetTun = devNetTun
)

// Flags are those the kernel reports for each queue of the device.
func Flags(d Device) (flags []uint16, err error) {
	for _, q := range d.(*device).queues {
		err = q.withFD(func(fd int) error {
			req, _ := unix.NewIfreq("")
			err := unix.IoctlIfreq(fd, unix.TUNGETIFF, req)
			flags = append(flags, req.Uint16())
			return err
		})
	}
	return flags, err
}
