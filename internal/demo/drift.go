package demo

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

// audited is how many properties the audits of the demo look at: a page a home is a
// request each, and the story is the same in all of them.
const audited = 2

// changes is what is changed behind fleetd's back in two properties of so many homes
// each, the first kind the most.
func changes(homes int, where []string) []simulator.DriftParams {
	few := max(1, homes/50)
	return []simulator.DriftParams{
		{Kind: simulator.DriftMissing, Count: max(2, homes/12), Property: where[0], SkillID: skill},
		{Kind: simulator.DriftNotLinked, Count: few, Property: where[0], SkillID: skill},
		{Kind: simulator.DriftWrongStage, Count: few, Property: where[1], SkillID: skill},
		{Kind: simulator.DriftStuckEnabling, Count: few, Property: where[1], SkillID: skill},
		{Kind: simulator.DriftUnexpected, Count: few, Property: where[1], SkillID: legacySkill},
	}
}

// changeWords says what a change of a kind is.
func changeWords(kind simulator.DriftKind) string {
	switch kind {
	case simulator.DriftMissing:
		return "have lost the skill"
	case simulator.DriftNotLinked:
		return "have it, and their account is not linked any more"
	case simulator.DriftWrongStage:
		return "have it at the stage development instead of live"
	case simulator.DriftStuckEnabling:
		return "say ENABLING, and will not stop"
	case simulator.DriftUnexpected:
		return "have another skill, " + legacySkill
	case simulator.DriftReset, simulator.DriftRePair, simulator.DriftRemove, simulator.DriftForbid, simulator.DriftOccupy:
	}
	return string(kind)
}

// choose picks the properties to audit out of all, which are in the order of the
// inventory: those in which the rollout failed most, and of those first the ones
// whose homes can be looked at.
func choose(all []string, failed []client.Target) []string {
	weight := map[string]int{}
	for _, t := range failed {
		weight[t.Property]++
		if t.Reason == string(fleet.ReasonEnablingFailed) {
			weight[t.Property] += len(failed)
		}
	}
	picked := slices.Clone(all)
	slices.SortStableFunc(picked, func(a, b string) int { return weight[b] - weight[a] })
	picked = picked[:min(audited, len(picked))]
	slices.SortFunc(picked, func(a, b string) int { return slices.Index(all, a) - slices.Index(all, b) })
	return picked
}

// changeHomes changes homes as residents, resets and other tools do, and says what is
// not wanted on any of them.
func (d *demo) changeHomes(ctx context.Context) error {
	d.p.step("Behind our back: homes change")
	d.where = choose(d.outcomes.properties, d.outcomes.failed)
	d.selector = fmt.Sprintf("property in (%s)", strings.Join(d.where, ","))
	for i, p := range changes(d.cfg.Homes/properties, d.where) {
		if i == 0 { // the others are told like it
			body, err := json.Marshal(p)
			if err != nil {
				return fmt.Errorf("encode a change: %w", err)
			}
			d.p.command("curl "+d.simURL+"/_sim/drift", "-d '"+string(body)+"'")
		}
		made, err := d.sim.Drift(p)
		if err != nil {
			return fmt.Errorf("change homes behind fleetd's back: %w", err)
		}
		d.injected = append(d.injected, made...)
		d.p.text("   %-14s  %s of %s %s", p.Kind, things(len(made), "home"), p.Property, changeWords(p.Kind))
	}
	d.p.text("")
	d.p.command("fleetctl desired set disabled", "--account "+account, "--skill "+legacySkill, "--select '"+d.selector+"'", "--yes")
	r, err := d.api.SetDesired(ctx, client.SetDesiredParams{IdempotencyKey: new(rand.Text())}, client.DesiredSetRequest{
		Account: account, SkillID: legacySkill, Selector: &d.selector, State: client.DesiredSetRequestState(fleet.StateDisabled),
		Reason: new("fleetd demo"),
	})
	if err != nil {
		return fmt.Errorf("say what is not wanted: %w", err)
	}
	d.p.fact("Desired", "that skill on none of %s; no request was sent for that", things(r.Value.Counts.Disable, "home"))
	return nil
}

// explainDrift shows what the audit found as `drift list` begins.
func (d *demo) explainDrift(ctx context.Context) error {
	d.p.step("Drift: where most of it is, and why")
	d.p.command("fleetctl drift list", "--account "+account)
	r, err := d.api.SummarizeDrift(ctx, client.SummarizeDriftParams{
		Account: new(account), By: &[]client.SummarizeDriftParamsBy{client.SummarizeDriftParamsByCause, client.SummarizeDriftParamsByProperty},
	})
	if err != nil {
		return fmt.Errorf("sum up the drift: %w", err)
	}
	for _, g := range r.Value.Items {
		d.p.text("   %s %s at %s since %s (%s)", percent(float64(g.Count)/float64(r.Value.Total)), deref(g.Cause), deref(g.Property),
			g.FirstSeenAt.UTC().Format("15:04:05 MST"), things(g.Count, "finding"))
	}
	d.p.text("")
	told := map[string]bool{}
	for _, f := range d.first.found {
		if !told[f.Cause] {
			told[f.Cause] = true
			d.p.text("   %s", d.p.paint(dim, fmt.Sprintf("%s: %s, %s:", short(f.UnitID), f.Kind, f.Cause)))
			d.p.text("      %s", d.p.paint(dim, f.CauseDetail))
		}
	}
	return nil
}

// short is the beginning of a long ID: the ends are alike.
func short(id string) string {
	const most = 40
	if len(id) <= most {
		return id
	}
	return id[:most] + "..."
}

// deref is what an optional field holds, or the zero value.
func deref[T any](v *T) (out T) {
	if v != nil {
		out = *v
	}
	return out
}

// findings lists what is found open, however much it is.
func (d *demo) findings(ctx context.Context) ([]client.Drift, error) {
	params := client.ListDriftParams{Account: new(account), Ignored: new(client.ListDriftParamsIgnored("any")), Limit: new(int64(1000))}
	var all []client.Drift
	for {
		page, err := d.api.ListDrift(ctx, params)
		if err != nil {
			return nil, fmt.Errorf("list the drift: %w", err)
		}
		all = append(all, page.Value.Items...)
		if page.Value.NextCursor == "" {
			return all, nil
		}
		params.Cursor = &page.Value.NextCursor
	}
}
