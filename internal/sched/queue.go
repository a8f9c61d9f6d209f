// Package sched keeps what is to happen later: a queue ordered by due time, and
// among equal times by arrival, so that the same input gives the same order.
package sched

import "time"

// A Queue orders values by due time, then by arrival. It is a 4-ary heap of
// values, not of pointers: pushing allocates only while the queue grows past
// its largest size so far. The zero Queue is ready; one goroutine owns it.
type Queue[T any] struct {
	heap    []entry[T]
	arrival uint64
}

type entry[T any] struct {
	due     time.Duration
	arrival uint64
	value   T
}

func (a *entry[T]) before(b *entry[T]) bool {
	return a.due < b.due || a.due == b.due && a.arrival < b.arrival
}

// Len is the number of values that wait.
func (q *Queue[T]) Len() int { return len(q.heap) }

// Push adds a value due at a time on the caller's clock.
func (q *Queue[T]) Push(due time.Duration, v T) {
	q.arrival++
	q.heap = append(q.heap, entry[T]{due, q.arrival, v})
	q.up(len(q.heap) - 1)
}

// Next is when the earliest value is due; ok is false when none waits.
func (q *Queue[T]) Next() (due time.Duration, ok bool) {
	if len(q.heap) == 0 {
		return 0, false
	}
	return q.heap[0].due, true
}

// Pop takes the earliest value if it is due at now.
func (q *Queue[T]) Pop(now time.Duration) (v T, due time.Duration, ok bool) {
	if len(q.heap) == 0 || q.heap[0].due > now {
		return v, 0, false
	}
	first := q.heap[0]
	last := len(q.heap) - 1
	q.heap[0] = q.heap[last]
	q.heap[last] = entry[T]{} // keeps nothing alive that has left
	q.heap = q.heap[:last]
	q.down(0)
	return first.value, first.due, true
}

func (q *Queue[T]) up(i int) {
	for i > 0 {
		parent := (i - 1) / 4
		if !q.heap[i].before(&q.heap[parent]) {
			return
		}
		q.heap[i], q.heap[parent] = q.heap[parent], q.heap[i]
		i = parent
	}
}

func (q *Queue[T]) down(i int) {
	for {
		least := i
		for child := 4*i + 1; child <= 4*i+4 && child < len(q.heap); child++ {
			if q.heap[child].before(&q.heap[least]) {
				least = child
			}
		}
		if least == i {
			return
		}
		q.heap[i], q.heap[least] = q.heap[least], q.heap[i]
		i = least
	}
}
