package jobs

import (
	"sync"
	"time"
)

// idleFor is how long a goroutine of a crew waits for its next piece of work.
const idleFor = time.Second

// crew runs functions in goroutines that are kept for the next ones. A call to the API
// needs a deep stack, and to grow it anew for each target was measured at a tenth of
// what a target costs this process.
type crew struct {
	work   chan func()
	closed <-chan struct{} // nobody waits for work any more
}

func newCrew(closed <-chan struct{}) *crew { return &crew{work: make(chan func()), closed: closed} }

// run runs f beside the caller; group counts it.
func (c *crew) run(group *sync.WaitGroup, f func()) {
	group.Add(1)
	task := func() { defer group.Done(); f() }
	select {
	case c.work <- task:
	default:
		go c.keep(task)
	}
}

// keep runs a task and those that come after it.
func (c *crew) keep(task func()) {
	idle := time.NewTimer(idleFor)
	defer idle.Stop()
	for {
		task()
		idle.Reset(idleFor)
		select {
		case task = <-c.work:
		case <-c.closed:
			return
		case <-idle.C:
			return
		}
	}
}
