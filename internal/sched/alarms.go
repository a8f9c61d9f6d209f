package sched

import "time"

// Alarms keep one due time for each of many things that are known by a small number,
// as connections by their place in a table. Unlike in a Queue a time may be moved
// or cleared, so that nothing is left behind of what has gone. Equal times are
// taken in the order in which they were set. The zero Alarms is ready; one
// goroutine owns it.
type Alarms struct {
	heap  []set
	place []uint32 // in heap, by number, plus one; 0 is none
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
func (a *Alarms) Len() int { return len(a.heap) }

// At is the time of a number; ok is false if it has none.
func (a *Alarms) At(number int) (due time.Duration, ok bool) {
	if number >= len(a.place) || a.place[number] == 0 {
		return 0, false
	}
	return a.heap[a.place[number]-1].due, true
}

// Set gives a number a time, in place of the one that it has.
func (a *Alarms) Set(number int, due time.Duration) {
	for len(a.place) <= number {
		a.place = append(a.place, 0)
	}
	a.count++
	s := set{due, a.count, uint32(number)}
	i := int(a.place[number]) - 1
	if i < 0 {
		i = len(a.heap)
		a.heap = append(a.heap, s)
	}
	a.put(i, s)
	a.settle(i)
}

// Clear takes the time of a number away, if it has one.
func (a *Alarms) Clear(number int) {
	if number < len(a.place) && a.place[number] != 0 {
		a.remove(int(a.place[number]) - 1)
	}
}

// Next is the earliest time; ok is false when there is none.
func (a *Alarms) Next() (due time.Duration, ok bool) {
	if len(a.heap) == 0 {
		return 0, false
	}
	return a.heap[0].due, true
}

// Pop takes the number whose time is the earliest, if that is due at now.
func (a *Alarms) Pop(now time.Duration) (number int, ok bool) {
	if len(a.heap) == 0 || a.heap[0].due > now {
		return 0, false
	}
	number = int(a.heap[0].number)
	a.remove(0)
	return number, true
}

// put writes an element to its place in the heap.
func (a *Alarms) put(i int, s set) {
	a.heap[i] = s
	a.place[s.number] = uint32(i) + 1
}

// remove fills the place of an element with the last one.
func (a *Alarms) remove(i int) {
	a.place[a.heap[i].number] = 0
	last := len(a.heap) - 1
	moved := a.heap[last]
	a.heap = a.heap[:last]
	if i < last {
		a.put(i, moved)
		a.settle(i)
	}
}

// settle moves an element up or down to where it belongs.
func (a *Alarms) settle(i int) {
	for i > 0 && a.heap[i].before(&a.heap[(i-1)/2]) {
		a.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(a.heap); child++ {
			if a.heap[child].before(&a.heap[least]) {
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
	x, y := a.heap[i], a.heap[k]
	a.put(i, y)
	a.put(k, x)
}
