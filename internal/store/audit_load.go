package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"fleetd/internal/fleet"
	"fleetd/internal/store/db"
)

// loadFacts reads the units, and drops those that have their answer by now. Whatever
// was seen of one that is removed by now, it is no home of the account any more.
func (g *auditGroup) loadFacts(ctx context.Context) error {
	if len(g.units) == 0 {
		return nil
	}
	rows, err := g.q.AuditUnitFacts(ctx, g.rows())
	if err != nil {
		return fmt.Errorf("read units: %w", err)
	}
	facts := make(map[int64]db.AuditUnitFactsRow, len(rows))
	for _, r := range rows {
		facts[r.ID] = r
	}
	g.units = slices.DeleteFunc(g.units, func(u *unitWork) bool {
		var there bool
		u.facts, there = facts[u.Unit]
		if u.facts.Removed {
			u.Whole, u.Seen, u.Reason = false, nil, fleet.UnknownUnitNotFound
		}
		return !there || deref(u.facts.AuditID) == u.AuditID
	})
	return nil
}

// whole are the units whose list was seen to its end, by their row.
func (g *auditGroup) whole() (rows []int64, byRow map[int64]*unitWork) {
	byRow = map[int64]*unitWork{}
	for _, u := range g.units {
		if u.Whole {
			rows = append(rows, u.Unit)
			byRow[u.Unit] = u
		}
	}
	return rows, byRow
}

// nameSkills finds the rows of the skills that were listed, and makes those that were
// not heard of before.
func (g *auditGroup) nameSkills(ctx context.Context) error {
	g.ids, g.names = map[string]int32{}, map[int32]string{}
	listed := map[string]bool{}
	for _, u := range g.units {
		for _, s := range u.Seen {
			listed[s.SkillID] = true
		}
	}
	ids := make([]string, 0, len(listed))
	for id := range listed {
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := g.q.AuditSkillNamed(ctx, ids)
	if err != nil {
		return fmt.Errorf("name skills: %w", err)
	}
	for _, r := range rows {
		g.name(r.ID, r.SkillID)
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { _, known := g.ids[id]; return known })
	if len(ids) == 0 {
		return nil
	}
	added, err := g.q.AuditSkillAdd(ctx, ids)
	if err != nil {
		return fmt.Errorf("name skills: %w", err)
	}
	for _, r := range added {
		g.name(r.ID, r.SkillID)
	}
	if len(added) == len(ids) {
		return nil
	}
	if rows, err = g.q.AuditSkillNamed(ctx, ids); err != nil { // somebody else named one meanwhile
		return fmt.Errorf("name skills: %w", err)
	}
	for _, r := range rows {
		g.name(r.ID, r.SkillID)
	}
	return nil
}

func (g *auditGroup) name(id int32, skill string) { g.ids[skill], g.names[id] = id, skill }

// loadKnown reads what is desired of the units, what was observed, and what is found
// open.
func (g *auditGroup) loadKnown(ctx context.Context) error {
	units, byRow := g.whole()
	if len(units) == 0 {
		return nil
	}
	unnamed := map[int32]bool{}
	desired, err := g.q.AuditUnitDesired(ctx, units)
	if err != nil {
		return fmt.Errorf("read desired states: %w", err)
	}
	observed, err := g.q.AuditUnitObserved(ctx, units)
	if err != nil {
		return fmt.Errorf("read observations: %w", err)
	}
	findings, err := g.q.AuditUnitFindings(ctx, units)
	if err != nil {
		return fmt.Errorf("read findings: %w", err)
	}
	for _, u := range byRow {
		u.desired, u.observed = make(map[int32]db.Desired, len(u.Seen)), make(map[int32]*db.AuditUnitObservedRow, len(u.Seen))
	}
	for _, r := range desired {
		byRow[r.UnitID].desired[r.SkillID] = r
		unnamed[r.SkillID] = true
	}
	for i, r := range observed {
		byRow[r.UnitID].observed[r.SkillID] = &observed[i]
	}
	for _, r := range findings {
		u := byRow[r.UnitID]
		u.findings = append(u.findings, r)
		unnamed[r.SkillID] = true
	}
	if err := g.loadManaged(ctx); err != nil {
		return err
	}
	return g.loadNames(ctx, unnamed)
}

func (g *auditGroup) loadManaged(ctx context.Context) error {
	accounts := map[int64][]*auditWork{}
	var ids []int64
	for _, w := range g.audits {
		accounts[w.row.AccountID] = append(accounts[w.row.AccountID], w)
		ids = append(ids, w.row.AccountID)
	}
	rows, err := g.q.AuditManaged(ctx, ids)
	if err != nil {
		return fmt.Errorf("read managed skills: %w", err)
	}
	for _, r := range rows {
		for _, w := range accounts[r.AccountID] {
			w.managed[r.SkillID] = true
		}
	}
	return nil
}

func (g *auditGroup) loadNames(ctx context.Context, skills map[int32]bool) error {
	var ids []int32
	for id := range skills {
		if _, known := g.names[id]; !known {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := g.q.AuditSkillRows(ctx, ids)
	if err != nil {
		return fmt.Errorf("name skills: %w", err)
	}
	for _, r := range rows {
		g.name(r.ID, r.SkillID)
	}
	return nil
}

// loadInFlight finds the pairs that a rollout or a change of what is desired has to do
// with since the lists began.
func (g *auditGroup) loadInFlight(ctx context.Context) error {
	units, byRow := g.whole()
	if len(units) == 0 {
		return nil
	}
	since := time.Time{}
	accounts := map[int64]bool{}
	for _, u := range byRow {
		u.inFlight, u.written = map[int32]bool{}, map[int32]bool{}
		for skill, d := range u.desired {
			if !d.ChangedAt.Before(u.Began) {
				u.inFlight[skill] = true
			}
		}
		if since.IsZero() || u.Began.Before(since) {
			since = u.Began
		}
		accounts[u.audit.row.AccountID] = true
	}
	ids := make([]int64, 0, len(accounts))
	for id := range accounts {
		ids = append(ids, id)
	}
	rollouts, err := g.q.AuditRollouts(ctx, db.AuditRolloutsParams{AccountIds: ids, Since: &since})
	if err != nil {
		return fmt.Errorf("read rollouts: %w", err)
	}
	if len(rollouts) == 0 {
		return nil // the ordinary night
	}
	p := db.AuditUnitTargetsParams{Units: units, Since: &since}
	of := make(map[int64]db.AuditRolloutsRow, len(rollouts))
	for _, r := range rollouts {
		p.RolloutIds = append(p.RolloutIds, r.ID)
		of[r.ID] = r
	}
	targets, err := g.q.AuditUnitTargets(ctx, p)
	if err != nil {
		return fmt.Errorf("read targets: %w", err)
	}
	for _, t := range targets {
		byRow[t.UnitID].involve(of[t.RolloutID], t)
	}
	return nil
}

// involve says what a target means for its pair.
func (u *unitWork) involve(r db.AuditRolloutsRow, t db.AuditUnitTargetsRow) {
	switch t.State {
	case fleet.TargetPending: // to be released; or it was, and recalled since
		if want, wanted := u.desired[r.SkillID]; r.Open && (!wanted || want.ChangeID == r.ChangeID) {
			u.inFlight[r.SkillID] = true
		}
	case fleet.TargetQueued:
		u.inFlight[r.SkillID] = true
	case fleet.TargetRunning, fleet.TargetVerifying:
		u.inFlight[r.SkillID], u.written[r.SkillID] = true, true
	case fleet.TargetSucceeded, fleet.TargetFailed, fleet.TargetCanceled:
		if !deref(t.EndedAt).Before(u.Began) {
			u.inFlight[r.SkillID], u.written[r.SkillID] = true, true
		}
	case fleet.TargetSkipped: // nothing was written
	}
}
