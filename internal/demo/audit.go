package demo

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

// auditing is an audit that goes on, and what there is to check of it in the end.
type auditing struct {
	*demo

	audit   client.Audit
	unknown []client.AuditedUnit  // the homes that it could not see
	truth   []simulator.HomeState // of the audited properties, as it ended
	found   []client.Drift        // what is found open after it
	spent   simulator.Stats       // what the API saw of it
}

func (a *auditing) look(ctx context.Context) (sight, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := a.api.GetAudit(ctx, a.audit.ID)
	if err != nil {
		return sight{}, fmt.Errorf("look at the audit: %w", err)
	}
	a.audit = r.Value
	return auditSight(r.Value), nil
}

func (a *auditing) step(context.Context, time.Time, simulator.Stats, display) (bool, error) {
	return fleet.AuditState(a.audit.State).Ended(), nil
}

// auditHomes audits the chosen properties, and takes down what the truth was.
func (d *demo) auditHomes(ctx context.Context) (*auditing, error) {
	d.p.command("fleetctl audit run", "--account "+account, "--select '"+d.selector+"'", "--watch")
	d.sim.Reset(true)
	r, err := d.api.CreateAudit(ctx, client.CreateAuditParams{IdempotencyKey: new(rand.Text())}, client.AuditRequest{
		Account: account, Selector: &d.selector, Reason: new("fleetd demo"),
	})
	if err != nil {
		return nil, fmt.Errorf("create the audit: %w", err)
	}
	a := &auditing{demo: d, audit: r.Value}
	if err := d.follow(ctx, a.audit.Units, a); err != nil {
		return nil, err
	}
	a.spent, a.truth = d.sim.Stats(), d.truth()
	if a.found, err = d.findings(ctx); err != nil {
		return nil, err
	}
	params := client.ListAuditUnitsParams{Result: new(client.ListAuditUnitsParamsResult(fleet.AuditUnknown)), Limit: new(int64(1000))}
	for {
		page, err := d.api.ListAuditUnits(ctx, a.audit.ID, params)
		if err != nil {
			return nil, fmt.Errorf("list the homes of the audit: %w", err)
		}
		a.unknown = append(a.unknown, page.Value.Items...)
		if page.Value.NextCursor == "" {
			break
		}
		params.Cursor = &page.Value.NextCursor
	}
	a.print()
	return a, nil
}

func (a *auditing) print() {
	var unknown []string
	for _, reason := range slices.Sorted(maps.Keys(a.audit.UnknownReasons)) {
		unknown = append(unknown, fmt.Sprintf("%s %s", count(a.audit.UnknownReasons[reason]), reason))
	}
	text := ""
	if len(unknown) > 0 {
		text = " (" + strings.Join(unknown, ", ") + ")"
	}
	a.p.fact("Homes", "%s in sync, %s drifted, %s unknown%s: %s were seen", count(a.audit.InSync), count(a.audit.Drifted),
		count(a.audit.Unknown), text, percent(a.audit.Coverage))
	a.p.fact("Cost", "%s for %s, and no write", things(a.audit.Requests, "request"), things(a.audit.Units, "home"))
}

// truth is how the homes of the audited properties truly are.
func (d *demo) truth() []simulator.HomeState {
	const chunk = 1000
	var homes []simulator.HomeState
	for from := 0; ; {
		states, next := d.sim.HomeStates(from, chunk)
		for _, h := range states {
			if slices.Contains(d.where, h.Property) {
				homes = append(homes, h)
			}
		}
		if next == 0 {
			return homes
		}
		from = next
	}
}

// firstAudit finds what was changed.
func (d *demo) firstAudit(ctx context.Context) (err error) {
	d.p.step("An audit: every home is looked at, and nothing is written")
	if d.first, err = d.auditHomes(ctx); err != nil {
		return err
	}
	d.wanted = expected(d.injected, d.outcomes.failed, d.where)
	d.wrongFound = compareFindings(d.wanted, d.first.found)
	d.p.fact("Found", "%s: %s made behind our back, %s that the rollout could not change", things(len(d.first.found), "difference"),
		count(len(d.injected)), count(len(d.wanted)-len(d.injected)))
	return nil
}

// secondAudit finds nothing.
func (d *demo) secondAudit(ctx context.Context) (err error) {
	d.p.step("A second audit: is all as it should be?")
	if d.second, err = d.auditHomes(ctx); err != nil {
		return err
	}
	d.p.fact("Found", "%s", things(len(d.second.found), "difference"))
	return nil
}
