package jobs

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

const (
	// firstRetry and lastRetry bound the pauses of a job whose outcome could not be
	// written down. River's own grow with the fourth power of the attempt: a database
	// that was away for a minute would leave its targets alone for a quarter of an hour.
	firstRetry = time.Second
	lastRetry  = 10 * time.Second
)

// retryPolicy is when River runs a job again that ended with an error: after 1, 2, 4,
// 8 s and then 10 s each time, less up to half.
type retryPolicy struct{}

// NextRetry implements river.ClientRetryPolicy.
func (retryPolicy) NextRetry(job *rivertype.JobRow) time.Time {
	pause := min(firstRetry<<min(len(job.Errors), 10), lastRetry)
	return time.Now().Add(pause - time.Duration(rand.Float64()*float64(pause/2)))
}

// panicLog tells of jobs that panicked, which River does at a level that quiet takes
// away. Errors need no line each: what is wrong shows elsewhere, and there may be
// hundreds of them.
type panicLog struct{ logger *slog.Logger }

// HandleError implements river.ErrorHandler.
func (panicLog) HandleError(context.Context, *rivertype.JobRow, error) *river.ErrorHandlerResult {
	return nil
}

// HandlePanic implements river.ErrorHandler.
func (p panicLog) HandlePanic(ctx context.Context, job *rivertype.JobRow, value any, trace string) *river.ErrorHandlerResult {
	p.logger.LogAttrs(ctx, slog.LevelError, "job panicked: it runs again",
		slog.String("kind", job.Kind), slog.Int64("job", job.ID), slog.String("panic", fmt.Sprint(value)), slog.String("trace", trace))
	return nil
}

// quiet passes on River's log with all that is below a warning as debug: it counts
// the jobs of each queue every few seconds, whatever happens.
type quiet struct{ slog.Handler }

// Enabled implements slog.Handler.
func (q quiet) Enabled(ctx context.Context, level slog.Level) bool {
	return q.Handler.Enabled(ctx, quieter(level))
}

// Handle implements slog.Handler.
func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	r.Level = quieter(r.Level)
	return q.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(attrs)} }

// WithGroup implements slog.Handler.
func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name)} }

func quieter(level slog.Level) slog.Level {
	if level < slog.LevelWarn {
		return min(level, slog.LevelDebug)
	}
	return level
}
