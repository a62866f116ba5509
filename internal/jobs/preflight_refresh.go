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
// says what came of each in a sentence.
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
	said := make([]string, len(reports))
	for i, r := range reports {
		said[i] = fmt.Sprintf("%s at %s: %s (%s)", r.Action, r.Stage, r.Result, r.Message)
	}
	return strings.Join(said, "; "), nil
}
