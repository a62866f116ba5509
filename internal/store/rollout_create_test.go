package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

// Over random fleets and guardrails: what the plan says is what is created.
func TestAPlanIsWhatIsCreated(t *testing.T) {
	t.Parallel()
	y := newYard(t, 300)
	y.set(t, "UPDATE units SET occupancy = 'occupied' WHERE id % 9 = 0")
	y.set(t, "UPDATE units SET occupancy = 'linked' WHERE id % 25 = 0")
	y.set(t, "UPDATE units SET removed_at = now() WHERE id % 31 = 0")
	y.observe(t, "u.id % 3 = 0", fleet.StatusEnabled, time.Minute)
	y.observe(t, "u.id % 3 = 1", fleet.StatusAbsent, 2*time.Hour)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		if n++; n > 40 { // each is two creations: enough
			n = 40
			return
		}
		selector := []string{"property=maple-%d", "property in (maple-%d,maple-0)", "floor=1,property!=maple-%d", "occupancy=vacant,property=maple-%d"}
		p := store.RolloutParams{
			Account: "acme", SkillID: testSkill,
			Action:            rapid.SampledFrom(fleet.Actions()).Draw(rt, "action"),
			Selector:          fmt.Sprintf(rapid.SampledFrom(selector).Draw(rt, "selector"), rapid.IntRange(0, 6).Draw(rt, "property")),
			Canary:            rapid.SampledFrom([]int{0, 1, 5, 1000}).Draw(rt, "canary"),
			Waves:             rapid.SliceOfN(rapid.SampledFrom([]string{"1", "10", "5%", "33.3%", "100%"}), 0, 3).Draw(rt, "waves"),
			MaxFailures:       rapid.SampledFrom([]string{"", "0", "3", "10%"}).Draw(rt, "max failures"),
			IncludeOccupied:   rapid.Bool().Draw(rt, "include occupied"),
			ObservationAny:    rapid.Bool().Draw(rt, "any age"),
			ObservationMaxAge: rapid.SampledFrom([]time.Duration{0, time.Second, time.Hour, 3 * time.Hour}).Draw(rt, "max age"),
			Weight:            rapid.IntRange(0, 3).Draw(rt, "weight"),
		}
		if rapid.Bool().Draw(rt, "later") {
			p.StartAt = time.Now().Add(time.Hour).Truncate(time.Second)
		}
		plan, err := y.PlanRollout(t.Context(), p)
		require.NoError(rt, err)

		r, _, err := y.CreateRollout(t.Context(), p, y.by, store.Idempotency{})
		require.NoError(rt, err)

		e := plan.Expected
		require.Equal(rt, plan.Targets, r.Targets)
		require.Equal(rt, plan.Targets, e.Write+e.Read+e.AlreadyInState+e.Occupied)
		skipped := e.Occupied
		if p.StartAt.IsZero() {
			skipped += e.AlreadyInState // later ones are looked at again when their turn comes
		}
		require.Equal(rt, fleet.Counts{Pending: plan.Targets - skipped, Skipped: skipped}, r.Counts)
		require.Equal(rt, plan.Price, r.Price)
		require.Equal(rt, int64(e.Write+2*e.Read), r.Price.Requests)
		require.Equal(rt, plan.MaxFailures, r.MaxFailures)
		require.Equal(rt, plan.Selector, r.Selector)
		require.Equal(rt, plan.Stage, r.Stage)
		require.Equal(rt, len(plan.Waves), r.Wave.Of)
		inWaves, inProperties := 0, 0
		for i, w := range plan.Waves {
			require.Equal(rt, i+1, w.Index)
			inWaves += w.Targets
		}
		for _, p := range plan.Properties {
			inProperties += p.Targets
		}
		require.Equal(rt, plan.Targets, inWaves)
		require.Equal(rt, plan.Targets, inProperties, "there are fewer than ten properties")
		y.whole(rt, r.ID)
		for i, target := range y.targets(t, r.ID, store.TargetFilter{}) {
			require.Equal(rt, i+1, target.Seq)
			require.Equal(rt, target.State == fleet.TargetSkipped, target.EndedAt != nil)
		}
		_, err = y.CancelRollout(t.Context(), r.ID, "", y.by)
		require.NoError(rt, err)
	})
	require.Equal(t, n, y.count(t, "SELECT count(*) FROM rollouts"), "plans leave nothing behind")
}

func TestCreateRolloutRefuses(t *testing.T) {
	t.Parallel()
	y := newYard(t, 20)
	_, err := y.SetAccount(t.Context(), "acme", store.AccountPatch{ProtectedSkills: []string{"amzn1.ask.skill.mine"}}, y.by)
	require.NoError(t, err)
	y.create(t, func(p *store.RolloutParams) { p.SkillID = "amzn1.ask.skill.other" })
	for name, c := range map[string]struct {
		change func(*store.RolloutParams)
		code   fleet.Code
		field  string
		says   string
	}{
		"no account":                     {func(p *store.RolloutParams) { p.Account = "none" }, fleet.CodeNotFound, "account", "fleetctl account list"},
		"no such action":                 {func(p *store.RolloutParams) { p.Action = "toggle" }, "", "action", "enable or disable"},
		"no such stage":                  {func(p *store.RolloutParams) { p.Stage = "beta" }, "", "stage", "development, certification or live"},
		"no skill":                       {func(p *store.RolloutParams) { p.SkillID = "" }, "", "skill", "1 to 255"},
		"a skill with a space":           {func(p *store.RolloutParams) { p.SkillID = "a b" }, "", "skill", "without spaces"},
		"a skill that is too long":       {func(p *store.RolloutParams) { p.SkillID = strings.Repeat("x", 256) }, "", "skill", "1 to 255"},
		"a skill of the account's own":   {func(p *store.RolloutParams) { p.SkillID = "amzn1.ask.skill.mine" }, fleet.CodeConflict, "skill", "protected_skill"},
		"a subscription":                 {func(p *store.RolloutParams) { p.SkillID = fleet.ProtectedSkills()[0] }, fleet.CodeConflict, "skill", "protected"},
		"a selector that matches none":   {func(p *store.RolloutParams) { p.Selector = "property=nowhere" }, "", "select", "matches no unit"},
		"a selector that is none":        {func(p *store.RolloutParams) { p.Selector = "property=" }, "", "", ""},
		"no units":                       {func(p *store.RolloutParams) { p.Selector = "" }, "", "select", "--units-file"},
		"a selector and a file":          {func(p *store.RolloutParams) { p.UnitIDs = []string{"u00001"} }, "", "select", "exclude each other"},
		"a wave of nothing":              {func(p *store.RolloutParams) { p.Waves = []string{"0"} }, "", "wave", ""},
		"a wave that is none":            {func(p *store.RolloutParams) { p.Waves = []string{"some"} }, "", "wave", ""},
		"a canary below zero":            {func(p *store.RolloutParams) { p.Canary = -1 }, "", "canary", ""},
		"failures that are no number":    {func(p *store.RolloutParams) { p.MaxFailures = "few" }, "", "max-failures", ""},
		"a soak below zero":              {func(p *store.RolloutParams) { p.Soak = -time.Second }, "", "soak", "negative"},
		"a window that never opens":      {func(p *store.RolloutParams) { p.Window = "08:00-08:00" }, "", "window", "never"},
		"a window that is none":          {func(p *store.RolloutParams) { p.Window = "at night" }, "", "window", ""},
		"a time zone that is none":       {func(p *store.RolloutParams) { p.Window, p.Timezone = "22:00-06:00", "Mars/Olympus" }, "", "timezone", "IANA"},
		"the server's own time zone":     {func(p *store.RolloutParams) { p.Window, p.Timezone = "22:00-06:00", "Local" }, "", "timezone", "IANA"},
		"a deadline that is too short":   {func(p *store.RolloutParams) { p.VerifyTimeout = time.Millisecond }, "", "verify-timeout", "1s or more"},
		"a deadline that is too far":     {func(p *store.RolloutParams) { p.VerifyTimeout = store.MaxVerifyTimeout + 1 }, "", "verify-timeout", "168h (7 days) or less"},
		"an age below zero":              {func(p *store.RolloutParams) { p.ObservationMaxAge = -1 }, "", "observation-max-age", "negative"},
		"a weight out of bounds":         {func(p *store.RolloutParams) { p.Weight = 1001 }, "", "weight", "1 to 1000"},
		"units that another rollout has": {func(p *store.RolloutParams) { p.SkillID, p.Selector = "amzn1.ask.skill.other", "property=maple-1" }, fleet.CodeConflict, "", "under way"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := plainRollout()
			c.change(&p)
			for _, err := range []error{second(y.PlanRollout(t.Context(), p)), third(y.CreateRollout(t.Context(), p, y.by, store.Idempotency{}))} {
				e := asFleet(t, err)
				if c.code == "" {
					c.code = fleet.CodeInvalid
				}
				require.Equal(t, c.code, e.Code, "%v", e)
				if c.field != "" {
					require.Equal(t, c.field, e.Field)
				}
				require.Contains(t, e.Error(), c.says)
			}
		})
	}
}

func second[T any](_ T, err error) error { return err }

func third[T, U any](_ T, _ U, err error) error { return err }

func TestARefusedRolloutLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	y := newYard(t, 20)
	logged := y.count(t, "SELECT count(*) FROM log_entries")
	_, _, err := y.CreateRollout(t.Context(), changed([]func(*store.RolloutParams){func(p *store.RolloutParams) { p.Waves = []string{"0"} }}), y.by, store.Idempotency{Key: "k", Hash: []byte("h")})
	require.Error(t, err)
	_, _, err = y.CreateRollout(t.Context(), changed([]func(*store.RolloutParams){func(p *store.RolloutParams) { p.Selector = "property=nowhere" }}), y.by, store.Idempotency{Key: "k", Hash: []byte("h")})
	require.Error(t, err)
	require.Zero(t, y.count(t, "SELECT count(*) FROM rollouts"))
	require.Zero(t, y.count(t, "SELECT count(*) FROM targets"))
	require.Zero(t, y.count(t, "SELECT count(*) FROM skills"))
	require.Zero(t, y.count(t, "SELECT count(*) FROM idempotency_keys"), "the key is free for a better request")
	require.Equal(t, logged, y.count(t, "SELECT count(*) FROM log_entries"))
}

func TestAnOverlapNamesTheOtherRollouts(t *testing.T) {
	t.Parallel()
	y := newYard(t, 21) // three a property
	one := y.create(t, func(p *store.RolloutParams) { p.Selector = "property=maple-1" })
	two := y.create(t, func(p *store.RolloutParams) { p.Selector = "property=maple-2" })
	_, err := y.PauseRollout(t.Context(), two.ID, "", y.by)
	require.NoError(t, err)

	_, _, err = y.try(t)

	e := asFleet(t, err)
	require.Equal(t, fleet.CodeConflict, e.Code)
	require.Contains(t, e.Message, one.ID+" (running) has 3 of these units")
	require.Contains(t, e.Message, two.ID+" (paused) has 3 of these units")
	require.Contains(t, e.Message, "fleetctl rollout watch "+one.ID)

	y.create(t, func(p *store.RolloutParams) { p.SkillID = "amzn1.ask.skill.other" })
	y.create(t, func(p *store.RolloutParams) { p.Selector = "property=maple-3" })
	_, err = y.CancelRollout(t.Context(), two.ID, "", y.by)
	require.NoError(t, err)
	y.create(t, func(p *store.RolloutParams) { p.Selector = "property=maple-2" })
}

// Of two creations at the same time over the same units, one wins.
func TestOneRolloutAUnitAndSkill(t *testing.T) {
	t.Parallel()
	y := newYard(t, 50)
	errs := make(chan error, 6)
	for range cap(errs) {
		go func() { errs <- third(y.CreateRollout(t.Context(), plainRollout(), y.by, store.Idempotency{})) }()
	}
	won := 0
	for range cap(errs) {
		if err := <-errs; err == nil {
			won++
		} else {
			require.Equal(t, fleet.CodeConflict, asFleet(t, err).Code)
		}
	}
	require.Equal(t, 1, won)
}

func TestAUnitsFileNamesUnitsInItsOrder(t *testing.T) {
	t.Parallel()
	y := newYard(t, 20)
	names := []string{"u00009", "u00003", "u00012"}
	r := y.create(t, func(p *store.RolloutParams) { p.Selector, p.UnitIDs = "", names })
	require.Equal(t, "units file (3 units)", r.Selector)
	for i, target := range y.targets(t, r.ID, store.TargetFilter{}) {
		require.Equal(t, names[i], target.UnitID)
	}

	y.account(t, "birch")
	_, err := y.load(t, "birch", store.ImportParams{}, "elsewhere,p,,,")
	require.NoError(t, err)
	y.set(t, "UPDATE units SET removed_at = now() WHERE unit_id = 'u00019'")
	bad := []string{"u00001", "u00002", "u00001", "nobody", "elsewhere", "u00019"}
	_, _, err = y.try(t, func(p *store.RolloutParams) { p.Selector, p.UnitIDs = "", bad })
	e := asFleet(t, err)
	require.Equal(t, "units-file", e.Field)
	says := map[string]string{}
	for _, d := range e.Details {
		says[d.Value] = d.Message
	}
	require.Len(t, says, 4)
	require.Contains(t, says["u00001"], "more than once")
	for _, id := range []string{"nobody", "elsewhere", "u00019"} {
		require.Contains(t, says[id], "no such unit")
	}

	many := make([]string, 250)
	for i := range many {
		many[i] = fmt.Sprintf("x%d", i)
	}
	_, _, err = y.try(t, func(p *store.RolloutParams) { p.Selector, p.UnitIDs = "", many })
	require.Len(t, asFleet(t, err).Details, 101)
	require.Equal(t, "and more", asFleet(t, err).Details[100].Message)
}

func TestARepeatedCreationGetsTheFirstAnswer(t *testing.T) {
	t.Parallel()
	y := newYard(t, 5)
	once := store.Idempotency{Key: "k", Hash: []byte("h")}
	first, replayed, err := y.CreateRollout(t.Context(), plainRollout(), y.by, once)
	require.NoError(t, err)
	require.False(t, replayed)

	again, replayed, err := y.CreateRollout(t.Context(), plainRollout(), y.by, once)

	require.NoError(t, err)
	require.True(t, replayed)
	require.Equal(t, first.ID, again.ID)
	require.Equal(t, 1, y.count(t, "SELECT count(*) FROM rollouts"))
	_, _, err = y.CreateRollout(t.Context(), plainRollout(), y.by, store.Idempotency{Key: "k", Hash: []byte("other")})
	require.Equal(t, fleet.CodeInvalid, asFleet(t, err).Code)
	other := fleet.Actor{Name: "bob", Role: fleet.RoleOperator}
	_, _, err = y.CreateRollout(t.Context(), plainRollout(), other, once)
	require.Equal(t, fleet.CodeConflict, asFleet(t, err).Code, "another actor's key is another key")
}

func TestPlansWarn(t *testing.T) {
	t.Parallel()
	y := newYard(t, 20)
	y.observe(t, "u.property = 'maple-1'", fleet.StatusEnabled, time.Minute)
	says := func(change func(*store.RolloutParams)) string {
		plan, err := y.PlanRollout(t.Context(), changed([]func(*store.RolloutParams){change}))
		require.NoError(t, err)
		return strings.Join(plan.Warnings, "; ")
	}
	require.Empty(t, says(func(*store.RolloutParams) {}))
	require.Contains(t, says(func(p *store.RolloutParams) { p.Selector = "property=maple-1" }), "nothing to do")
	require.Contains(t, says(func(p *store.RolloutParams) { p.ObservationAny = true }), "exact rollback")
	_, err := y.SetAccount(t.Context(), "acme", store.AccountPatch{Rate: new("0.1")}, y.by)
	require.NoError(t, err)
	require.Contains(t, says(func(p *store.RolloutParams) { p.Window = "23:59-00:01" }), "about 3 days")
}
