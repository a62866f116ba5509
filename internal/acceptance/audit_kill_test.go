package acceptance_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
	"fleetd/internal/postgres/pgtest"
	"fleetd/internal/simulator"
)

// TestAuditKilled audits three pages a home through an API that refuses three of ten
// requests, fails one of twenty, has short and empty pages and tokens that expire, with
// fleetd killed twice in the middle: every home has its answer, no drift is false, and
// no home is called in sync that was not seen.
func TestAuditKilled(t *testing.T) {
	t.Parallel()
	homes := size(150, 400)
	var enabled []simulator.Enablement
	for i := range 27 {
		enabled = append(enabled, simulator.Enablement{SkillID: fmt.Sprintf("amzn1.ask.skill.%02d", i), Stage: fleet.StageLive})
	}
	w := newWorldOn(t, simulator.Config{
		Units: homes, Enabled: enabled, RPS: 70, Burst: 7, Seed: 23, TokenTTL: 3 * time.Second,
		Faults: simulator.Faults{
			ErrorBefore: 0.05, ShortPage: 0.3, EmptyPage: 0.1, NullToken: 0.5, DuplicateItem: 0.2, TruncatedBody: 0.01,
			NotFoundHome: 0.02, ForbiddenHome: 0.02,
		},
	}, pgtest.New(t))
	w.serve()
	w.settle("100", "--burst", "30")
	w.wantEverywhere(enabled)
	changed := map[string]bool{}
	for i := range homes / 10 {
		unit := w.sim.UnitID(i * 10)
		require.NoError(t, w.sim.ChangeUnit(unit, simulator.Change{Action: simulator.ChangeDisable, SkillID: enabled[i%27].SkillID}))
		changed[unit] = true
	}

	var a client.Audit
	require.NoError(t, json.Unmarshal([]byte(w.must("audit", "run", "--account", "acme", "-o", "json")), &a))
	look := func() client.Audit {
		got, err := w.up().api.GetAudit(t.Context(), a.ID)
		require.NoError(t, err)
		sum := int64(0)
		for _, n := range got.Value.UnknownReasons {
			sum += n
		}
		require.Equal(t, got.Value.Unknown, sum)
		return got.Value
	}
	for kill := int64(1); kill <= 2; kill++ {
		eventually(t, 2*time.Minute, "the next third is done", func() bool {
			a = look()
			return a.InSync+a.Drifted+a.Unknown > a.Units*kill/3
		})
		require.Nil(t, a.EndedAt)
		w.up().kill()
		w.serve()
	}
	eventually(t, 3*time.Minute, "the audit ends", func() bool { a = look(); return a.EndedAt != nil })

	require.Equal(t, a.Units, a.InSync+a.Drifted+a.Unknown)
	require.Positive(t, a.Throttled)
	results := map[string]client.AuditedUnit{}
	var page client.AuditedUnitList
	require.NoError(t, json.Unmarshal([]byte(w.must("audit", "units", a.ID, "-o", "json")), &page))
	for _, u := range page.Items {
		results[u.UnitID] = u
	}
	require.Len(t, results, homes)
	for unit, u := range results {
		switch class := w.sim.Truth(unit, enabled[0].SkillID); {
		case class == simulator.ClassForbidden:
			require.Equal(t, string(fleet.UnknownForbidden), u.Reason)
		case class == simulator.ClassNotFound:
			require.Equal(t, string(fleet.UnknownUnitNotFound), u.Reason)
		case u.Result == string(fleet.AuditUnknown): // time and again no answer: rare, and said
			require.Contains(t, []string{string(fleet.UnknownServerError), string(fleet.UnknownInvalidAnswer)}, u.Reason)
		default:
			require.Equal(t, changed[unit], u.Result == string(fleet.AuditDrifted), "%s is %s", unit, u.Result)
			require.NotNil(t, u.SeenAt)
		}
	}
	require.Zero(t, w.sim.Stats().Writes, "an audit only reads")
	require.Less(t, float64(a.Unknown), float64(homes)*0.15)
}

// wantEverywhere says that skills should be live in every home of acme.
func (w *world) wantEverywhere(skills []simulator.Enablement) {
	w.t.Helper()
	conn, err := pgx.Connect(w.t.Context(), w.database)
	require.NoError(w.t, err)
	defer func() { _ = conn.Close(w.t.Context()) }()
	for _, s := range skills {
		_, err := conn.Exec(w.t.Context(), "INSERT INTO skills (skill_id) VALUES ($1) ON CONFLICT DO NOTHING", s.SkillID)
		require.NoError(w.t, err)
	}
	for _, sql := range []string{
		"INSERT INTO desired_changes (key, account_id, source, actor) SELECT 'dc-test', id, 'adopt', 'test' FROM accounts",
		"INSERT INTO managed_skills (account_id, skill_id) SELECT accounts.id, skills.id FROM accounts, skills",
		`INSERT INTO desired (unit_id, skill_id, stage, change_id, changed_at)
		SELECT units.id, skills.id, 'live', desired_changes.id, now() FROM units, skills, desired_changes`,
	} {
		_, err := conn.Exec(w.t.Context(), sql)
		require.NoError(w.t, err)
	}
}
