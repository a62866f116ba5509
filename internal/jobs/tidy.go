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
	st := r.cfg.Store
	for {
		rest := tidyEvery
		for _, old := range [...]struct {
			what   string
			forget func(ctx context.Context, most int) (int, error)
		}{
			{"idempotency keys", st.ForgetIdempotencyKeys},
			{"units of old audits", st.ForgetAuditUnits},
			{"events", st.ForgetEvents},
			{"preflights", st.ForgetPreflights},
		} {
			n, err := old.forget(ctx, tidyGroup)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				r.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "what is old was not deleted", slog.String("what", old.what), slog.Any("error", err))
			}
			if n == tidyGroup {
				rest = tidyPause
			}
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
