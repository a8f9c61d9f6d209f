package tunnel

import (
	"testing"
	"time"
)

// Setting the timer costs a system call, so it is left alone while the due time
// stays within slack of what it was.
func TestAlarmSet(t *testing.T) {
	a := alarm{fd: -1}
	if err := a.open(); err != nil {
		t.Fatal(err)
	}
	defer a.close()
	now := time.Now()
	due := now.Add(time.Hour)
	steps := []struct {
		name string
		due  time.Time
		want time.Time // what it is set to then
	}{
		{"first", due, due},
		{"same", due, due},
		{"a little later", due.Add(slack), due},
		{"a little sooner", due.Add(-slack), due},
		{"sooner", due.Add(-time.Minute), due.Add(-time.Minute)},
		{"later", due.Add(2 * slack), due.Add(2 * slack)},
	}
	for _, step := range steps {
		if err := a.set(step.due, step.due.Sub(now)); err != nil {
			t.Fatal(err)
		}
		if !a.due.Equal(step.want) {
			t.Errorf("%s: set to %v, want %v", step.name, a.due.Sub(due), step.want.Sub(due))
		}
	}
	a.clear()
	if !a.due.IsZero() {
		t.Error("cleared, it is still set")
	}
}
