package jobs

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
	"fleetd/internal/store"
)

func TestAJobThatFailsRunsAgainSoon(t *testing.T) {
	t.Parallel()
	for failed, seconds := range []float64{1, 2, 4, 8, 10, 10, 10, 10, 10, 10, 10, 10} {
		job := &rivertype.JobRow{Attempt: failed + 1, Errors: make([]rivertype.AttemptError, failed)}
		for range 20 {
			now := time.Now()
			pause := retryPolicy{}.NextRetry(job).Sub(now).Seconds()
			require.GreaterOrEqual(t, pause, seconds/2)
			require.LessOrEqual(t, pause, seconds+5, "on a machine that is busy")
		}
	}
}

// lines is a log to look into while it is written.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestRiversLogIsQuiet(t *testing.T) {
	t.Parallel()
	said := func(level slog.Level) string {
		var log lines
		logger := slog.New(quiet{slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level})}).With(slog.Int("a", 1)).WithGroup("g")
		logger.Debug("one")
		logger.Info("two")
		logger.Warn("three")
		logger.Error("four", slog.Int("b", 2))
		return log.String()
	}
	all := said(slog.LevelDebug)
	for _, want := range []string{"level=DEBUG msg=one a=1", "level=DEBUG msg=two", "level=WARN msg=three", "level=ERROR msg=four a=1 g.b=2"} {
		require.Contains(t, all, want)
	}
	usual := said(slog.LevelInfo)
	require.NotContains(t, usual, "two")
	require.Contains(t, usual, "three")
}

// A runner says what it does with rollouts and accounts, and nothing of River's own.
func TestARunnersLogIsItsOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Config{Units: 5})
	var log lines
	logger := slog.New(slog.NewTextHandler(&log, nil))
	r, err := NewRunner(t.Context(), RunnerConfig{
		Store: w.store, Pool: w.pool, ProcessName: "process", MaxInFlight: 16, Logger: logger,
		Accounts: AccountsConfig{Store: w.store, BudgetPool: w.pool, MaxInFlight: 16, Logger: logger},
	})
	require.NoError(t, err)
	require.NoError(t, r.Start(t.Context()))
	made := w.create(noLimit)
	w.untilEnded(made.ID)
	w.stop(r)

	require.Contains(t, log.String(), `msg="rollout changed state" rollout=`+made.ID+" account=acme state=succeeded", "by the ID that people know")
	require.NotContains(t, log.String(), "River client")

	panicLog{logger}.HandlePanic(t.Context(), &rivertype.JobRow{ID: 3, Kind: "target"}, "no map", "the stack")
	require.Nil(t, panicLog{logger}.HandleError(t.Context(), nil, nil))
	require.Contains(t, log.String(), `level=ERROR msg="job panicked: it runs again" kind=target job=3 panic="no map" trace="the stack"`)
}

func (w *world) untilEnded(id string) store.Rollout {
	w.t.Helper()
	return w.until(id, "ended", func(r store.Rollout) bool { return r.State.Ended() })
}

// An outcome that cannot be written down is tried again soon, and is not lost.
func TestAnOutcomeThatCannotBeRecordedIsRecordedSoonAfter(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Config{Units: 5})
	w.exec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'the disk is full'; END $$`)
	w.exec(`CREATE TRIGGER refuse BEFORE UPDATE ON targets FOR EACH ROW WHEN (NEW.state = 'succeeded') EXECUTE FUNCTION refuse()`)
	w.start()
	id := w.create(noLimit).ID
	require.Eventually(t, func() bool {
		return w.count("SELECT count(*) FROM river_job WHERE kind = 'target' AND cardinality(errors) = 2 AND scheduled_at > attempted_at") > 0
	}, waitAtMost, pollEvery, "no job failed twice")
	require.Zero(t, w.count("SELECT count(*) FROM river_job WHERE cardinality(errors) = 2 AND scheduled_at > attempted_at + interval '10 s'"))

	w.exec("DROP TRIGGER refuse ON targets")
	w.untilState(id, fleet.RolloutSucceeded)
	w.requireTrue(id, fleet.ActionEnable)
	w.requireNoDoubleWrite()
}
