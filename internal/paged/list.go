// Package paged keeps lists that grow without being copied. A slice that append makes
// longer moves all that it holds once in a while: with a million connections that is
// some milliseconds, in which a packet waits.
package paged

import "iter"

// size is how many elements a page has.
const size = 256

// A List is elements in a row that stay where they are. It allocates only while it
// grows beyond its largest length so far, a page at a time. The zero List is empty and
// ready; one goroutine owns it.
type List[T any] struct {
	pages []*[size]T
	n     int
}

// Len is how many elements there are.
func (l *List[T]) Len() int { return l.n }

// At is the i-th element, 0 <= i < Len. The pointer is good until the element is popped.
func (l *List[T]) At(i int) *T { return &l.pages[uint(i)/size][uint(i)%size] }

// All ranges over the elements that there are as it begins, and their places.
func (l *List[T]) All() iter.Seq2[int, *T] {
	return func(yield func(int, *T) bool) {
		for i := range l.n {
			if !yield(i, l.At(i)) {
				return
			}
		}
	}
}

// Push adds an element at the end.
func (l *List[T]) Push(v T) {
	if l.n == len(l.pages)*size {
		l.pages = append(l.pages, new([size]T))
	}
	l.n++
	*l.At(l.n - 1) = v
}

// Pop takes the last element off; there has to be one. The list keeps nothing alive of it.
func (l *List[T]) Pop() (v T) {
	last := l.At(l.n - 1)
	l.n--
	v, *last = *last, v
	return v
}

// Extend makes the list at least n long; what is new is zero.
func (l *List[T]) Extend(n int) {
	var zero T
	for l.n < n {
		l.Push(zero)
	}
}
