// Package sched keeps what is to happen later: a queue ordered by due time, and
// among equal times by arrival, so that the same input gives the same order.
package sched

import (
	"time"

	"github.com/tcpmangle/tcpmangle/internal/paged"
)

// A Queue orders values by due time, then by arrival. It is a 4-ary heap of
// values, not of pointers: pushing allocates only while the queue grows past
// its largest size so far, and copies nothing then. The zero Queue is ready; one
// goroutine owns it.
type Queue[T any] struct {
	heap    paged.List[entry[T]]
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
func (q *Queue[T]) Len() int { return q.heap.Len() }

// Push adds a value due at a time on the caller's clock.
func (q *Queue[T]) Push(due time.Duration, v T) {
	q.arrival++
	q.heap.Push(entry[T]{due, q.arrival, v})
	q.up(q.heap.Len() - 1)
}

// Next is when the earliest value is due; ok is false when none waits.
func (q *Queue[T]) Next() (due time.Duration, ok bool) {
	if q.heap.Len() == 0 {
		return 0, false
	}
	return q.heap.At(0).due, true
}

// Pop takes the earliest value if it is due at now.
func (q *Queue[T]) Pop(now time.Duration) (v T, due time.Duration, ok bool) {
	if q.heap.Len() == 0 || q.heap.At(0).due > now {
		return v, 0, false
	}
	first := *q.heap.At(0)
	if last := q.heap.Pop(); q.heap.Len() > 0 {
		*q.heap.At(0) = last
		q.down(0)
	}
	return first.value, first.due, true
}

func (q *Queue[T]) up(i int) {
	this := q.heap.At(i)
	for i > 0 {
		i = (i - 1) / 4
		parent := q.heap.At(i)
		if !this.before(parent) {
			return
		}
		*this, *parent = *parent, *this
		this = parent
	}
}

func (q *Queue[T]) down(i int) {
	this := q.heap.At(i)
	for {
		at, least := i, this
		for child := 4*i + 1; child <= 4*i+4 && child < q.heap.Len(); child++ {
			if c := q.heap.At(child); c.before(least) {
				at, least = child, c
			}
		}
		if at == i {
			return
		}
		*this, *least = *least, *this
		i, this = at, least
	}
}
