package lab

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
)

// A worker that looked at the clock before the lab's loop did, and tells after it, makes
// no time run backwards, neither in what is written nor in what a result keeps.
func TestToldInOrder(t *testing.T) {
	var out strings.Builder
	o := newObserver(&out, true)
	o.begin(time.Millisecond)
	segment := func(at time.Duration) {
		pair := tupleNamed("a")
		o.hear(&engine.Event{Type: engine.EventSegment, Time: at, Conn: 1, Client: pair[0], Server: pair[1]})
	}
	segment(2 * time.Millisecond)
	o.decided(8*time.Millisecond, &Expectation{OK: true})
	segment(5 * time.Millisecond)
	segment(9 * time.Millisecond)
	if err := o.flush(); err != nil {
		t.Fatal(err)
	}
	kept, _ := o.recorded()
	want := []time.Duration{time.Millisecond, 7 * time.Millisecond, 7 * time.Millisecond, 8 * time.Millisecond}
	i := 0
	for line := range strings.Lines(out.String()) {
		var written struct{ T float64 }
		if err := json.Unmarshal([]byte(line), &written); err != nil {
			t.Fatal(err)
		}
		if i == len(want) || kept[i].Time != want[i] || written.T != want[i].Seconds() {
			t.Fatalf("event %d: written at %v s, kept at %v; want %v", i, written.T, kept[i].Time, want)
		}
		i++
	}
	if i != len(want) {
		t.Errorf("%d events, want %d", i, len(want))
	}
}
