package jobs

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
)

// Inserter is the part of a River client that the control loops need.
type Inserter interface {
	InsertManyFastTx(ctx context.Context, tx pgx.Tx, params []river.InsertManyParams) (int, error)
}

// loop looks at what is due, again and again.
type loop struct {
	wake   chan struct{}
	logger *slog.Logger
}

func newLoop(logger *slog.Logger) loop { return loop{wake: make(chan struct{}, 1), logger: logger} }

// Wake asks for a look soon: there may be room for more.
func (l loop) Wake() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run calls look every tickEvery and when it is woken, but with a pause of tickAtLeast,
// until ctx ends. sweep says that sweepEvery has passed since it last said so.
func (l loop) run(ctx context.Context, look func(ctx context.Context, sweep bool)) {
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	swept := time.Time{}
	for {
		began := time.Now()
		sweep := began.Sub(swept) >= sweepEvery
		if sweep {
			swept = began
		}
		look(ctx, sweep)
		rest := time.NewTimer(tickAtLeast - time.Since(began))
		select {
		case <-ctx.Done():
			rest.Stop()
			return
		case <-rest.C:
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-l.wake:
		}
	}
}

func (l loop) failed(ctx context.Context, msg string, err error) {
	if ctx.Err() == nil {
		l.logger.LogAttrs(ctx, slog.LevelWarn, msg, slog.Any("error", err)) //nolint:sloglint // The callers' messages are static.
	}
}

// inJobs cuts work into what each job holds, in order: runs of what goes together, with
// no more than most(of the first) each. See jobsPerSecond.
func inJobs[R any](refs []R, together func(a, b R) bool, most func(R) int) [][]R {
	var out [][]R
	for len(refs) > 0 {
		n, limit := 1, most(refs[0])
		for n < len(refs) && n < limit && together(refs[0], refs[n]) {
			n++
		}
		out, refs = append(out, refs[:n]), refs[n:]
	}
	return out
}
