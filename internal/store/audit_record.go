package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"fleetd/internal/drift"
	"fleetd/internal/fleet"
	"fleetd/internal/store/db"
)

// LoadAuditUnits reads the units whose jobs begin, with the time that their lists begin
// at. Those it does not return have their answer, or are of an audit that has ended:
// their jobs have nothing to do.
func (s *Store) LoadAuditUnits(ctx context.Context, refs []AuditRef) ([]AuditTarget, error) {
	var p db.AuditUnitLoadParams
	for _, r := range refs {
		p.AuditIds, p.Units = append(p.AuditIds, r.AuditID), append(p.Units, r.Unit)
	}
	rows, err := s.q().AuditUnitLoad(ctx, p)
	if err != nil {
		return nil, mapError(fmt.Errorf("load units of audits: %w", err))
	}
	targets := make([]AuditTarget, len(rows))
	for i, r := range rows {
		targets[i] = AuditTarget{
			AuditRef: AuditRef{AuditID: r.AuditID, Unit: r.Unit}, Audit: r.Audit, AccountID: r.AccountID,
			UnitID: r.UnitID, Removed: r.Removed, Began: r.Began,
		}
	}
	return targets, nil
}

// recordTries is how often a group is recorded that loses a deadlock: rollouts write
// down what they see of the same homes.
const recordTries = 3

// RecordAuditUnits writes down what jobs saw of some hundred units, in one
// transaction: what changed, the findings that open and resolve, each with its cause,
// the one row that every unit costs, and the counters of the audits. A unit that has
// its answer keeps it: a record that comes late or twice changes nothing but the cost.
func (s *Store) RecordAuditUnits(ctx context.Context, sights []AuditSight) error {
	for try := 1; ; try++ {
		err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			g := &auditGroup{q: db.New(tx), audits: map[int64]*auditWork{}}
			return g.record(ctx, sights)
		})
		if err == nil {
			return nil
		}
		if pgErr := new(pgconn.PgError); try < recordTries && errors.As(err, &pgErr) && pgErr.Code == "40P01" {
			continue
		}
		return mapError(fmt.Errorf("record units of audits: %w", err))
	}
}

// auditGroup is one group of sights on its way into the database.
type auditGroup struct {
	q      *db.Queries
	audits map[int64]*auditWork // those that have not ended
	units  []*unitWork          // those that get their answer
	ids    map[string]int32     // of skills
	names  map[int32]string
}

// auditWork is an audit whose row is locked, and what the group adds to it.
type auditWork struct {
	row       db.Audit
	links     bool
	protected map[string]bool
	managed   map[int32]bool
	reasons   map[fleet.UnknownReason]int
	wants     map[int32]skillTally
	add       db.AuditAddCountsParams
}

// unitWork is a unit, what was seen of it, and what was known.
type unitWork struct {
	AuditSight

	audit    *auditWork
	facts    db.AuditUnitFactsRow
	desired  map[int32]db.Desired
	observed map[int32]*db.AuditUnitObservedRow
	findings []db.AuditUnitFindingsRow
	inFlight map[int32]bool // pairs that are not compared
	written  map[int32]bool // pairs that a write may have changed around the list

	seen    map[int32]fleet.Observation // one of each skill
	view    drift.View
	result  drift.Comparison
	changes drift.Changes
}

func (g *auditGroup) record(ctx context.Context, sights []AuditSight) error {
	steps := []func(context.Context) error{
		func(ctx context.Context) error { return g.lock(ctx, sights) },
		g.loadFacts, g.nameSkills, g.loadKnown, g.loadInFlight,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	for _, u := range g.units {
		g.compare(u)
	}
	findings, err := g.explain(ctx)
	if err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{
		g.writeSights, g.writeObserved, g.resolve,
		func(ctx context.Context) error { return g.open(ctx, findings) }, g.writeCounts,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// lock takes the locks of the audits, which everything that changes one waits for.
func (g *auditGroup) lock(ctx context.Context, sights []AuditSight) error {
	ids := make([]int64, len(sights))
	for i, s := range sights {
		ids[i] = s.AuditID
	}
	rows, err := g.q.AuditLockMany(ctx, unique(ids))
	if err != nil {
		return fmt.Errorf("lock audits: %w", err)
	}
	for _, r := range rows {
		if r.Audit.EndedAt != nil {
			continue
		}
		w := &auditWork{
			row: r.Audit, links: fleet.LinkMode(r.LinkMode) != fleet.LinkNone, protected: map[string]bool{}, managed: map[int32]bool{},
			add: db.AuditAddCountsParams{ID: r.Audit.ID},
		}
		if w.reasons, err = decodeReasons(r.Audit); err != nil {
			return err
		}
		if w.wants, err = decodeWants(r.Audit); err != nil {
			return err
		}
		for _, skill := range r.ProtectedSkills {
			w.protected[skill] = true
		}
		g.audits[r.Audit.ID] = w
	}
	given := map[AuditRef]bool{}
	for _, s := range sights {
		w := g.audits[s.AuditID]
		if w == nil {
			continue
		}
		w.add.Requests += int64(s.Requests)
		w.add.Throttled += int64(s.Throttled)
		w.add.Pages += int64(s.Pages)
		if s.decides() && !given[s.AuditRef] {
			given[s.AuditRef] = true
			g.units = append(g.units, &unitWork{AuditSight: s, audit: w})
		}
	}
	return nil
}

func (g *auditGroup) rows() []int64 {
	rows := make([]int64, len(g.units))
	for i, u := range g.units {
		rows[i] = u.Unit
	}
	return rows
}

// writeSights writes the one row that each unit costs.
func (g *auditGroup) writeSights(ctx context.Context) error {
	if len(g.units) == 0 {
		return nil
	}
	var p db.AuditRecordSightsParams
	for _, u := range g.units {
		seen := time.Time{}
		if u.Whole {
			seen = u.Began
		}
		p.UnitIds, p.AccountIds = append(p.UnitIds, u.Unit), append(p.AccountIds, u.audit.row.AccountID)
		p.SeenAt, p.AuditIds = append(p.SeenAt, seen), append(p.AuditIds, u.AuditID)
		p.Results, p.Reasons = append(p.Results, string(u.result.Result)), append(p.Reasons, string(u.result.Reason))
	}
	if err := g.q.AuditRecordSights(ctx, p); err != nil {
		return fmt.Errorf("record sights: %w", err)
	}
	return nil
}

// writeObserved writes what is not as it was last seen. What is not in a whole list
// is absent; what was observed later than the list began stays.
func (g *auditGroup) writeObserved(ctx context.Context) error {
	var p db.AuditRecordObservedParams
	for _, u := range g.units {
		if !u.Whole {
			continue
		}
		for skill, o := range u.news() {
			p.UnitIds, p.SkillIds = append(p.UnitIds, u.Unit), append(p.SkillIds, skill)
			p.Statuses, p.Stages = append(p.Statuses, string(o.Status)), append(p.Stages, string(o.Stage))
			p.AccountLinks, p.ObservedAt = append(p.AccountLinks, string(o.AccountLink)), append(p.ObservedAt, u.Began)
		}
	}
	if len(p.UnitIds) == 0 {
		return nil
	}
	if err := g.q.AuditRecordObserved(ctx, p); err != nil {
		return fmt.Errorf("record observations: %w", err)
	}
	return nil
}

// news is what the list says otherwise than what is on record. Where a write of ours
// may have come after the page that shows the pair, nothing is known of it: the
// empty status says so, until somebody looks.
func (u *unitWork) news() map[int32]fleet.Observation {
	out := map[int32]fleet.Observation{}
	note := func(skill int32, o fleet.Observation) {
		row, known := u.observed[skill]
		switch {
		case known && !row.ObservedAt.Before(u.Began):
			return
		case !known && o.Status == fleet.StatusAbsent:
			return // no row says so
		case known && row.Status == string(o.Status) && row.Stage == string(o.Stage) && row.AccountLink == string(o.AccountLink):
			return
		case u.written[skill] && known && row.Status == "":
			return
		case u.written[skill]:
			o = fleet.Observation{}
		}
		out[skill] = o
	}
	for skill, o := range u.seen {
		note(skill, o)
	}
	for skill, row := range u.observed {
		if _, listed := u.seen[skill]; !listed && row.Status != string(fleet.StatusAbsent) && row.Status != string(fleet.StatusNoAssociation) {
			note(skill, fleet.Observation{Status: fleet.StatusAbsent})
		}
	}
	return out
}

// resolve closes the findings that are gone.
func (g *auditGroup) resolve(ctx context.Context) error {
	var p db.AuditDriftResolveParams
	of := map[int64]*auditWork{}
	for _, u := range g.units {
		for _, id := range u.changes.Resolve {
			p.Ids, p.ResolvedAt = append(p.Ids, id), append(p.ResolvedAt, u.Began)
			of[id] = u.audit
		}
	}
	if len(p.Ids) == 0 {
		return nil
	}
	resolved, err := g.q.AuditDriftResolve(ctx, p)
	if err != nil {
		return fmt.Errorf("resolve findings: %w", err)
	}
	for _, id := range resolved {
		of[id].add.Resolved++
	}
	return nil
}

// open puts new findings on record.
func (g *auditGroup) open(ctx context.Context, findings []newFinding) error {
	if len(findings) == 0 {
		return nil
	}
	accounts := make([]int64, len(findings))
	for i, f := range findings {
		accounts[i] = f.AccountID
	}
	for _, id := range unique(accounts) {
		if err := g.q.DriftLockShared(ctx, id); err != nil {
			return fmt.Errorf("wait for an import: %w", err)
		}
	}
	body, err := json.Marshal(findings)
	if err != nil {
		return fmt.Errorf("encode findings: %w", err)
	}
	opened, err := g.q.AuditDriftOpen(ctx, body)
	if err != nil {
		return fmt.Errorf("open findings: %w", err)
	}
	for _, id := range opened {
		g.audits[id].add.Opened++
	}
	return nil
}

func (g *auditGroup) writeCounts(ctx context.Context) error {
	for _, id := range slices.Sorted(maps.Keys(g.audits)) {
		w := g.audits[id]
		var err error
		if w.add.UnknownReasons, err = json.Marshal(w.reasons); err == nil {
			w.add.Wants, err = json.Marshal(w.wants)
		}
		if err != nil {
			return fmt.Errorf("encode the counts of audit %s: %w", w.row.Key, err)
		}
		if err := g.q.AuditAddCounts(ctx, w.add); err != nil {
			return fmt.Errorf("count units of audit %s: %w", w.row.Key, err)
		}
	}
	return nil
}
