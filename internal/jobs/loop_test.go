package jobs

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestALoopLooksWhenItIsWokenAndNotTooOften(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log lines
		l := newLoop(slog.New(slog.NewTextHandler(&log, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		type glance struct {
			at    time.Duration
			sweep bool
		}
		began, looks := time.Now(), make(chan glance)
		done := make(chan struct{})
		go func() {
			defer close(done)
			l.run(ctx, func(ctx context.Context, sweep bool) {
				select {
				case looks <- glance{time.Since(began), sweep}:
				case <-ctx.Done():
				}
			})
		}()
		require.Equal(t, glance{0, true}, <-looks, "at once")
		for range 10 {
			l.Wake()
		}
		require.Equal(t, glance{tickAtLeast, false}, <-looks, "ten calls are one look, after a pause")
		for at := tickEvery; at < sweepEvery; at += tickEvery {
			require.Equal(t, glance{at, false}, <-looks)
		}
		require.Equal(t, glance{sweepEvery, true}, <-looks)

		l.failed(ctx, "not looked", errors.New("no database"))
		cancel()
		<-done
		l.failed(ctx, "not looked", errors.New("canceled"))
		require.Contains(t, log.String(), `msg="not looked" error="no database"`)
		require.NotContains(t, log.String(), "canceled", "the process stops")
	})
}

func TestInJobsKeepsAllAndItsOrderProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		type ref struct{ of, n int }
		var refs []ref
		for i, of := range rapid.SliceOf(rapid.IntRange(0, 2)).Draw(t, "of") {
			refs = append(refs, ref{of, i})
		}
		limit := rapid.IntRange(1, 4).Draw(t, "limit")
		jobs := inJobs(refs, func(a, b ref) bool { return a.of == b.of }, func(r ref) int { return limit + r.of })
		if got := slices.Concat(jobs...); !slices.Equal(refs, got) {
			t.Fatalf("%v became %v", refs, got)
		}
		for i, job := range jobs {
			if len(job) == 0 || len(job) > limit+job[0].of {
				t.Fatalf("a job of %d", len(job))
			}
			for _, r := range job {
				if r.of != job[0].of {
					t.Fatalf("%v are in one job", job)
				}
			}
			if i > 0 && jobs[i-1][0].of == job[0].of && len(jobs[i-1]) < limit+job[0].of {
				t.Fatalf("%v and %v could be one job", jobs[i-1], job)
			}
		}
	})
}
