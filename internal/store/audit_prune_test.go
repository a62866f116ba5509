package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

// listed begins an audit, gives all homes a job and loads them: their lists are under way.
func (w *night) listed(t *testing.T) (id string, targets []store.AuditTarget) {
	t.Helper()
	id = w.begin(t).ID
	w.tick(t, id, 100)
	targets, err := w.LoadAuditUnits(t.Context(), w.take())
	require.NoError(t, err)
	return id, targets
}

// record writes down that all homes show the same.
func (w *night) record(t *testing.T, targets []store.AuditTarget, shown sight) error {
	t.Helper()
	sights := make([]store.AuditSight, len(targets))
	for i, target := range targets {
		sights[i] = look(target, shown, "")
	}
	return w.RecordAuditUnits(t.Context(), sights)
}

// keepOnly imports an inventory of the first n homes, and prunes the others.
func (w *night) keepOnly(t *testing.T, n int) error {
	t.Helper()
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf("home-%d,maple-court,,vacant,", i+1)
	}
	_, err := w.load(t, "acme", store.ImportParams{Prune: true}, lines...)
	return err
}

// A home that is removed while its list is under way has no drift, whatever the list
// said: neither a new finding nor the one that was open.
func TestAHomeRemovedDuringAnAuditHasNoDrift(t *testing.T) {
	t.Parallel()
	w := newNight(t, 4)
	w.want(t, testSkill, "live")
	require.Equal(t, 1, w.run(t, func(unit string) (sight, fleet.UnknownReason) {
		if unit == "home-3" {
			return nil, ""
		}
		return sight{testSkill: on}, ""
	}).Drifted)
	require.Equal(t, "home-3", w.found1(t).UnitID)

	id, targets := w.listed(t)
	require.Len(t, targets, 4)
	require.NoError(t, w.keepOnly(t, 2))
	require.NoError(t, w.record(t, targets, nil))
	w.tick(t, id, 100)

	a := w.audit(t, id)
	require.Equal(t, fleet.AuditCompletedWithUnknown, a.State)
	require.Equal(t, map[fleet.UnknownReason]int{fleet.UnknownUnitNotFound: 2}, a.UnknownReasons)
	require.Equal(t, 2, a.Drifted)
	require.Equal(t, 2, a.Drift.Opened)
	for _, d := range w.drift(t, store.DriftFilter{Ignored: store.DriftIgnoredAny}) {
		require.Contains(t, []string{"home-1", "home-2"}, d.UnitID)
	}
	summary, err := w.SummarizeDrift(t.Context(), store.DriftFilter{}, nil)
	require.NoError(t, err)
	require.Equal(t, 2, summary.Total)
	counts, err := w.DriftCounts(t.Context())
	require.NoError(t, err)
	require.Contains(t, counts, store.DriftCount{Account: "acme", Kind: fleet.DriftMissing, N: 2})
	repair, err := w.PlanRepair(t.Context(), store.RepairParams{Filter: store.DriftFilter{Account: "acme"}})
	require.NoError(t, err)
	require.Equal(t, 2, repair.Findings)
	o, _, _ := w.observation(t, "home-4", testSkill)
	require.Equal(t, fleet.StatusEnabled, o.Status, "what is said of a home that is gone is not put on record")
	_, err = w.PlanRepair(t.Context(), store.RepairParams{Filter: store.DriftFilter{UnitID: "home-3"}})
	require.ErrorIs(t, err, store.ErrNoDrift)
}

// An import and a record that are under way at once come one after the other where it
// matters, in whichever order.
func TestAHomeRemovedWhileItsDriftIsWrittenDown(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		hold        string // what keeps the first from its end
		importFirst bool
	}{
		"the import is first": {"LOCK TABLE log_entries IN EXCLUSIVE MODE", true},
		"the record is first": {"LOCK TABLE audits IN SHARE MODE", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newNight(t, 2)
			w.want(t, testSkill, "live")
			_, targets := w.listed(t)
			held, err := w.pool.Begin(t.Context())
			require.NoError(t, err)
			defer func() { _ = held.Rollback(t.Context()) }()
			w.inTx(t, held, tt.hold)

			done := make(chan error, 2)
			work := func(imports bool) {
				if imports {
					done <- w.keepOnly(t, 1)
				} else {
					done <- w.record(t, targets, nil)
				}
			}
			go work(tt.importFirst)
			w.waiting(t, "relation")
			go work(!tt.importFirst)
			w.waiting(t, "advisory")
			require.NoError(t, held.Commit(t.Context()))
			require.NoError(t, <-done)
			require.NoError(t, <-done)

			require.Equal(t, "home-1", w.found1(t).UnitID)
		})
	}
}

func (w *night) inTx(t *testing.T, tx pgx.Tx, sql string) {
	t.Helper()
	_, err := tx.Exec(t.Context(), sql)
	require.NoError(t, err)
}

// waiting returns when somebody waits for a lock of a kind in this database.
func (w *night) waiting(t *testing.T, kind string) {
	t.Helper()
	require.Eventually(t, func() bool {
		return w.count(t, `SELECT count(*) FROM pg_locks
			WHERE NOT granted AND locktype = '`+kind+`' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`) > 0
	}, 10*time.Second, 5*time.Millisecond)
}
