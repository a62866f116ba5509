package jobs

import (
	"context"
	"fmt"
	"strings"

	"fleetd/internal/fleet"
	"fleetd/internal/preflight"
)

// Refresh makes anew, after an event of a skill, every preflight of it that is on record
// in the account; where there is none, those of enabling it at live and at development. It
// says what came of each in a sentence. Where nothing could be asked, as without a
// developer credential, that is a conflict; where an API did not answer, which may pass,
// it is unavailable.
func (c *Preflights) Refresh(ctx context.Context, account, skillID string) (string, error) {
	kept, err := c.store.Preflights(ctx, account, skillID)
	if err != nil {
		return "", err
	}
	ask := func(action fleet.Action, stage fleet.Stage) preflight.Query {
		return preflight.Query{Account: account, Action: action, SkillID: skillID, Stage: stage, Why: preflight.WhyEvent}
	}
	var queries []preflight.Query
	for _, r := range kept {
		queries = append(queries, ask(r.Action, r.Stage))
	}
	if len(queries) == 0 {
		queries = []preflight.Query{ask(fleet.ActionEnable, fleet.StageLive), ask(fleet.ActionEnable, fleet.StageDevelopment)}
	}
	all, err := c.run(ctx, queries)
	if err != nil {
		return "", err
	}
	said := make([]string, len(all))
	for i, one := range all {
		r := one.report
		switch {
		case one.none:
			return "", fleet.Conflictf("nothing was checked: %s", r.Message)
		case !one.seen:
			return "", &fleet.Error{Code: fleet.CodeUnavailable, Message: "nothing was checked: " + r.Checks[0].Message}
		}
		said[i] = fmt.Sprintf("%s at %s: %s (%s)", r.Action, r.Stage, r.Result, r.Message)
	}
	return strings.Join(said, "; "), nil
}
