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
// developer credential, that is a conflict.
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
	reports, err := c.Run(ctx, queries...)
	if err != nil {
		return "", err
	}
	said, asked := make([]string, len(reports)), false
	for i, r := range reports {
		asked = asked || r.Result != preflight.NotChecked
		said[i] = fmt.Sprintf("%s at %s: %s (%s)", r.Action, r.Stage, r.Result, r.Message)
	}
	if !asked {
		return "", fleet.Conflictf("nothing was checked: %s", reports[0].Message)
	}
	return strings.Join(said, "; "), nil
}
