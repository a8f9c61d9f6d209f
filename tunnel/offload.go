package tunnel

import (
	"fmt"
	"io/fs"
)

// An OffloadMode says which backend [Open] takes.
type OffloadMode uint8

// The modes, as --offload spells them.
const (
	Auto OffloadMode = iota // offload, or plain where the kernel has none; Device.Offload tells
	On                      // offload, or an error
	Off                     // plain: one packet is one segment
)

var offloadNames = [...]string{Auto: "auto", On: "on", Off: "off"}

// String is the mode as ParseOffload reads it.
func (m OffloadMode) String() string {
	if int(m) < len(offloadNames) {
		return offloadNames[m]
	}
	return fmt.Sprintf("OffloadMode(%d)", uint8(m))
}

// ParseOffload reads auto, on or off. The error of anything else wraps fs.ErrInvalid.
func ParseOffload(text string) (OffloadMode, error) {
	for m, name := range offloadNames {
		if name == text {
			return OffloadMode(m), nil
		}
	}
	return 0, notAnOffload{}
}

// notAnOffload leaves it to the caller, as flag.TextVar, to tell what was given for what.
type notAnOffload struct{}

func (notAnOffload) Error() string { return "want auto, on or off" }
func (notAnOffload) Unwrap() error { return fs.ErrInvalid }

// MarshalText writes the mode as ParseOffload reads it.
func (m OffloadMode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText is ParseOffload for flag.TextVar and its like.
func (m *OffloadMode) UnmarshalText(text []byte) (err error) {
	*m, err = ParseOffload(string(text))
	return err
}
