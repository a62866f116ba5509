package store_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

func TestListDriftShowsWhatIsOnRecord(t *testing.T) {
	t.Parallel()
	f := newDrifted(t, 3)
	f.found(t, missing("u1"))
	f.found(t, finding{unit: "u2", kind: fleet.DriftUnexpected, cause: fleet.CauseUnknown, status: fleet.StatusEnabled, stage: fleet.StageDevelopment})
	f.found(t, finding{unit: "u3", kind: fleet.DriftUnexpected, desired: new(""), status: fleet.StatusEnabled, stage: fleet.StageLive})

	got := f.drift(t, store.DriftFilter{})

	require.Len(t, got, 3)
	require.Equal(t, &store.DriftDesired{Enabled: true, Stage: fleet.StageLive}, got[0].Desired)
	require.Nil(t, got[1].Desired)
	require.Equal(t, &store.DriftDesired{}, got[2].Desired)
	d := got[1]
	require.WithinDuration(t, time.Now().Add(-time.Hour), d.FirstSeenAt, time.Minute)
	require.WithinDuration(t, time.Now().Add(-24*time.Hour), *d.LastGoodAt, time.Minute)
	require.Equal(t, store.Drift{
		ID: d.ID, Account: "acme", UnitID: "u2", Property: "oak-park", SkillID: testSkill, Kind: fleet.DriftUnexpected,
		Observed:    fleet.Observation{Status: fleet.StatusEnabled, Stage: fleet.StageDevelopment, ObservedAt: d.FirstSeenAt},
		FirstSeenAt: d.FirstSeenAt, LastGoodAt: d.LastGoodAt, Cause: fleet.CauseUnknown, CauseDetail: "because",
	}, d)
}

func TestListDriftFilters(t *testing.T) {
	t.Parallel()
	f := newDrifted(t, 4)
	f.account(t, "other")
	_, err := f.load(t, "other", store.ImportParams{}, "u1,maple-court,,vacant,")
	require.NoError(t, err)
	a := f.found(t, missing("u1"))
	b := f.found(t, finding{unit: "u2", kind: fleet.DriftMissing, desired: new("live"), cause: fleet.CauseUnitReset})
	c := f.found(t, finding{unit: "u2", skill: "amzn1.ask.skill.b", kind: fleet.DriftUnexpected, status: fleet.StatusEnabled, stage: "live"})
	d := f.found(t, finding{unit: "u3", kind: fleet.DriftWrongStage, desired: new("live"), status: fleet.StatusEnabled, stage: "development"})
	e := f.found(t, finding{account: "other", unit: "u1", kind: fleet.DriftMissing, desired: new("live")})
	gone := f.found(t, missing("u4"))
	_, err = f.pool.Exec(t.Context(), "UPDATE drifts SET resolved_at = now() WHERE key = $1", gone)
	require.NoError(t, err)
	_, err = f.IgnoreDrift(t.Context(), store.IgnoreParams{Filter: store.DriftFilter{IDs: []string{d}}, Until: time.Now().Add(time.Hour), Reason: "known"}, f.by)
	require.NoError(t, err)

	for name, tc := range map[string]struct {
		filter store.DriftFilter
		want   []string
	}{
		"all that count":        {store.DriftFilter{}, []string{a, b, c, e}},
		"of an account":         {store.DriftFilter{Account: "acme"}, []string{a, b, c}},
		"of a property":         {store.DriftFilter{Property: "maple-court"}, []string{a, e}},
		"and an account":        {store.DriftFilter{Property: "maple-court", Account: "other"}, []string{e}},
		"of a kind":             {store.DriftFilter{Kind: fleet.DriftMissing}, []string{a, b, e}},
		"of a cause":            {store.DriftFilter{Cause: fleet.CauseUnitReset}, []string{b}},
		"of a skill":            {store.DriftFilter{SkillID: "amzn1.ask.skill.b"}, []string{c}},
		"of an unknown skill":   {store.DriftFilter{SkillID: "amzn1.ask.skill.zz"}, []string{}},
		"of a unit":             {store.DriftFilter{UnitID: "u1"}, []string{a, e}},
		"of a unit's account":   {store.DriftFilter{UnitID: "u1", Account: "acme"}, []string{a}},
		"only ignored":          {store.DriftFilter{Ignored: store.DriftIgnoredYes}, []string{d}},
		"ignored or not":        {store.DriftFilter{Ignored: store.DriftIgnoredAny}, []string{a, b, c, d, e}},
		"everything that there": {store.DriftFilter{Account: "acme", Property: "oak-park", Kind: fleet.DriftMissing, Cause: fleet.CauseUnitReset, SkillID: testSkill, UnitID: "u2"}, []string{b}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, driftIDs(f.drift(t, tc.filter)))
		})
	}
	t.Run("page by page", func(t *testing.T) {
		t.Parallel()
		var all []string
		var after store.DriftCursor
		for {
			items, next, err := f.ListDrift(t.Context(), store.DriftFilter{}, after, 1)
			require.NoError(t, err)
			all = append(all, driftIDs(items)...)
			if after = next; next == (store.DriftCursor{}) {
				break
			}
		}
		require.Equal(t, []string{a, b, c, e}, all)
	})
}

func TestDriftFiltersAreChecked(t *testing.T) {
	t.Parallel()
	f := newDrifted(t, 1)
	for name, tc := range map[string]struct {
		filter store.DriftFilter
		code   fleet.Code
		field  string
		says   string
	}{
		"an unknown kind":    {store.DriftFilter{Kind: "lost"}, fleet.CodeInvalid, "kind", "missing, unexpected, wrong_stage"},
		"an unknown cause":   {store.DriftFilter{Cause: "magic"}, fleet.CodeInvalid, "cause", "changed_outside"},
		"an unknown account": {store.DriftFilter{Account: "nobody"}, fleet.CodeNotFound, "account", "fleetctl account list"},
		"an unknown unit":    {store.DriftFilter{UnitID: "u9"}, fleet.CodeNotFound, "unit_id", "no unit"},
		"an odd ignored":     {store.DriftFilter{Ignored: "maybe"}, fleet.CodeInvalid, "ignored", "false, true, any"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := f.ListDrift(t.Context(), tc.filter, store.DriftCursor{}, 0)
			for _, err := range []error{
				err,
				second(f.SummarizeDrift(t.Context(), tc.filter, nil)),
				second(f.IgnoreDrift(t.Context(), store.IgnoreParams{Filter: tc.filter, Until: time.Now().Add(time.Hour), Reason: "x"}, f.by)),
			} {
				e := asFleet(t, err)
				require.Equal(t, tc.code, e.Code)
				require.Equal(t, tc.field, e.Field)
				require.Contains(t, e.Message, tc.says)
			}
		})
	}
	_, err := f.SummarizeDrift(t.Context(), store.DriftFilter{}, []store.DriftBy{"color"})
	require.Equal(t, "by", asFleet(t, err).Field)
}

func TestSummarizeDrift(t *testing.T) {
	t.Parallel()
	f := newDrifted(t, 20)
	for _, unit := range []string{"u1", "u3", "u5"} {
		f.found(t, missing(unit))
	}
	f.found(t, finding{unit: "u7", kind: fleet.DriftNotLinked, desired: new("live"), ago: 3 * time.Hour})
	f.found(t, finding{unit: "u2", kind: fleet.DriftMissing, desired: new("live"), cause: fleet.CauseOccupied})

	got, err := f.SummarizeDrift(t.Context(), store.DriftFilter{}, nil)
	require.NoError(t, err)
	require.Equal(t, 5, got.Total)
	require.Equal(t, 3, got.Groups)
	require.Len(t, got.Items, 3)
	first := got.Items[0]
	require.Equal(t, store.DriftGroup{
		Cause: fleet.CauseChangedOutside, Property: "maple-court", Kind: fleet.DriftMissing, Count: 3, Share: 0.6, FirstSeenAt: first.FirstSeenAt,
	}, first)

	got, err = f.SummarizeDrift(t.Context(), store.DriftFilter{Account: "acme"}, []store.DriftBy{store.DriftByProperty, store.DriftByCause})
	require.NoError(t, err)
	require.Equal(t, []int{4, 1}, []int{got.Items[0].Count, got.Items[1].Count})
	require.WithinDuration(t, time.Now().Add(-3*time.Hour), got.Items[0].FirstSeenAt, time.Minute, "the earliest of the group")

	got, err = f.SummarizeDrift(t.Context(), store.DriftFilter{}, []store.DriftBy{store.DriftByAccount, store.DriftBySkill})
	require.NoError(t, err)
	require.Equal(t, []store.DriftGroup{{Account: "acme", SkillID: testSkill, Count: 5, Share: 1, FirstSeenAt: got.Items[0].FirstSeenAt}}, got.Items)

	got, err = f.SummarizeDrift(t.Context(), store.DriftFilter{Kind: fleet.DriftWrongStage}, nil)
	require.NoError(t, err)
	require.Equal(t, store.DriftSummary{Items: []store.DriftGroup{}}, got)
}

func TestIgnoredDriftCountsAgainInTime(t *testing.T) {
	t.Parallel()
	f := newDrifted(t, 4)
	a, b := f.found(t, missing("u1")), f.found(t, missing("u2"))
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)

	got, err := f.IgnoreDrift(t.Context(), store.IgnoreParams{
		Filter: store.DriftFilter{Account: "acme", Property: "maple-court"}, Until: until, Reason: "renovation",
	}, f.by)

	require.NoError(t, err)
	require.Equal(t, store.DriftIgnoring{Ignored: 1, Until: until, By: "ann", Reason: "renovation"}, got)
	require.Equal(t, []string{b}, driftIDs(f.drift(t, store.DriftFilter{})))
	ignored := f.drift(t, store.DriftFilter{Ignored: store.DriftIgnoredYes})
	require.Equal(t, []string{a}, driftIDs(ignored))
	require.True(t, ignored[0].Ignored)
	require.Equal(t, until, *ignored[0].IgnoredUntil)
	require.Equal(t, "ann", ignored[0].IgnoredBy)
	require.Equal(t, "renovation", ignored[0].IgnoreReason)
	require.Equal(t, 1, f.count(t, `SELECT count(*) FROM log_entries WHERE action = 'drift.ignore' AND object = 'account/acme'
		AND reason = 'renovation' AND detail ->> 'filter' = 'account=acme,property=maple-court' AND detail ->> 'findings' = '1'`))

	_, err = f.pool.Exec(t.Context(), "UPDATE drifts SET ignored_until = now() - interval '1 second' WHERE key = $1", a)
	require.NoError(t, err)
	again := f.drift(t, store.DriftFilter{})
	require.Equal(t, []string{a, b}, driftIDs(again), "when its time has passed it counts again")
	require.False(t, again[0].Ignored)
	require.Equal(t, "renovation", again[0].IgnoreReason, "and says that it was ignored")
}

func TestIgnoreDriftRefuses(t *testing.T) {
	t.Parallel()
	f := newDrifted(t, 2)
	a, gone := f.found(t, missing("u1")), f.found(t, missing("u2"))
	_, err := f.pool.Exec(t.Context(), "UPDATE drifts SET resolved_at = now() WHERE key = $1", gone)
	require.NoError(t, err)
	later := time.Now().Add(time.Hour)
	for name, tc := range map[string]struct {
		p    store.IgnoreParams
		says string
	}{
		"an expiry in the past":         {store.IgnoreParams{Until: time.Now().Add(-time.Second), Reason: "x"}, "is past"},
		"no expiry":                     {store.IgnoreParams{Reason: "x"}, "is past"},
		"no reason":                     {store.IgnoreParams{Until: later, Reason: " "}, "say why"},
		"a filter that matches nothing": {store.IgnoreParams{Until: later, Reason: "x", Filter: store.DriftFilter{Kind: fleet.DriftNotLinked}}, "no open finding matches kind=not_linked"},
		"an unknown ID":                 {store.IgnoreParams{Until: later, Reason: "x", Filter: store.DriftFilter{IDs: []string{a, "dr-0"}}}, "no open findings"},
		"a resolved one":                {store.IgnoreParams{Until: later, Reason: "x", Filter: store.DriftFilter{IDs: []string{a, gone}}}, "no open findings"},
		"an ID of another kind":         {store.IgnoreParams{Until: later, Reason: "x", Filter: store.DriftFilter{IDs: []string{a}, Kind: fleet.DriftNotLinked}}, "no open finding matches"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := f.IgnoreDrift(t.Context(), tc.p, f.by)
			require.Contains(t, asFleet(t, err).Message, tc.says)
			require.Equal(t, []string{a}, driftIDs(f.drift(t, store.DriftFilter{})), "nothing was changed")
		})
	}
}

func TestUnignoredDriftCountsAgainAtOnce(t *testing.T) {
	t.Parallel()
	f := newDrifted(t, 4)
	a, b, c := f.found(t, missing("u1")), f.found(t, missing("u2")), f.found(t, missing("u3"))
	until := time.Now().Add(time.Hour)
	_, err := f.IgnoreDrift(t.Context(), store.IgnoreParams{Filter: store.DriftFilter{IDs: []string{a, b}}, Until: until, Reason: "renovation"}, f.by)
	require.NoError(t, err)

	got, err := f.UnignoreDrift(t.Context(), store.UnignoreParams{Filter: store.DriftFilter{Property: "maple-court"}, Reason: "done"}, f.by)

	require.NoError(t, err)
	require.Equal(t, store.DriftUnignoring{Unignored: 1, By: "ann", Reason: "done"}, got, "what was not ignored is not counted")
	items := f.drift(t, store.DriftFilter{})
	require.Equal(t, []string{a, c}, driftIDs(items))
	require.False(t, items[0].Ignored)
	require.Equal(t, "renovation", items[0].IgnoreReason, "who ignored it and why stays")
	require.Equal(t, []string{b}, driftIDs(f.drift(t, store.DriftFilter{Ignored: store.DriftIgnoredYes})))
	require.Equal(t, 1, f.count(t, `SELECT count(*) FROM log_entries WHERE action = 'drift.unignore' AND object = 'drift'
		AND actor = 'ann' AND reason = 'done' AND detail ->> 'filter' = 'property=maple-court,ignored=true' AND detail ->> 'findings' = '1'`))

	_, err = f.IgnoreDrift(t.Context(), store.IgnoreParams{Filter: store.DriftFilter{IDs: []string{a}}, Until: until, Reason: "again"}, f.by)
	require.NoError(t, err)
	got, err = f.UnignoreDrift(t.Context(), store.UnignoreParams{Filter: store.DriftFilter{IDs: []string{a, c}}}, f.by)
	require.NoError(t, err)
	require.Equal(t, 1, got.Unignored)

	for name, filter := range map[string]store.DriftFilter{
		"none of them is ignored": {IDs: []string{a, c}},
		"nothing matches":         {Kind: fleet.DriftNotLinked},
		"one is not open":         {IDs: []string{b, "dr-0"}},
		"an unknown account":      {Account: "nobody"},
	} {
		_, err := f.UnignoreDrift(t.Context(), store.UnignoreParams{Filter: filter}, f.by)
		require.Error(t, err, name)
		require.NotEmpty(t, asFleet(t, err).Message, name)
	}
	require.Equal(t, []string{b}, driftIDs(f.drift(t, store.DriftFilter{Ignored: store.DriftIgnoredYes})), "nothing was changed")
}

func TestDriftCountsEveryKind(t *testing.T) {
	t.Parallel()
	f := newDrifted(t, 4)
	f.account(t, "idle")
	for _, unit := range []string{"u1", "u2", "u3"} {
		f.found(t, missing(unit))
	}
	resolved := f.found(t, missing("u4"))
	_, err := f.pool.Exec(t.Context(), "UPDATE drifts SET resolved_at = now() WHERE key = $1", resolved)
	require.NoError(t, err)
	_, err = f.IgnoreDrift(t.Context(), store.IgnoreParams{Filter: store.DriftFilter{UnitID: "u1"}, Until: time.Now().Add(time.Hour), Reason: "x"}, f.by)
	require.NoError(t, err)

	got, err := f.DriftCounts(t.Context())

	require.NoError(t, err)
	var want []store.DriftCount
	for _, account := range []string{"acme", "idle"} {
		for _, kind := range fleet.DriftKinds() {
			c := store.DriftCount{Account: account, Kind: kind}
			if account == "acme" && kind == fleet.DriftMissing {
				c.N = 2
			}
			want = append(want, c)
		}
	}
	require.Equal(t, want, got)
}

func TestAnImportCarriesPropertiesToFindings(t *testing.T) {
	t.Parallel()
	f := newDrifted(t, 3)
	a, b, c := f.found(t, missing("u1")), f.found(t, missing("u2")), f.found(t, missing("u3"))

	_, err := f.load(t, "acme", store.ImportParams{Prune: true}, "u1,elm-house,,vacant,", "u2,oak-park,,vacant,")
	require.NoError(t, err)

	require.Equal(t, []string{a}, driftIDs(f.drift(t, store.DriftFilter{Property: "elm-house"})))
	require.Equal(t, []string{a, b}, driftIDs(f.drift(t, store.DriftFilter{})), "a unit that is removed has no drift")

	_, err = f.load(t, "acme", store.ImportParams{}, "u3,elm-house,,vacant,")
	require.NoError(t, err)
	require.Equal(t, 1, f.count(t, "SELECT count(*) FROM drifts WHERE key = '"+c+"' AND resolved_at IS NOT NULL AND property = 'maple-court'"),
		"what is resolved stays as it was")
}

// resolve resolves by rollout in a transaction of its own.
func (f fixture) resolve(t *testing.T, rollout int64) (n int) {
	t.Helper()
	err := pgx.BeginFunc(t.Context(), f.pool, func(tx pgx.Tx) (err error) {
		n, err = store.ResolveByRollout(t.Context(), tx, rollout)
		return err
	})
	require.NoError(t, err)
	return n
}

func TestARolloutResolvesWhatItPutRight(t *testing.T) {
	t.Parallel()
	y := &yard{fixture: newDrifted(t, 10)}
	_, err := y.pool.Exec(t.Context(), "UPDATE units SET occupancy = 'occupied' WHERE unit_id = 'u4'")
	require.NoError(t, err)
	r := y.create(t)
	id := y.row(t, r.ID)
	settle := func(unit, state, reason string, ended time.Duration) {
		y.set(t, `UPDATE targets SET state = $3::target_state, reason = $4, ended_at = now() - $5::interval
			FROM units WHERE units.id = targets.unit_id AND rollout_id = $1 AND units.unit_id = $2`, id, unit, state, reason, ended.String())
	}
	var open []string
	for _, unit := range []string{"u1", "u2", "u3", "u4", "u5", "u6"} {
		open = append(open, y.found(t, missing(unit)))
	}
	other := y.found(t, finding{unit: "u1", skill: "amzn1.ask.skill.b", kind: fleet.DriftMissing, desired: new("live")})
	settle("u1", "succeeded", "", time.Minute)
	settle("u2", "skipped", "already_in_state", time.Minute)
	settle("u3", "failed", "forbidden", time.Minute)
	settle("u4", "skipped", "occupied", time.Minute)
	settle("u5", "succeeded", "", 2*time.Hour)
	settle("u6", "skipped", "already_in_state", time.Minute)
	y.set(t, `UPDATE targets SET before = jsonb_build_object('observed_at', now() - interval '2 hours')
		FROM units WHERE units.id = targets.unit_id AND units.unit_id = 'u6'`)

	require.Equal(t, 2, y.resolve(t, id))

	require.ElementsMatch(t, append(open[2:], other), driftIDs(y.drift(t, store.DriftFilter{})),
		"a failure, an occupied home, another skill, and proofs older than the finding resolve nothing")
	require.Equal(t, 2, y.count(t, "SELECT count(*) FROM drifts WHERE resolved_at BETWEEN now() - interval '2 minutes' AND now() - interval '30 seconds'"),
		"resolved when it was proven")
	require.Zero(t, y.resolve(t, id), "once")
	require.Zero(t, y.resolve(t, id+1000))
}

func TestNoDriftIsAnErrorOfItsOwn(t *testing.T) {
	t.Parallel()
	f := newDrifted(t, 1)
	_, err := f.PlanRepair(t.Context(), store.RepairParams{})
	require.ErrorIs(t, err, store.ErrNoDrift)
	require.NotErrorIs(t, err, store.ErrAboveCeiling)
}

func TestAnAccountTakesItsDriftWithIt(t *testing.T) {
	t.Parallel()
	f := newDrifted(t, 2)
	f.found(t, missing("u1"))

	require.NoError(t, f.DeleteAccount(t.Context(), "acme", true, "sold", f.by))

	require.Zero(t, f.count(t, "SELECT count(*) FROM drifts"))
}
