package integration

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"golang.org/x/sys/unix"
)

// streamLen is what each side of a stream test sends, in bytes.
const streamLen = 10 << 20

// streamData is n bytes that belong to one sender, and repeat nowhere.
func streamData(from, n int) []byte {
	data := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(from), 1}).Read(data)
	return data
}

// send writes all of the data.
func send(fd int, data []byte, flags int) error {
	for len(data) > 0 {
		n, err := unix.SendmsgN(fd, data, nil, nil, flags)
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("send: %w", err)
		}
		data = data[max(n, 0):]
	}
	return nil
}

// A receiver takes the bytes of a stream, each once and in order.
type receiver struct {
	fd    int
	total int
	sum   [sha256.Size]byte
	// at is told how many bytes have come, as often as more have; nil: nobody.
	at func(total int)
}

// receive reads n bytes, or, if n is negative, up to the peer's FIN.
func (r *receiver) receive(n int) error {
	hash, buf := sha256.New(), make([]byte, 256<<10)
	for begin := r.total; n < 0 || r.total-begin < n; {
		some := buf
		if left := n - (r.total - begin); n >= 0 && left < len(some) {
			some = some[:left]
		}
		got, err := unix.Read(r.fd, some)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return fmt.Errorf("receive, after %d bytes: %w", r.total, err)
		case got == 0 && n >= 0:
			return fmt.Errorf("the stream has ended after %d bytes", r.total)
		case got == 0:
			r.sum = [sha256.Size]byte(hash.Sum(nil))
			return nil
		}
		hash.Write(some[:got])
		r.total += got
		if r.at != nil {
			r.at(r.total)
		}
	}
	r.sum = [sha256.Size]byte(hash.Sum(nil))
	return nil
}

// inTurn has each side send its stream while the other only acknowledges: then
// nothing but the sender's own data decides how it is cut.
func inTurn(ends [2]int) error {
	for from := range 2 {
		data := streamData(from, streamLen)
		if err := carry(ends, from, data, data); err != nil {
			return err
		}
	}
	return nil
}

// carry has one side send, and wants the other to get what is due for it.
func carry(ends [2]int, from int, data, want []byte) error {
	r := receiver{fd: ends[1-from]}
	err := both(
		func() error { return send(ends[from], data, 0) },
		func() error { return r.receive(len(want)) },
	)
	if err == nil && r.sum != sha256.Sum256(want) {
		err = errors.New("other bytes have arrived than were due")
	}
	if err != nil {
		return fmt.Errorf("side %d: %w", from, err)
	}
	return nil
}

// atOnce has both sides send their streams at the same time, an urgent byte first and a FIN
// behind the rest, and read the other's to its end. at is told of each arrival; nil: nobody.
func atOnce(ends [2]int, at func(side, total int)) error {
	var acts []func() error
	for from := range 2 {
		data := streamData(from, streamLen)
		acts = append(acts, func() error {
			return errors.Join(
				send(ends[from], data[:100], unix.MSG_OOB), send(ends[from], data[100:], 0),
				unix.Shutdown(ends[from], unix.SHUT_WR))
		}, func() error {
			r := receiver{fd: ends[1-from]}
			if at != nil {
				r.at = func(total int) { at(1-from, total) }
			}
			if err := r.receive(-1); err != nil {
				return err
			}
			if r.sum != sha256.Sum256(data) {
				return fmt.Errorf("other bytes have arrived than side %d has sent, %d for %d", from, r.total, len(data))
			}
			return nil
		})
	}
	return both(acts...)
}

// both does all at the same time.
func both(acts ...func() error) error {
	errs := make([]error, len(acts))
	var wg sync.WaitGroup
	for i, act := range acts {
		wg.Go(func() { errs[i] = act() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// dataSent is how many segments with data a socket has sent, retransmissions included,
// in the words of its kernel.
func (l *line) dataSent(fd int) int {
	l.t.Helper()
	var info *unix.TCPInfo
	l.await("everything to be acknowledged", func() (done bool) {
		var err error
		if info, err = unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO); err != nil {
			l.t.Fatalf("TCP_INFO: %v", err)
		}
		return info.Unacked == 0 && info.Notsent_bytes == 0
	})
	return int(info.Data_segs_out)
}
