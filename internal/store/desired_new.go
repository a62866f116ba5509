package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/fleet/document"
	"fleetd/internal/store/db"
)

// AnySkill stands for every skill among those that may be new to an account.
const AnySkill = "all"

// NewSkills lists those of some skills that an account never met: that were never seen
// on a unit of it, of which nothing was ever desired, and of which no rollout was. They may
// be new, or misspelled.
func (s *Store) NewSkills(ctx context.Context, account string, skillIDs []string) ([]string, error) {
	id, err := accountID(ctx, s.pool, account)
	if err != nil {
		return nil, mapError(err)
	}
	unmet, err := newSkills(ctx, s.q(), id, skillIDs)
	return unmet, mapError(err)
}

func newSkills(ctx context.Context, q *db.Queries, account int64, skillIDs []string) ([]string, error) {
	met, err := q.SkillsMet(ctx, db.SkillsMetParams{AccountID: account, SkillIds: skillIDs})
	if err != nil {
		return nil, fmt.Errorf("look for skills: %w", err)
	}
	elsewhere, err := q.SkillsNamed(ctx, skillIDs) // what no account met needs no look at units
	if err != nil {
		return nil, fmt.Errorf("look for skills: %w", err)
	}
	done, named := setOf(met), setOf(elsewhere)
	var unmet []string
	for _, id := range skillIDs {
		if done[id] {
			continue
		}
		done[id] = true
		if named[id] {
			seen, err := q.SkillMetOnUnit(ctx, db.SkillMetOnUnitParams{AccountID: account, SkillID: id})
			if err != nil {
				return nil, fmt.Errorf("look for skills: %w", err)
			}
			if seen {
				continue
			}
		}
		unmet = append(unmet, id)
	}
	return unmet, nil
}

func setOf(ids []string) map[string]bool {
	set := make(map[string]bool, len(ids))
	for _, id := range ids {
		set[id] = true
	}
	return set
}

// refuseNewSkills refuses to have skills enabled that the account never met, unless they
// may be new. To want one nowhere is sound before it is seen anywhere, and an account that
// has met no skill has nothing to tell a typing error by.
func (d *desiredDraft) refuseNewSkills(ctx context.Context, tx pgx.Tx) error {
	if slices.Contains(d.allowNew, AnySkill) {
		return nil
	}
	places, ids := map[string][]string{}, []string{}
	for i, e := range d.doc.Entries {
		for j, s := range e.Skills {
			if s.State == fleet.StateDisabled || slices.Contains(d.allowNew, s.SkillID) {
				continue
			}
			if places[s.SkillID] == nil {
				ids = append(ids, s.SkillID)
			}
			places[s.SkillID] = append(places[s.SkillID], d.doc.WhereSkill(i, j))
		}
	}
	q := db.New(tx)
	unmet, err := newSkills(ctx, q, d.account, ids)
	if err != nil || len(unmet) == 0 {
		return err
	}
	met, err := q.SkillsAny(ctx, d.account)
	if err != nil {
		return fmt.Errorf("look for any skill: %w", err)
	}
	if !met { // nothing to tell a typing error by
		return nil
	}
	if d.plan.Source == fleet.DesiredBySet {
		return fleet.Invalidf("skill", "%s", d.unmetSkill(unmet[0], 1))
	}
	var details []fleet.Detail
	for _, id := range unmet[:min(len(unmet), document.MaxFaults)] {
		details = append(details, fleet.Detail{Location: places[id][0], Value: id, Message: d.unmetSkill(id, len(places[id]))})
	}
	return document.Refusal(details, len(unmet))
}

// unmetSkill says what is wrong with a skill that stands in some entries.
func (d *desiredDraft) unmetSkill(id string, entries int) string {
	here := ""
	if entries > 1 {
		here = fmt.Sprintf(" (it stands in %d entries)", entries)
	}
	return fmt.Sprintf("account %s never met the skill %s%s: no audit, write or read saw it, nothing was ever desired of it, and no rollout was of it; "+
		"mend the ID or, if the skill is new, say so (--allow-new-skill %s, or allow_new_skills)", d.plan.Account, id, here, id)
}
