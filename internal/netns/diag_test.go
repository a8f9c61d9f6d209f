package netns

import (
	"encoding/binary"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// message builds one netlink message for a request with sequence number 7.
func message(kind, flags uint16, body []byte) []byte {
	b := make([]byte, headerLen, headerLen+len(body)+3)
	binary.NativeEndian.PutUint32(b[0:], uint32(headerLen+len(body)))
	binary.NativeEndian.PutUint16(b[4:], kind)
	binary.NativeEndian.PutUint16(b[6:], flags)
	binary.NativeEndian.PutUint32(b[8:], 7)
	b = append(b, body...)
	return b[:(len(b)+3)&^3]
}

// answer builds an inet_diag_msg.
func answer(family, state byte) []byte {
	b := make([]byte, answerLen)
	b[0], b[1], b[2], b[3] = family, state, byte(TimerPersist), 5
	binary.BigEndian.PutUint16(b[4:], 8080)
	binary.BigEndian.PutUint16(b[6:], 40000)
	local, remote := netip.MustParseAddr("10.77.2.1"), netip.MustParseAddr("10.77.1.1")
	if family == unix.AF_INET6 {
		local, remote = netip.MustParseAddr("::ffff:10.77.2.1"), netip.MustParseAddr("fd77:1::1")
	}
	copy(b[8:24], local.AsSlice())
	copy(b[24:40], remote.AsSlice())
	for i, v := range []uint32{1, 2, 0} { // device, cookie
		binary.NativeEndian.PutUint32(b[40+4*i:], v)
	}
	for i, v := range []uint32{1500, 11, 22, 1000, 99} { // expires, rqueue, wqueue, uid, inode
		binary.NativeEndian.PutUint32(b[52+4*i:], v)
	}
	return b
}

func join(parts ...[]byte) (b []byte) {
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func TestParse(t *testing.T) {
	fields := Socket{
		Local: netip.MustParseAddrPort("10.77.2.1:8080"), Remote: netip.MustParseAddrPort("10.77.1.1:40000"),
		State: "LAST_ACK", Inode: 99, Timer: TimerPersist, Expires: 1500 * time.Millisecond, Retransmits: 5,
		SendQueue: 22, RecvQueue: 11, dev: 1, cookie: 2,
	}
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		fields.cookie <<= 32
	}
	six := fields
	six.Remote, six.State = netip.MustParseAddrPort("[fd77:1::1]:40000"), "SYN_RCVD"
	odd := fields
	odd.State = ""

	minus := func(errno uint32) []byte { return binary.NativeEndian.AppendUint32(nil, -errno) }
	rows := []struct {
		name string
		in   []byte
		want dumpPart // seq is 7
		done bool
		err  error
	}{
		{"nothing", nil, dumpPart{}, false, nil},
		{"IPv4", message(getSock, 0, answer(unix.AF_INET, 9)), dumpPart{socks: []Socket{fields}}, false, nil},
		{"IPv6 and mapped", message(getSock, 0, answer(unix.AF_INET6, 12)), dumpPart{socks: []Socket{six}}, false, nil},
		{"a state of later kernels", message(getSock, 0, answer(unix.AF_INET, 13)), dumpPart{socks: []Socket{odd}}, false, nil},
		{"attributes behind", message(getSock, 0, append(answer(unix.AF_INET, 9), 5, 0, 8, 0, 0)), dumpPart{socks: []Socket{fields}}, false, nil},
		{"two and the end", join(message(getSock, 0, answer(unix.AF_INET, 9)), message(getSock, 0, answer(unix.AF_INET6, 3)), message(unix.NLMSG_DONE, 0, nil)),
			dumpPart{socks: []Socket{fields, six}}, true, nil},
		{"interrupted", message(unix.NLMSG_DONE, unix.NLM_F_DUMP_INTR, minus(0)), dumpPart{interrupted: true}, true, nil},
		{"acknowledged", message(unix.NLMSG_ERROR, 0, minus(0)), dumpPart{}, true, nil},
		{"refused", message(unix.NLMSG_ERROR, 0, minus(uint32(unix.ENOENT))), dumpPart{}, true, unix.ENOENT},
		{"the end with an error", message(unix.NLMSG_DONE, 0, minus(uint32(unix.EINVAL))), dumpPart{}, true, unix.EINVAL},

		// What the kernel never sends.
		{"a socket too short", message(getSock, 0, answer(unix.AF_INET, 9)[:answerLen-1]), dumpPart{}, false, unix.EBADMSG},
		{"half a header", make([]byte, headerLen-1), dumpPart{}, false, unix.EBADMSG},
		{"a length of zero", make([]byte, headerLen), dumpPart{}, false, unix.EBADMSG},
		{"a length past the end", message(getSock, 0, answer(unix.AF_INET, 9))[:headerLen+8], dumpPart{}, false, unix.EBADMSG},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			got := dumpPart{seq: 7}
			done, err := got.parse(r.in)
			r.want.seq = 7
			if done != r.done || err != r.err || !reflect.DeepEqual(got, r.want) {
				t.Errorf("got  %+v done %v err %v\nwant %+v done %v err %v", got, done, err, r.want, r.done, r.err)
			}
			other := dumpPart{seq: 8}
			if done, _ := other.parse(r.in); done || other.socks != nil || other.interrupted {
				t.Errorf("an answer to another request was taken: %+v, done %v", other, done)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(join(message(getSock, 2, answer(unix.AF_INET, 9)), message(unix.NLMSG_DONE, 2, nil)))
	f.Add(join(message(getSock, 2, answer(unix.AF_INET6, 12)), message(unix.NLMSG_ERROR, 0, []byte{1, 2, 3, 4})))
	f.Fuzz(func(t *testing.T, b []byte) {
		p := dumpPart{seq: 7}
		p.parse(b)
		if most := len(b) / (headerLen + answerLen); len(p.socks) > most {
			t.Errorf("%d sockets out of %d bytes, at most %d fit", len(p.socks), len(b), most)
		}
	})
}

// The table of states is the kernel's numbering, which x/sys has too.
func TestStateNames(t *testing.T) {
	for number, want := range map[int]string{
		unix.BPF_TCP_ESTABLISHED: "ESTABLISHED", unix.BPF_TCP_SYN_SENT: "SYN_SENT", unix.BPF_TCP_SYN_RECV: "SYN_RCVD",
		unix.BPF_TCP_FIN_WAIT1: "FIN_WAIT_1", unix.BPF_TCP_FIN_WAIT2: "FIN_WAIT_2", unix.BPF_TCP_TIME_WAIT: "TIME_WAIT",
		unix.BPF_TCP_CLOSE: "CLOSED", unix.BPF_TCP_CLOSE_WAIT: "CLOSE_WAIT", unix.BPF_TCP_LAST_ACK: "LAST_ACK",
		unix.BPF_TCP_LISTEN: "LISTEN", unix.BPF_TCP_CLOSING: "CLOSING", unix.BPF_TCP_NEW_SYN_RECV: "SYN_RCVD",
	} {
		if got := stateNames[number]; got != want {
			t.Errorf("state %d is %q, want %q", number, got, want)
		}
	}
}

func TestTimerNames(t *testing.T) {
	for timer, want := range map[Timer]string{TimerOff: "off", TimerPersist: "persist", 9: "Timer(9)"} {
		if got := timer.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
