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
	st, log := r.cfg.Store, r.cfg.Logger
	for {
		keys, keysErr := st.ForgetIdempotencyKeys(ctx, tidyGroup)
		units, unitsErr := st.ForgetAuditUnits(ctx, tidyGroup)
		events, eventsErr := st.ForgetEvents(ctx, tidyGroup)
		if ctx.Err() != nil {
			return
		}
		if keysErr != nil {
			log.LogAttrs(ctx, slog.LevelWarn, "old idempotency keys not deleted", slog.Any("error", keysErr))
		}
		if unitsErr != nil {
			log.LogAttrs(ctx, slog.LevelWarn, "units of old audits not deleted", slog.Any("error", unitsErr))
		}
		if eventsErr != nil {
			log.LogAttrs(ctx, slog.LevelWarn, "old events not deleted", slog.Any("error", eventsErr))
		}
		rest := tidyEvery
		if keys == tidyGroup || units == tidyGroup || events == tidyGroup {
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
