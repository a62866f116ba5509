package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

// A finding opens once, persists without being written, becomes another when the
// difference does, and resolves.
func TestTheLifeOfAFinding(t *testing.T) {
	t.Parallel()
	w := newNight(t, 1)
	w.want(t, testSkill, "live")
	good := w.run(t, every(sight{testSkill: on}))
	require.Zero(t, good.Drift)

	opened := w.run(t, every(nil))
	require.Equal(t, store.AuditDrift{Opened: 1}, opened.Drift)
	require.Equal(t, 1, opened.Drifted)
	first := w.found1(t)
	require.Equal(t, fleet.DriftMissing, first.Kind)
	require.Equal(t, fleet.CauseChangedOutside, first.Cause)
	require.Equal(t, "maple-court", first.Property)
	require.Equal(t, fleet.StatusAbsent, first.Observed.Status)
	require.NotNil(t, first.LastGoodAt)
	require.True(t, first.LastGoodAt.Before(first.FirstSeenAt))

	var version string
	read := func() string {
		require.NoError(t, w.pool.QueryRow(t.Context(), "SELECT string_agg(ctid::text || xmin::text, ' ' ORDER BY id) FROM drifts").Scan(&version))
		return version
	}
	before := read()
	require.Equal(t, store.AuditDrift{}, w.run(t, every(nil)).Drift)
	require.Equal(t, before, read(), "it persists as it is")
	require.Equal(t, 1, w.run(t, func(string) (sight, fleet.UnknownReason) { return nil, fleet.UnknownServerError }).Unknown)
	require.Equal(t, before, read(), "a home that was not seen opens and resolves nothing")

	changed := w.run(t, every(sight{testSkill: shows(fleet.StatusEnabled, fleet.StageDevelopment)}))
	require.Equal(t, store.AuditDrift{Opened: 1, Resolved: 1}, changed.Drift)
	second := w.found1(t)
	require.Equal(t, fleet.DriftWrongStage, second.Kind)
	require.NotEqual(t, first.ID, second.ID)
	require.Equal(t, first.LastGoodAt, second.LastGoodAt, "it has not been good since")

	resolved := w.run(t, every(sight{testSkill: on}))
	require.Equal(t, store.AuditDrift{Resolved: 1}, resolved.Drift)
	require.Equal(t, 1, resolved.InSync)
	require.Empty(t, w.drift(t, store.DriftFilter{}))
	require.Equal(t, 2, w.count(t, "SELECT count(*) FROM drifts WHERE resolved_at > first_seen_at"))
}

// Kinds as the contract has them, what nothing manages, what is protected, and what
// nobody documents.
func TestAuditsCompareManagedSkills(t *testing.T) {
	t.Parallel()
	protected := fleet.ProtectedSkills()[0]
	tests := map[string]struct {
		shown     sight
		result    fleet.AuditResult
		kind      fleet.DriftKind
		unmanaged int64
	}{
		"as desired":                    {shown: sight{testSkill: on}, result: fleet.AuditInSync},
		"an answer without a stage":     {shown: sight{testSkill: shows(fleet.StatusEnabled, "")}, result: fleet.AuditInSync},
		"another stage":                 {shown: sight{testSkill: shows(fleet.StatusEnabled, fleet.StageCertification)}, result: fleet.AuditDrifted, kind: fleet.DriftWrongStage},
		"gone":                          {result: fleet.AuditDrifted, kind: fleet.DriftMissing},
		"stuck":                         {shown: sight{testSkill: shows(fleet.StatusEnabling, fleet.StageLive)}, result: fleet.AuditDrifted, kind: fleet.DriftStuckEnabling},
		"failed":                        {shown: sight{testSkill: shows(fleet.StatusEnablingFailed, fleet.StageLive)}, result: fleet.AuditDrifted, kind: fleet.DriftStuckEnabling},
		"not linked":                    {shown: sight{testSkill: {Status: fleet.StatusEnabled, Stage: fleet.StageLive, AccountLink: fleet.NotLinked}}, result: fleet.AuditDrifted, kind: fleet.DriftNotLinked},
		"linked":                        {shown: sight{testSkill: {Status: fleet.StatusEnabled, Stage: fleet.StageLive, AccountLink: fleet.Linked}}, result: fleet.AuditInSync},
		"one that should be off is on":  {shown: sight{testSkill: on, "off": on}, result: fleet.AuditDrifted, kind: fleet.DriftUnexpected},
		"one that should be off is off": {shown: sight{testSkill: on, "off": shows(fleet.StatusDisabled, fleet.StageLive)}, result: fleet.AuditInSync},
		"what nothing manages":          {shown: sight{testSkill: on, "stranger": on, "other": on, "gone": shows(fleet.StatusDisabled, "")}, result: fleet.AuditInSync, unmanaged: 2},
		"protected":                     {shown: sight{testSkill: on, protected: on, "ours": on}, result: fleet.AuditInSync},
		"a status nobody documents":     {shown: sight{testSkill: shows("PENDING_REVIEW", fleet.StageLive), "off": on}, result: fleet.AuditUnknown},
		"of an unmanaged skill":         {shown: sight{testSkill: on, "stranger": shows("PENDING_REVIEW", fleet.StageLive)}, result: fleet.AuditInSync},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newNight(t, 1)
			_, err := w.SetAccount(t.Context(), "acme", store.AccountPatch{
				LinkMode: new(fleet.LinkDelegated), ProtectedSkills: []string{"ours"},
			}, w.by)
			require.NoError(t, err)
			w.want(t, testSkill, "live")
			w.want(t, "off", "disabled")
			a := w.run(t, every(tt.shown))
			require.Equal(t, tt.result == fleet.AuditInSync, a.InSync == 1, "%+v", a)
			require.Equal(t, tt.result == fleet.AuditUnknown, a.Unknown == 1, "%+v", a)
			require.Equal(t, tt.unmanaged, a.Unmanaged)
			if tt.kind == "" {
				require.Empty(t, w.drift(t, store.DriftFilter{}))
				return
			}
			require.Equal(t, tt.kind, w.found1(t).Kind)
		})
	}
}

// What is on record is as the list had it, and a row is written only for what changed.
func TestAuditsKeepWhatTheySaw(t *testing.T) {
	t.Parallel()
	w := newNight(t, 2)
	w.run(t, every(sight{testSkill: on, "other": shows(fleet.StatusEnabling, fleet.StageLive)}))
	first, changedAt, ok := w.observation(t, "home-1", testSkill)
	require.True(t, ok)
	require.Equal(t, fleet.StatusEnabled, first.Status)
	require.Equal(t, first.ObservedAt, changedAt)

	w.run(t, every(sight{testSkill: on}))
	same, _, ok := w.observation(t, "home-1", testSkill)
	require.True(t, ok)
	require.Equal(t, first, same, "nothing new, no row")
	gone, at, ok := w.observation(t, "home-1", "other")
	require.True(t, ok)
	require.Equal(t, fleet.StatusAbsent, gone.Status)
	require.Empty(t, gone.Stage)
	require.True(t, at.After(changedAt))
	require.Equal(t, 2, w.count(t, "SELECT count(*) FROM unit_sights WHERE seen_at > $1", at.Add(-time.Second)))

	// What was seen later than the list began is no business of the list.
	a := w.begin(t)
	w.tick(t, a.ID, 10)
	loaded, err := w.LoadAuditUnits(t.Context(), w.take())
	require.NoError(t, err)
	w.exec(t, "UPDATE observed SET status = 'DISABLING', observed_at = now() WHERE unit_id = $1", loaded[0].Unit)
	w.exec(t, "UPDATE observed SET status = '', stage = '', observed_at = $2 WHERE unit_id = $1", loaded[1].Unit, loaded[1].Began.Add(-time.Second))
	require.NoError(t, w.RecordAuditUnits(t.Context(), []store.AuditSight{look(loaded[0], sight{testSkill: on}, ""), look(loaded[1], sight{testSkill: on}, "")}))
	later, _, _ := w.observation(t, loaded[0].UnitID, testSkill)
	require.Equal(t, fleet.StatusDisabling, later.Status)
	known, _, _ := w.observation(t, loaded[1].UnitID, testSkill)
	require.Equal(t, fleet.StatusEnabled, known.Status, "what was in doubt was seen")
	known, _, _ = w.observation(t, loaded[1].UnitID, "other")
	require.Equal(t, fleet.StatusAbsent, known.Status)
}

// A list may have a skill at two stages; what is desired of it counts, else what is on.
func TestASkillAtTwoStages(t *testing.T) {
	t.Parallel()
	w := newNight(t, 1)
	w.want(t, testSkill, "live")
	w.want(t, "off", "disabled")
	a := w.begin(t)
	w.tick(t, a.ID, 1)
	loaded, err := w.LoadAuditUnits(t.Context(), w.take())
	require.NoError(t, err)
	s := look(loaded[0], nil, "")
	s.Seen = []store.SeenSkill{
		{SkillID: testSkill, Observation: shows(fleet.StatusEnabled, fleet.StageDevelopment)},
		{SkillID: testSkill, Observation: on},
		{SkillID: testSkill, Observation: shows(fleet.StatusDisabled, fleet.StageCertification)},
		{SkillID: "off", Observation: on},
		{SkillID: "off", Observation: shows(fleet.StatusDisabled, fleet.StageDevelopment)},
	}
	require.NoError(t, w.RecordAuditUnits(t.Context(), []store.AuditSight{s}))
	require.Equal(t, fleet.DriftUnexpected, w.found1(t).Kind)
	o, _, _ := w.observation(t, "home-1", testSkill)
	require.Equal(t, fleet.StageLive, o.Stage)
}

// An audit that finds nothing new writes one row a unit, and that within its page.
func TestAnAuditThatFindsNothingNewWritesOneRowAUnit(t *testing.T) {
	t.Parallel()
	w := newNight(t, 300)
	shown := sight{"stranger": on}
	for _, skill := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		w.want(t, skill, "live")
		shown[skill] = on
	}
	delete(shown, "g") // drift that is known is nothing new
	w.run(t, every(shown))
	w.run(t, every(shown))
	require.Len(t, w.drift(t, store.DriftFilter{}), 300)

	var xid int64
	require.NoError(t, w.pool.QueryRow(t.Context(), "SELECT pg_current_xact_id()::text::bigint").Scan(&xid))
	hot := w.hotUpdates(t, "unit_sights")
	a := w.run(t, every(shown))
	require.Equal(t, 300, a.Drifted)
	written := map[string]int{}
	rows, err := w.pool.Query(t.Context(), "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
	require.NoError(t, err)
	var tables []string
	for rows.Next() {
		var table string
		require.NoError(t, rows.Scan(&table))
		tables = append(tables, table)
	}
	require.NoError(t, rows.Err())
	for _, table := range tables {
		if n := w.count(t, `SELECT count(*) FROM "`+table+`" WHERE xmin::text::bigint > $1`, xid); n > 0 {
			written[table] = n
		}
	}
	require.Equal(t, map[string]int{"unit_sights": 300, "audits": 1, "audit_chunks": 2, "log_entries": 1}, written)
	require.Eventually(t, func() bool { return w.hotUpdates(t, "unit_sights")-hot >= 290 }, 20*time.Second, 50*time.Millisecond,
		"they touched no index")
}

// hotUpdates is how many updates of a table stayed off its indexes, as far as Postgres
// has counted.
func (w *night) hotUpdates(t *testing.T, table string) (n int64) {
	t.Helper()
	require.NoError(t, w.pool.QueryRow(t.Context(), "SELECT n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = $1", table).Scan(&n))
	return n
}
