package ratelimit

import (
	"container/list"
	"time"

	"fleetd/internal/remote"
)

// classes is how many classes there are; a class out of range waits with the last.
const classes = int(remote.ClassAudit) + 1

// weight is a class's share of the slots while every class waits. An idle class's
// share goes to the others, and the smallest is not zero: none starves.
func weight(c remote.Class) int {
	switch c {
	case remote.ClassInteractive:
		return 8
	case remote.ClassVerify:
		return 4
	case remote.ClassRollout:
		return 2
	case remote.ClassAudit:
		return 1
	}
	return 1
}

// waiter is one Take that waits. The Budget's lock guards it until ready is closed.
type waiter struct {
	class    remote.Class
	begun    bool // goes on with something: before those of its class that begin
	since    time.Time
	deadline time.Time     // of the caller; zero: none
	ready    chan struct{} // closed when slot or err is set
	slot     remote.Slot
	expires  time.Time // when the slot is lost, should the caller have gone
	err      error
	elem     *list.Element // nil: no longer in the queue
}

// queue holds the waiters: in order within a class, those that go on with something
// first; by smooth weighted round robin between the classes.
type queue struct {
	lists   [classes]list.List
	current [classes]int
	n       int
}

func (q *queue) len() int { return q.n }

func (q *queue) push(w *waiter) {
	q.n++
	l := &q.lists[w.class]
	if w.begun {
		for e := l.Front(); e != nil; e = e.Next() {
			if other, _ := e.Value.(*waiter); !other.begun {
				w.elem = l.InsertBefore(w, e)
				return
			}
		}
	}
	w.elem = l.PushBack(w)
}

func (q *queue) remove(w *waiter) {
	l := &q.lists[w.class]
	l.Remove(w.elem)
	w.elem = nil
	q.n--
	if l.Len() == 0 {
		q.current[w.class] = 0 // credit and debt do not outlive the wait
	}
}

// pop takes the head: the next waiter of the class whose turn it is; nil when none waits.
func (q *queue) pop() *waiter {
	best, total := -1, 0
	for c := range classes {
		if q.lists[c].Len() == 0 {
			continue
		}
		share := weight(remote.Class(c))
		total += share
		q.current[c] += share
		if best < 0 || q.current[c] > q.current[best] {
			best = c
		}
	}
	if best < 0 {
		return nil
	}
	q.current[best] -= total
	w, _ := q.lists[best].Front().Value.(*waiter)
	q.remove(w)
	return w
}

// drain removes the waiters for which leave is true and returns them.
func (q *queue) drain(leave func(*waiter) bool) []*waiter {
	var gone []*waiter
	for c := range classes {
		for e := q.lists[c].Front(); e != nil; {
			w, _ := e.Value.(*waiter)
			e = e.Next()
			if leave(w) {
				q.remove(w)
				gone = append(gone, w)
			}
		}
	}
	return gone
}
