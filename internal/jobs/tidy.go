package jobs

import (
	"context"
	"log/slog"
	"time"
)

const (
	// tidyEvery is how often a process looks for what can be deleted.
	tidyEvery = time.Hour
	// tidyGroup bounds how many rows one transaction deletes, and tidyPause is the
	// rest between two: what is left behind hurries nobody.
	tidyGroup = 500
	tidyPause = 100 * time.Millisecond
)

// tidy deletes what nobody asks for any more, until ctx ends. Every process does:
// what one is deleting the others pass over.
func (r *Runner) tidy(ctx context.Context) {
	for {
		rest := tidyEvery
		n, err := r.cfg.Store.ForgetIdempotencyKeys(ctx, tidyGroup)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			r.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "old idempotency keys not deleted", slog.Any("error", err))
		case n == tidyGroup:
			rest = tidyPause
		}
		timer := time.NewTimer(rest)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}
