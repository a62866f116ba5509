package jobs

import (
	"context"
	"errors"
)

// errStopped says that a batcher does not run any more.
var errStopped = errors.New("jobs: the process is stopping")

// batcher groups concurrent calls: while one group is being written the next one
// gathers, so that groups grow with the load and a lone call waits for nobody.
// A transaction per call was measured at a tenth of the throughput.
type batcher[T, R any] struct {
	calls   chan batchCall[T, R]
	flush   func(ctx context.Context, items []T) ([]R, error) // one result per item, in order
	max     int
	stopped chan struct{}
}

type batchCall[T, R any] struct {
	item  T
	reply chan batchReply[R]
}

type batchReply[R any] struct {
	result R
	err    error
}

func newBatcher[T, R any](most int, flush func(ctx context.Context, items []T) ([]R, error)) *batcher[T, R] {
	return &batcher[T, R]{calls: make(chan batchCall[T, R], most), flush: flush, max: most, stopped: make(chan struct{})}
}

// do hands one item over and waits until its group is written.
func (b *batcher[T, R]) do(ctx context.Context, item T) (R, error) {
	call := batchCall[T, R]{item: item, reply: make(chan batchReply[R], 1)}
	var zero R
	select {
	case b.calls <- call:
	case <-b.stopped:
		return zero, errStopped
	case <-ctx.Done():
		return zero, ctx.Err()
	}
	select {
	case r := <-call.reply:
		return r.result, r.err
	case <-b.stopped:
		select { // the last group may have been answered
		case r := <-call.reply:
			return r.result, r.err
		default:
			return zero, errStopped
		}
	case <-ctx.Done():
		return zero, ctx.Err()
	}
}

// run writes groups until ctx ends.
func (b *batcher[T, R]) run(ctx context.Context) {
	defer close(b.stopped)
	for {
		select {
		case <-ctx.Done():
			return
		case first := <-b.calls:
			b.write(ctx, first)
		}
	}
}

func (b *batcher[T, R]) write(ctx context.Context, first batchCall[T, R]) {
	group := []batchCall[T, R]{first}
gather:
	for len(group) < b.max {
		select {
		case c := <-b.calls:
			group = append(group, c)
		default:
			break gather
		}
	}
	items := make([]T, len(group))
	for i, c := range group {
		items[i] = c.item
	}
	results, err := b.flush(ctx, items)
	for i, c := range group {
		reply := batchReply[R]{err: err}
		if err == nil {
			reply.result = results[i]
		}
		c.reply <- reply
	}
}
