package capture

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)

// readAll reads every packet of a capture.
func readAll(t testing.TB, r io.Reader) ([]Packet, *Reader) {
	t.Helper()
	in, err := NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	var packets []Packet
	for {
		p, err := in.Next()
		if err == io.EOF {
			return packets, in
		}
		if err != nil {
			t.Fatal(err)
		}
		packets = append(packets, p)
	}
}

func TestRoundTrip(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out.pcapng")
	w, err := Create(file, Options{Start: start, Comment: "seed 7"}, "client-side", "server-side")
	if err != nil {
		t.Fatal(err)
	}
	want := []Packet{
		{0, "client-side", start, ipv4(1), false, []string{"drop by lose-fin"}},
		{1, "server-side", start.Add(time.Nanosecond), ipv6(0), false, nil},
		{0, "client-side", start.Add(90 * time.Minute), ipv4(1460), false, []string{"größer · →"}},
		{1, "server-side", start.Add(2 * time.Second), ipv6(65000), false, nil}, // times may go back
	}
	data := make([]byte, 0, 70000)
	for _, p := range want {
		data = append(data[:0], p.Data...)
		w.Packet(p.Interface, p.Time.Sub(start), data, strings.Join(p.Comments, ""))
		clear(data) // the caller's own again
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}

	r, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for i := range want {
		got, err := r.Next()
		if err != nil || !reflect.DeepEqual(got, want[i]) {
			t.Errorf("packet %d:\ngot  %+v, %v\nwant %+v", i, got, err, want[i])
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("after the last: got %v, want io.EOF", err)
	}
	if got := fmt.Sprint(r.Interfaces(), r.Skipped()); got != "[client-side server-side] 0" {
		t.Errorf("interfaces and skipped: got %s", got)
	}
}

// The same calls give the same bytes.
func TestDeterministic(t *testing.T) {
	write := func() []byte {
		var b bytes.Buffer
		w, err := New(&b, Options{Start: start}, "a", "b")
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3000 {
			w.Packet(i%2, time.Duration(i)*time.Millisecond, ipv4(i%1400), fmt.Sprint("packet ", i))
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	if !bytes.Equal(write(), write()) {
		t.Error("two captures of the same packets differ")
	}
}

// Every packet of every goroutine arrives whole, and each one's in its order.
func TestManyWriters(t *testing.T) {
	var b bytes.Buffer
	w, err := New(&b, Options{Start: start}, "a", "b", "c", "d")
	if err != nil {
		t.Fatal(err)
	}
	const each = 3 * queueLen
	var wg sync.WaitGroup
	for iface := range 4 {
		wg.Go(func() {
			for i := range each {
				data := ipv4(4)
				copy(data[20:], fmt.Sprintf("%04d", i))
				w.Packet(iface, time.Duration(i), data, "")
			}
		})
	}
	wg.Wait()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	packets, _ := readAll(t, &b)
	next := make([]int, 4)
	for _, p := range packets {
		want := fmt.Sprintf("%04d", next[p.Interface])
		if got := string(p.Data[20:]); got != want {
			t.Fatalf("interface %d: got packet %s, want %s", p.Interface, got, want)
		}
		next[p.Interface]++
	}
	if got, want := fmt.Sprint(next), fmt.Sprint([]int{each, each, each, each}); got != want {
		t.Errorf("got %s packets, want %s", got, want)
	}
}

// gate is a disk that takes nothing until it is opened.
type gate struct {
	open chan struct{}
	bytes.Buffer
}

func (g *gate) Write(b []byte) (int, error) {
	<-g.open
	return g.Buffer.Write(b)
}

// A full queue blocks, and loses nothing.
func TestFullQueueBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: make(chan struct{}, 1)}
		g.open <- struct{}{} // the head
		w, err := New(g, Options{Start: start}, "a")
		if err != nil {
			t.Fatal(err)
		}
		const all = 4 * queueLen
		sent := 0
		go func() {
			for range all {
				w.Packet(0, 0, ipv4(1400), "")
				sent++
			}
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		if sent < queueLen || sent > 2*queueLen {
			t.Errorf("%d packets taken by a disk that stands still, want the queue of %d and a little", sent, queueLen)
		}
		close(g.open)
		synctest.Wait()
		if packets, _ := readAll(t, &g.Buffer); len(packets) != all {
			t.Errorf("%d packets in the file, want %d", len(packets), all)
		}
	})
}

// As soon as the writer has caught up, the file is whole.
func TestFileIsWholeWhenIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		w, err := New(&b, Options{}, "a")
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			w.Packet(0, 0, ipv4(10), "")
			synctest.Wait()
			if packets, _ := readAll(t, bytes.NewReader(b.Bytes())); len(packets) != i+1 {
				t.Errorf("%d packets in the file, want %d", len(packets), i+1)
			}
		}
		w.Close()
	})
}

// full is a disk with room for so many bytes.
type full struct{ room int }

var errFull = errors.New("no space left")

func (f *full) Write(b []byte) (int, error) {
	if f.room -= len(b); f.room < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestFirstErrorIsKept(t *testing.T) {
	told := make(chan error, 2)
	w, err := New(&full{room: 2000}, Options{OnError: func(err error) { told <- err }}, "a")
	if err != nil {
		t.Fatal(err)
	}
	for range 10 * queueLen { // nobody is held up by it
		w.Packet(0, 0, ipv4(1400), "")
	}
	if err := <-told; !errors.Is(err, errFull) { // before the end
		t.Errorf("told of %v", err)
	}
	if err := w.Close(); !errors.Is(err, errFull) || !errors.Is(w.Err(), errFull) {
		t.Errorf("Close: got %v, Err: %v; want the disk's", err, w.Err())
	}
	if len(told) > 0 {
		t.Errorf("told again, of %v", <-told)
	}
}

func TestWriterErrors(t *testing.T) {
	if _, err := New(io.Discard, Options{}); err == nil {
		t.Error("no interface: no error")
	}
	if _, err := New(&full{room: 10}, Options{}, "a"); !errors.Is(err, errFull) {
		t.Errorf("no room for the head: got %v", err)
	}
	if _, err := Create(filepath.Join(t.TempDir(), "no", "folder"), Options{}, "a"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: got %v", err)
	}
	w, err := New(io.Discard, Options{}, "a")
	if err != nil {
		t.Fatal(err)
	}
	w.Packet(1, 0, ipv4(1), "")
	if err := w.Close(); err == nil {
		t.Error("a packet on an interface that is not there: no error")
	}
}

// A text longer than an option can say is cut; the file stays sound.
func TestLongComment(t *testing.T) {
	var b bytes.Buffer
	long := strings.Repeat("ä", 40000) // 80,000 bytes
	w, err := New(&b, Options{Comment: long, Application: long}, long)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		w.Packet(0, 0, ipv4(1), long)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	packets, _ := readAll(t, &b)
	if len(packets) != 2 {
		t.Fatalf("%d packets, want 2", len(packets))
	}
	for _, p := range packets {
		if c := p.Comments[0]; len(c) != maxComment-1 || !utf8.ValidString(c) {
			t.Errorf("a comment of %d bytes, valid %v; want %d, cut between two characters", len(c), utf8.ValidString(c), maxComment-1)
		}
	}
}

// Once warm, Packet costs the path no allocation, and the writing none either
// where there is no comment.
func TestPacketAllocatesNothing(t *testing.T) {
	w, err := New(io.Discard, Options{}, "a")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	data := ipv4(1400)
	for range 2 * queueLen {
		w.Packet(0, 0, data, "")
	}
	if got := testing.AllocsPerRun(5000, func() { w.Packet(0, 0, data, "") }); got >= 1 {
		t.Errorf("%v allocations per packet, want none", got)
	}
}

func BenchmarkPacket(b *testing.B) {
	for _, comment := range []string{"", "drop by lose-fin: FIN_WAIT_1, ESTABLISHED"} {
		b.Run(fmt.Sprintf("comment=%v", comment != ""), func(b *testing.B) {
			w, err := New(io.Discard, Options{}, "a")
			if err != nil {
				b.Fatal(err)
			}
			defer w.Close()
			data := ipv4(1460)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				w.Packet(0, 0, data, comment)
			}
		})
	}
}

// tshark reads what we write: times, interfaces and comments.
func TestTshark(t *testing.T) {
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		if os.Getenv("TCPMANGLE_REQUIRE_TSHARK") == "1" {
			t.Fatal(err)
		}
		t.Skip("no tshark on this machine")
	}
	file := filepath.Join(t.TempDir(), "out.pcapng")
	w, err := Create(file, Options{Start: start, Comment: "seed 7"}, "client-side", "server-side")
	if err != nil {
		t.Fatal(err)
	}
	w.Packet(0, 0, ipv4(1), "drop: lose-fin → FIN_WAIT_1/ESTABLISHED")
	w.Packet(1, 1500*time.Microsecond+1, ipv6(2), "")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), tshark, "-r", file, "-T", "fields", "-E", "separator=|",
		"-e", "frame.time_epoch", "-e", "frame.interface_name", "-e", "frame.comment", "-e", "frame.protocols",
		"-e", "frame.len").Output()
	if err != nil {
		t.Fatal(err)
	}
	want := "1772366400.123456789|client-side|drop: lose-fin → FIN_WAIT_1/ESTABLISHED|raw:ip:data|21\n" +
		"1772366400.124956790|server-side||raw:ipv6:data|42\n"
	if got := string(out); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
