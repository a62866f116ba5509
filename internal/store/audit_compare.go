package store

import (
	"context"
	"fmt"
	"time"

	"fleetd/internal/drift"
	"fleetd/internal/fleet"
	"fleetd/internal/store/db"
)

// compare says what the list of a unit means, and counts it.
func (g *auditGroup) compare(u *unitWork) {
	w := u.audit
	if !u.Whole {
		u.result = drift.Comparison{Result: fleet.AuditUnknown, Reason: u.Reason}
		w.add.Unknown++
		w.reasons[u.Reason]++
		return
	}
	u.view = g.viewOf(u)
	u.result = drift.Compare(u.view)
	var open []drift.Finding
	for _, f := range u.findings {
		open = append(open, drift.Finding{ID: f.ID, SkillID: g.names[f.SkillID], Kind: fleet.DriftKind(f.Kind)})
	}
	u.changes = drift.Settle(open, u.result, u.view.InFlight)
	w.add.Unmanaged += int64(u.result.Unmanaged)
	switch u.result.Result {
	case fleet.AuditInSync:
		w.add.InSync++
	case fleet.AuditDrifted:
		w.add.Drifted++
	case fleet.AuditUnknown:
		w.add.Unknown++
		w.reasons[u.result.Reason]++
		return
	}
	g.tally(u)
}

// viewOf is a unit as the pure comparison takes it.
func (g *auditGroup) viewOf(u *unitWork) drift.View {
	w := u.audit
	v := drift.View{
		Wants: make(map[string]fleet.Desired, len(u.desired)), Seen: make(map[string]fleet.Observation, len(u.Seen)), Links: w.links,
		Managed:   func(skill string) bool { return w.managed[g.ids[skill]] },
		Protected: func(skill string) bool { return w.protected[skill] || fleet.ProtectedSkill(skill) },
		InFlight:  func(skill string) bool { return u.inFlight[g.ids[skill]] },
	}
	for skill, d := range u.desired {
		v.Wants[g.names[skill]] = desiredOf(d)
	}
	u.seen = make(map[int32]fleet.Observation, len(u.Seen))
	for _, s := range u.Seen {
		skill := g.ids[s.SkillID]
		if other, double := u.seen[skill]; double && !rather(s.Observation, other, u.desired[skill].Stage) {
			continue
		}
		u.seen[skill], v.Seen[s.SkillID] = s.Observation, s.Observation
	}
	return v
}

func desiredOf(d db.Desired) fleet.Desired {
	return fleet.Desired{Enabled: d.Stage != "", Stage: fleet.Stage(d.Stage), ChangedAt: d.ChangedAt}
}

// rather reports which of two records of one skill counts: a list may have one for
// each stage. What is desired, else what is enabled, says most.
func rather(o, than fleet.Observation, desired string) bool {
	rank := func(o fleet.Observation) int {
		n := 0
		if o.Status == fleet.StatusEnabled {
			n++
			if desired != "" && string(o.Stage) == desired {
				n++
			}
		}
		return n
	}
	return rank(o) > rank(than)
}

// tally counts, by skill, on how many homes it is wanted and on how many missing.
func (g *auditGroup) tally(u *unitWork) {
	missing := map[int32]bool{}
	for _, d := range u.result.Differences {
		if d.Kind == fleet.DriftMissing {
			missing[g.ids[d.SkillID]] = true
		}
	}
	for skill, d := range u.desired {
		if d.Stage == "" || u.inFlight[skill] || u.view.Protected(g.names[skill]) {
			continue
		}
		t := u.audit.wants[skill]
		t.Want++
		if missing[skill] {
			t.Missing++
		}
		u.audit.wants[skill] = t
	}
}

// before is what was known of a pair before this audit, and as of when.
func (u *unitWork) before(skill int32) (o fleet.Observation, known bool) {
	row, ok := u.observed[skill]
	seen := deref(u.facts.SeenAt)
	switch {
	case ok && row.Status == "":
		return o, false
	case ok:
		at := row.ObservedAt
		if seen.After(at) {
			at = seen
		}
		return fleet.Observation{
			Status: fleet.Status(row.Status), Stage: fleet.Stage(row.Stage), AccountLink: fleet.LinkStatus(row.AccountLink), ObservedAt: at,
		}, true
	}
	return fleet.Observation{Status: fleet.StatusAbsent, ObservedAt: seen}, !seen.IsZero()
}

// lastGood is when a pair was last seen as desired before this audit; zero: it was not.
func (u *unitWork) lastGood(skill int32) time.Time {
	var want *fleet.Desired
	if d, ok := u.desired[skill]; ok {
		w := desiredOf(d)
		want = &w
	}
	if o, known := u.before(skill); known && drift.Satisfied(want, o, u.audit.links) {
		return o.ObservedAt
	}
	return time.Time{}
}

// newFinding is a finding to put on record.
type newFinding struct {
	Key          string           `json:"key"`
	AccountID    int64            `json:"account_id"`
	UnitID       int64            `json:"unit_id"`
	SkillID      int32            `json:"skill_id"`
	Kind         fleet.DriftKind  `json:"kind"`
	DesiredStage *string          `json:"desired_stage"`
	Status       fleet.Status     `json:"status"`
	Stage        fleet.Stage      `json:"stage"`
	AccountLink  fleet.LinkStatus `json:"account_link"`
	FirstSeenAt  time.Time        `json:"first_seen_at"`
	LastGoodAt   *time.Time       `json:"last_good_at"`
	Cause        fleet.DriftCause `json:"cause"`
	CauseDetail  string           `json:"cause_detail"`
	OpenedBy     int64            `json:"opened_by"`
}

// pair is one skill on one unit.
type pair struct {
	unit  int64
	skill int32
}

// records is what our own records know of the pairs that newly differ.
type records struct {
	sources map[int64]fleet.DesiredSource // by change
	targets map[pair]db.AuditLastTargetsRow
	gone    map[int64]map[int32]time.Time // by account and skill: when the API last said that there is no such skill
}

// explain makes the findings that open, each with its cause.
func (g *auditGroup) explain(ctx context.Context) ([]newFinding, error) {
	known, err := g.loadRecords(ctx)
	if err != nil {
		return nil, err
	}
	var findings []newFinding
	for _, u := range g.units {
		if len(u.changes.Open) == 0 {
			continue
		}
		reset := drift.Reset(u.result, u.view, func(skill string) bool { return !u.lastGood(g.ids[skill]).IsZero() })
		for _, d := range u.changes.Open {
			findings = append(findings, g.finding(u, d, known, reset))
		}
	}
	return findings, nil
}

func (g *auditGroup) finding(u *unitWork, d drift.Difference, known records, reset bool) newFinding {
	skill := g.ids[d.SkillID]
	e := drift.Evidence{
		Occupancy: fleet.Occupancy(u.facts.Occupancy), UnitCreatedAt: u.facts.CreatedAt, PreviousAuditAt: deref(u.facts.AuditedAt),
		LastGood: u.lastGood(skill), FirstBad: u.Began, Reset: reset && d.Kind == fleet.DriftMissing,
	}
	for _, f := range u.findings { // of another kind, resolved by this one
		if good := deref(f.LastGoodAt); f.SkillID == skill && good.After(e.LastGood) {
			e.LastGood = good
		}
	}
	want, wanted := u.desired[skill]
	if wanted {
		e.DesiredSource, e.DesiredChangedAt = known.sources[want.ChangeID], want.ChangedAt
	}
	if t, ok := known.targets[pair{u.Unit, skill}]; ok {
		ended := deref(t.EndedAt)
		e.LastTarget = &drift.TargetEvidence{
			Rollout: t.Key, Action: fleet.Action(t.Action), State: t.State, Reason: fleet.Reason(t.Reason), EndedAt: ended,
			InDoubt: t.State == fleet.TargetCanceled && t.Writes > 0,
		}
		proved := t.State == fleet.TargetSucceeded && (fleet.Action(t.Action) == fleet.ActionEnable) == (wanted && want.Stage != "")
		if proved && e.LastGood.IsZero() {
			e.LastGood = ended
		}
	}
	gone := known.gone[u.audit.row.AccountID][skill]
	e.SkillWithdrawn = d.Kind == fleet.DriftMissing && !gone.IsZero() && gone.After(e.LastGood)

	f := newFinding{
		Key: newKey("dr-", 12), AccountID: u.audit.row.AccountID, UnitID: u.Unit, SkillID: skill,
		Kind: d.Kind, Status: d.Observed.Status, Stage: d.Observed.Stage, AccountLink: d.Observed.AccountLink,
		FirstSeenAt: u.Began, LastGoodAt: timeOrNil(e.LastGood), OpenedBy: u.AuditID,
	}
	if wanted {
		f.DesiredStage = &want.Stage
	}
	f.Cause, f.CauseDetail = drift.Cause(e)
	return f
}

// loadRecords reads what explains the findings that open, which few units have.
func (g *auditGroup) loadRecords(ctx context.Context) (records, error) {
	known := records{
		sources: map[int64]fleet.DesiredSource{}, targets: map[pair]db.AuditLastTargetsRow{}, gone: map[int64]map[int32]time.Time{},
	}
	var units, changes []int64
	skills := map[int32]bool{}
	missing := map[int64]map[int32]bool{}
	for _, u := range g.units {
		for _, d := range u.changes.Open {
			skill, account := g.ids[d.SkillID], u.audit.row.AccountID
			units, skills[skill] = append(units, u.Unit), true
			if want, ok := u.desired[skill]; ok {
				changes = append(changes, want.ChangeID)
			}
			if d.Kind == fleet.DriftMissing {
				if missing[account] == nil {
					missing[account] = map[int32]bool{}
				}
				missing[account][skill] = true
			}
		}
	}
	if len(units) == 0 {
		return known, nil
	}
	sources, err := g.q.AuditDesiredSources(ctx, unique(changes))
	if err != nil {
		return known, fmt.Errorf("read the sources of desired states: %w", err)
	}
	for _, r := range sources {
		known.sources[r.ID] = fleet.DesiredSource(r.Source)
	}
	targets, err := g.q.AuditLastTargets(ctx, db.AuditLastTargetsParams{Units: unique(units), SkillIds: keysOf(skills)})
	if err != nil {
		return known, fmt.Errorf("read the last targets: %w", err)
	}
	for _, t := range targets {
		known.targets[pair{t.UnitID, t.SkillID}] = t
	}
	for account, of := range missing {
		rows, err := g.q.AuditSkillGone(ctx, db.AuditSkillGoneParams{AccountID: account, SkillIds: keysOf(of)})
		if err != nil {
			return known, fmt.Errorf("look for withdrawn skills: %w", err)
		}
		known.gone[account] = map[int32]time.Time{}
		for _, r := range rows {
			if at := deref(r.EndedAt); at.After(known.gone[account][r.SkillID]) {
				known.gone[account][r.SkillID] = at
			}
		}
	}
	return known, nil
}

func keysOf(set map[int32]bool) []int32 {
	keys := make([]int32, 0, len(set))
	for k := range set {
		keys = append(keys, k)
	}
	return keys
}
