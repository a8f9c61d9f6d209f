package sched

import (
	"time"

	"github.com/tcpmangle/tcpmangle/internal/paged"
)

// Alarms keep one due time for each of many things that are known by a small number,
// as connections by their place in a table. Unlike in a Queue a time may be moved
// or cleared, so that nothing is left behind of what has gone. Equal times are
// taken in the order in which they were set. It allocates as a Queue does. The zero
// Alarms is ready; one goroutine owns it.
type Alarms struct {
	heap  paged.List[set]
	place paged.List[uint32] // in heap, by number, plus one; 0 is none
	count uint64
}

type set struct {
	due    time.Duration
	count  uint64 // of calls of Set, to tell equal times apart
	number uint32
}

func (a *set) before(b *set) bool {
	return a.due < b.due || a.due == b.due && a.count < b.count
}

// Len is how many numbers have a time.
func (a *Alarms) Len() int { return a.heap.Len() }

// At is the time of a number; ok is false if it has none.
func (a *Alarms) At(number int) (due time.Duration, ok bool) {
	i, ok := a.placeOf(number)
	if !ok {
		return 0, false
	}
	return a.heap.At(i).due, true
}

// Set gives a number a time, in place of the one that it has.
func (a *Alarms) Set(number int, due time.Duration) {
	a.place.Extend(number + 1)
	a.count++
	s := set{due, a.count, uint32(number)}
	i, ok := a.placeOf(number)
	if !ok {
		i = a.heap.Len()
		a.heap.Push(s)
	}
	a.put(i, s)
	a.settle(i)
}

// Clear takes the time of a number away, if it has one.
func (a *Alarms) Clear(number int) {
	if i, ok := a.placeOf(number); ok {
		a.remove(i)
	}
}

// Next is the earliest time; ok is false when there is none.
func (a *Alarms) Next() (due time.Duration, ok bool) {
	if a.heap.Len() == 0 {
		return 0, false
	}
	return a.heap.At(0).due, true
}

// Pop takes the number whose time is the earliest, if that is due at now.
func (a *Alarms) Pop(now time.Duration) (number int, ok bool) {
	if a.heap.Len() == 0 || a.heap.At(0).due > now {
		return 0, false
	}
	number = int(a.heap.At(0).number)
	a.remove(0)
	return number, true
}

// placeOf is where a number's time is in the heap; ok is false if it has none.
func (a *Alarms) placeOf(number int) (i int, ok bool) {
	if number >= a.place.Len() {
		return 0, false
	}
	place := *a.place.At(number)
	return int(place) - 1, place != 0
}

// put writes an element to its place in the heap.
func (a *Alarms) put(i int, s set) {
	*a.heap.At(i) = s
	*a.place.At(int(s.number)) = uint32(i) + 1
}

// remove fills the place of an element with the last one.
func (a *Alarms) remove(i int) {
	*a.place.At(int(a.heap.At(i).number)) = 0
	if last := a.heap.Pop(); i < a.heap.Len() {
		a.put(i, last)
		a.settle(i)
	}
}

// settle moves an element up or down to where it belongs.
func (a *Alarms) settle(i int) {
	for i > 0 && a.heap.At(i).before(a.heap.At((i-1)/2)) {
		a.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < a.heap.Len(); child++ {
			if a.heap.At(child).before(a.heap.At(least)) {
				least = child
			}
		}
		if least == i {
			return
		}
		a.swap(i, least)
		i = least
	}
}

func (a *Alarms) swap(i, k int) {
	x, y := *a.heap.At(i), *a.heap.At(k)
	a.put(i, y)
	a.put(k, x)
}
