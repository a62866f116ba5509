package jobs

import (
	"context"

	"github.com/riverqueue/river"
)

// room holds one value for each piece of work of an account that is under way in this
// process: targets have one, and the units that audits look at another.
type room chan struct{}

func newRoom(most int) room { return make(room, max(most, 1)) }

// door is what work comes in by, until the process leaves.
type door struct{ closed chan struct{} }

func newDoor() door { return door{closed: make(chan struct{})} }

// Leave lets nothing in any more: its jobs go to another process, or to the next start.
func (d door) Leave() { close(d.closed) }

// left reports whether nothing is let in any more.
func (d door) left() bool {
	select {
	case <-d.closed:
		return true
	default:
		return false
	}
}

// enter waits until there is room. What came in calls leave at its end. The error is
// what River is told where the process leaves, and that of ctx where it ended.
func (d door) enter(ctx context.Context, r room) (leave func(), err error) {
	if d.left() {
		return nil, river.JobSnooze(0)
	}
	select {
	case r <- struct{}{}:
	case <-d.closed:
		return nil, river.JobSnooze(0)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if d.left() { // both may have been ready
		<-r
		return nil, river.JobSnooze(0)
	}
	return func() { <-r }, nil
}
