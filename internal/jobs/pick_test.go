package jobs

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

// everySight is every observation that makes a difference, and some that must not.
func everySight() []fleet.Observation {
	var all []fleet.Observation
	for _, status := range []fleet.Status{
		fleet.StatusAbsent, fleet.StatusEnabled, fleet.StatusEnabling, fleet.StatusEnablingFailed, fleet.StatusDisabled,
		fleet.StatusDisabling, fleet.StatusDisablingFailed, fleet.StatusNoAssociation, "REVIEWING", "enabled", "",
	} {
		for _, stage := range append(fleet.Stages(), "", "certified") {
			for _, link := range []fleet.LinkStatus{"", fleet.Linked, fleet.NotLinked, "UNLINKING"} {
				for _, age := range []time.Duration{time.Minute, 2 * time.Hour} {
					all = append(all, fleet.Observation{Status: status, Stage: stage, AccountLink: link, ObservedAt: time.Now().Add(-age)})
				}
			}
		}
	}
	return all
}

// What a plan prices and what the workers do come from the same idea of what a
// unit shows: a plan that says "no request" or "one" must not cost more.
func TestPlansPriceWhatTheWorkersDo(t *testing.T) {
	t.Parallel()
	w := newStore(t)
	sights := everySight()
	for _, mode := range fleet.LinkModes() {
		account := string(mode)
		w.account(account, func(p *store.AccountParams) {
			p.LinkMode = mode
			if mode == fleet.LinkCodes {
				p.CodeURL, p.RedirectURIs = w.url+"/codes", []string{"https://link.example"}
			}
		})
		w.observeAll(account, sights)
	}
	for _, mode := range fleet.LinkModes() {
		for _, action := range fleet.Actions() {
			for _, anyAge := range []bool{false, true} {
				w.requirePriced(mode, action, anyAge, sights)
			}
		}
	}
}

// requirePriced compares one plan, and the rollout made of it, with what an attempt
// would do about each unit.
func (w *world) requirePriced(mode fleet.LinkMode, action fleet.Action, anyAge bool, sights []fleet.Observation) {
	t := w.t
	t.Helper()
	p := store.RolloutParams{
		Account: string(mode), Action: action, SkillID: skill, Selector: "all", ObservationMaxAge: time.Hour, ObservationAny: anyAge,
	}
	spec := store.RolloutSpec{Action: action, Stage: fleet.StageLive, ObservationMaxAge: time.Hour, ObservationAny: anyAge}
	want, already := store.PlanExpected{}, map[string]bool{}
	for i := range sights {
		switch workerClass(spec, mode, &sights[i]) {
		case "already":
			want.AlreadyInState++
			already[unitName(i)] = true
		case "read":
			want.Read++
		case "write":
			want.Write++
		}
	}
	if anyAge { // and one that was never seen
		want.Write++
	} else {
		want.Read++
	}

	plan, err := w.store.PlanRollout(t.Context(), p)
	require.NoError(t, err)
	require.Equal(t, want, plan.Expected, "%s with %s, any age %v", action, mode, anyAge)

	r, _, err := w.store.CreateRollout(t.Context(), p, w.by, store.Idempotency{})
	require.NoError(t, err)
	for _, target := range w.targets(r.ID) {
		require.Equal(t, already[target.UnitID], target.Reason == fleet.ReasonAlreadyInState, "%s with %s: %+v", action, mode, target.Before)
	}
	_, err = w.store.CancelRollout(t.Context(), r.ID, "", w.by)
	require.NoError(t, err)
}

// workerClass is what an attempt would do first about a unit seen so.
func workerClass(spec store.RolloutSpec, mode fleet.LinkMode, o *fleet.Observation) string {
	target := plainTarget()
	target.Observed = o
	a := newAttempt(&target, spec, &Account{Link: Link{Mode: mode}}, &doors{})
	seen, known := a.known()
	switch {
	case !known:
		return "read"
	case a.look(seen) == sightWanted:
		return "already"
	}
	return "write"
}

func unitName(i int) string { return fmt.Sprintf("u%05d", i) }

// observeAll gives an account a unit for each observation, and one without.
func (w *world) observeAll(account string, sights []fleet.Observation) {
	w.t.Helper()
	var csv strings.Builder
	csv.WriteString("unit_id,property\n")
	for i := range len(sights) + 1 {
		fmt.Fprintf(&csv, "%s,p\n", unitName(i))
	}
	_, _, err := w.store.ImportUnits(w.t.Context(), account, strings.NewReader(csv.String()), store.ImportParams{}, w.by, store.Idempotency{})
	require.NoError(w.t, err)
	w.exec("INSERT INTO skills (skill_id) VALUES ($1) ON CONFLICT DO NOTHING", skill)
	var ids, statuses, stages, links []string
	var times []time.Time
	for i, o := range sights {
		ids, statuses, stages = append(ids, unitName(i)), append(statuses, string(o.Status)), append(stages, string(o.Stage))
		links, times = append(links, string(o.AccountLink)), append(times, o.ObservedAt)
	}
	n := w.exec(`
		INSERT INTO observed (unit_id, skill_id, status, stage, account_link, observed_at, changed_at)
		SELECT u.id, s.id, o.status, o.stage, o.link, o.at, o.at
		FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[]) AS o (unit, status, stage, link, at)
		JOIN accounts AS a ON a.name = $6
		JOIN units AS u ON u.unit_id = o.unit AND u.account_id = a.id
		JOIN skills AS s ON s.skill_id = $7`, ids, statuses, stages, links, times, account, skill)
	require.EqualValues(w.t, len(sights), n)
}
