package script

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A setting is one setsockopt call on a socket.
type setting func(fd int) error

func setInt(level, opt, value int) setting {
	return func(fd int) error { return unix.SetsockoptInt(fd, level, opt, value) }
}

func setTCP(opt, value int) setting { return setInt(unix.IPPROTO_TCP, opt, value) }

func setLinger(l unix.Linger) setting {
	return func(fd int) error { return unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &l) }
}

func setCongestion(name string) setting {
	return func(fd int) error {
		return unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, name)
	}
}

// preferCubic is done to every socket: BBR would pace and blur the timing. A
// kernel without the module, or that forbids the choice, keeps its own.
func preferCubic(fd int) error {
	err := setCongestion("cubic")(fd)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EPERM) {
		return nil
	}
	return err
}

// options reads the value of each option that set knows.
var options = map[string]func(a *arguments) []setting{
	"keepalive":    parseKeepalive,
	"user-timeout": durationOption(time.Millisecond, 1, 1<<31-1, unix.TCP_USER_TIMEOUT, 0),
	"linger":       parseLinger,
	"linger2":      durationOption(time.Second, 1, 120, unix.TCP_LINGER2, -1),
	"defer-accept": durationOption(time.Second, 1, 1<<15-1, unix.TCP_DEFER_ACCEPT, 0),
	"nodelay":      switchOption(unix.IPPROTO_TCP, unix.TCP_NODELAY),
	"cork":         switchOption(unix.IPPROTO_TCP, unix.TCP_CORK),
	"fastopen":     switchOption(unix.IPPROTO_TCP, unix.TCP_FASTOPEN_CONNECT),
	"quickack":     switchOption(unix.IPPROTO_TCP, unix.TCP_QUICKACK),
	"reuseaddr":    switchOption(unix.SOL_SOCKET, unix.SO_REUSEADDR),
	"reuseport":    switchOption(unix.SOL_SOCKET, unix.SO_REUSEPORT),
	"rcvbuf":       sizeOption(unix.SOL_SOCKET, unix.SO_RCVBUF),
	"sndbuf":       sizeOption(unix.SOL_SOCKET, unix.SO_SNDBUF),
	"window-clamp": sizeOption(unix.IPPROTO_TCP, unix.TCP_WINDOW_CLAMP),
	"syncnt":       numberOption(1, 127, unix.TCP_SYNCNT),
	"maxseg":       numberOption(88, 32767, unix.TCP_MAXSEG),
	"congestion":   parseCongestion,
}

var optionNames = slices.Sorted(maps.Keys(options))

func switchOption(level, opt int) func(*arguments) []setting {
	return func(a *arguments) []setting {
		return []setting{setInt(level, opt, a.onOff())}
	}
}

func numberOption(low, high int64, opt int) func(*arguments) []setting {
	return func(a *arguments) []setting {
		return []setting{setTCP(opt, int(a.number(low, high)))}
	}
}

func sizeOption(level, opt int) func(*arguments) []setting {
	return func(a *arguments) []setting {
		w := word{a.rest, a.col}
		n := a.size(1)
		if n > 1<<30 {
			a.fail(w, "set: %q is more than 1GiB", w.text)
		}
		return []setting{setInt(level, opt, int(n))}
	}
}

// durationOption reads a duration that the kernel counts in units, or off.
func durationOption(unit time.Duration, low, high int64, opt, off int) func(*arguments) []setting {
	return func(a *arguments) []setting {
		if a.keyword("off") {
			return []setting{setTCP(opt, off)}
		}
		w, ok := a.next()
		if !ok {
			a.wants("a duration, or off")
			return nil
		}
		return []setting{setTCP(opt, a.units(w, unit, low, high))}
	}
}

func parseLinger(a *arguments) []setting {
	if a.keyword("off") {
		return []setting{setLinger(unix.Linger{})}
	}
	w, ok := a.next()
	if !ok {
		a.wants("a duration, or off")
		return nil
	}
	return []setting{setLinger(unix.Linger{Onoff: 1, Linger: int32(a.units(w, time.Second, 0, 1<<15-1))})}
}

// parseKeepalive reads on, off, or the three numbers that time a dead peer.
func parseKeepalive(a *arguments) []setting {
	if !strings.Contains(a.rest, "/") {
		return switchOption(unix.SOL_SOCKET, unix.SO_KEEPALIVE)(a)
	}
	w, _ := a.next()
	parts := strings.Split(w.text, "/")
	if len(parts) != 3 {
		a.fail(w, "set: %q is not IDLE/INTERVAL/COUNT, as 1s/1s/3", w.text)
		return nil
	}
	at := [3]word{{parts[0], w.col}}
	for i := 1; i < 3; i++ {
		at[i] = word{parts[i], at[i-1].col + len(parts[i-1]) + 1}
	}
	count, err := strconv.Atoi(parts[2])
	if err != nil || count < 1 || count > 127 {
		a.fail(at[2], "set: %q is not a number from 1 to 127", parts[2])
	}
	return []setting{
		setInt(unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1),
		setTCP(unix.TCP_KEEPIDLE, a.units(at[0], time.Second, 1, 32767)),
		setTCP(unix.TCP_KEEPINTVL, a.units(at[1], time.Second, 1, 32767)),
		setTCP(unix.TCP_KEEPCNT, count),
	}
}

func parseCongestion(a *arguments) []setting {
	w, ok := a.next()
	if !ok {
		a.wants("the name of a congestion control, as reno")
	}
	return []setting{setCongestion(w.text)}
}

// onOff takes a switch; a switch without a word is on.
func (a *arguments) onOff() int {
	w, ok := a.next()
	switch {
	case !ok || w.text == "on":
		return 1
	case w.text != "off":
		a.fail(w, "set: %q is neither on nor off", w.text)
	}
	return 0
}

// units converts a duration to the whole units the kernel counts in.
func (a *arguments) units(w word, unit time.Duration, low, high int64) int {
	before := len(*a.errs)
	d := a.durationOf(w)
	n := int64(d / unit)
	switch {
	case len(*a.errs) > before:
	case d%unit != 0:
		a.fail(w, "set: %q: the kernel counts this in units of %v", w.text, unit)
	case n < low || n > high:
		a.fail(w, "set: %q is out of range; write %v to %v", w.text, time.Duration(low)*unit, time.Duration(high)*unit)
	}
	return int(n)
}
