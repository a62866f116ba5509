package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/fleet/document"
	"fleetd/internal/store/db"
)

// PlanDesired says what ApplyDesired would do. It is made by the code that applies, in
// a transaction that is rolled back; what would be refused without AllowEmpty is no
// error here, but the plan's Refusal.
func (s *Store) PlanDesired(ctx context.Context, p DesiredApplyParams) (DesiredPlan, error) {
	d := applyDraft(p)
	d.plan.DryRun = true
	plan, _, err := s.changeDesired(ctx, d, fleet.Actor{}, Idempotency{})
	return plan, err
}

// ApplyDesired makes a document the whole desired state of its account, in one
// transaction: what it does not name is desired no more. A document that would take
// away more than half of what is desired is refused unless AllowEmpty, and a skill that
// the account never met unless AllowNew has it.
//
// A repeated call with the same key returns the first result, and true.
func (s *Store) ApplyDesired(ctx context.Context, p DesiredApplyParams, by fleet.Actor, once Idempotency) (DesiredPlan, bool, error) {
	return s.changeDesired(ctx, applyDraft(p), by, once)
}

// SetDesired sets what one skill should be on the units that a selector picks, or that
// are named; what is desired of others stays. Occupied homes take part: what should be
// on them is one thing, that nobody writes to them now another.
func (s *Store) SetDesired(ctx context.Context, p DesiredSetParams, by fleet.Actor, once Idempotency) (DesiredPlan, bool, error) {
	entry := document.Entry{Select: p.Selector, Skills: []document.Skill{{SkillID: p.SkillID, State: p.State}}}
	switch {
	case !fleet.ValidSkillID(p.SkillID):
		return DesiredPlan{}, false, fleet.Invalidf("skill", "%q is no skill ID: it has 1 to 255 characters without spaces, such as amzn1.ask.skill.0f4a...", p.SkillID)
	case !p.State.Valid():
		return DesiredPlan{}, false, fleet.Invalidf("state", "%q is no state of a skill; use development, certification or live for the stage it should be enabled at, or disabled", p.State)
	}
	d := newDesiredDraft(fleet.DesiredBySet, p.Account, p.Reason, p.Expect)
	d.plan.DryRun = p.DryRun
	d.unitIDs, d.allowNew = p.UnitIDs, p.AllowNew
	if err := d.select1(p.Selector, &entry); err != nil {
		return DesiredPlan{}, false, err
	}
	return s.changeDesired(ctx, d, by, once)
}

// AdoptDesired makes every skill that was last seen enabled on the units of a selector
// one that should be, at that stage. The plan says how many of the units were never
// seen whole, and what was seen that does not tell a state.
func (s *Store) AdoptDesired(ctx context.Context, p DesiredAdoptParams, by fleet.Actor, once Idempotency) (DesiredPlan, bool, error) {
	d := newDesiredDraft(fleet.DesiredByAdopt, p.Account, p.Reason, p.Expect)
	d.plan.DryRun = p.DryRun
	d.adopt = &adoption{only: append([]string{}, p.Skills...), disabled: p.Disabled}
	for _, id := range p.Skills {
		if !fleet.ValidSkillID(id) {
			return DesiredPlan{}, false, fleet.Invalidf("skill", "%q is no skill ID: it has 1 to 255 characters without spaces, such as amzn1.ask.skill.0f4a...", id)
		}
	}
	if err := d.select1(p.Selector, &document.Entry{Select: p.Selector}); err != nil {
		return DesiredPlan{}, false, err
	}
	return s.changeDesired(ctx, d, by, once)
}

// desiredDraft is a change of what is desired on its way. A document, and the one
// entry that set and adopt make, say which units.
type desiredDraft struct {
	doc        document.Document
	unitIDs    []string  // of set, instead of a selector
	adopt      *adoption // of adopt
	allowEmpty bool
	allowNew   []string // skills that the account may not have met; AnySkill: all
	expect     string
	reason     string

	account  int64
	skills   map[string]int32 // rows of skills by ID
	skillIDs map[int32]string // and the other way round
	common   bool             // several entries name one skill
	wanted   map[int32]int    // how many pairs there will be of each skill
	dropped  []int32          // the skills of plan.Unmanaged
	plan     DesiredPlan
}

// adoption is what adopt takes of what was seen.
type adoption struct {
	only      []string // these skills; empty: all
	protected []string // but never these
	disabled  bool     // also what should be enabled and is not
}

func newDesiredDraft(source fleet.DesiredSource, account, reason, expect string) *desiredDraft {
	return &desiredDraft{
		reason: reason, expect: expect, skills: map[string]int32{}, skillIDs: map[int32]string{}, wanted: map[int32]int{},
		plan: DesiredPlan{
			Account: account, Source: source, Entries: []DesiredEntry{}, Skills: []DesiredSkill{}, Groups: []DesiredGroup{}, Unmanaged: []string{},
		},
	}
}

func applyDraft(p DesiredApplyParams) *desiredDraft {
	account := p.Account
	if account == "" {
		account = p.Document.Account
	}
	d := newDesiredDraft(fleet.DesiredByApply, account, p.Reason, p.Expect)
	d.doc, d.allowEmpty, d.allowNew = p.Document, p.AllowEmpty, p.AllowNew
	d.doc.Entries = slices.Clone(d.doc.Entries) // Check fills in the selectors.
	return d
}

// select1 makes the one entry of set and adopt.
func (d *desiredDraft) select1(selector string, e *document.Entry) error {
	switch {
	case selector != "" && len(d.unitIDs) > 0:
		return fleet.Invalidf("select", "a selector and a units file exclude each other; use one")
	case selector == "" && len(d.unitIDs) == 0:
		return fleet.Invalidf("select", "which units? Use --select (all, property=..., label=...) or --units-file")
	case selector != "":
		sel, err := fleet.ParseSelector(selector)
		if err != nil {
			return err
		}
		e.Selector = sel
	}
	d.doc = document.Document{Version: document.Version, Entries: []document.Entry{*e}}
	return nil
}

// changeDesired plans a change and, unless it is a dry run, makes it.
func (s *Store) changeDesired(ctx context.Context, d *desiredDraft, by fleet.Actor, once Idempotency) (plan DesiredPlan, again bool, err error) {
	if d.plan.DryRun {
		once = Idempotency{}
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		kept, err := claimIdempotency(ctx, tx, by, once)
		if err != nil {
			return err
		}
		if again = kept != ""; again {
			if err := json.Unmarshal([]byte(kept), &d.plan); err != nil {
				return fmt.Errorf("decode the first result: %w", err)
			}
			return nil
		}
		if err := d.draft(ctx, tx); err != nil {
			return err
		}
		if d.plan.DryRun {
			return errRollback
		}
		if err := d.write(ctx, tx, by); err != nil {
			return err
		}
		text, err := json.Marshal(d.plan)
		if err != nil {
			return fmt.Errorf("encode the result: %w", err)
		}
		return keepIdempotency(ctx, tx, by, once, string(text))
	})
	if errors.Is(err, errRollback) {
		err = nil
	}
	if err != nil {
		return DesiredPlan{}, false, err
	}
	return d.plan, again, nil
}

// draft works out what changes, and refuses what must not be.
func (d *desiredDraft) draft(ctx context.Context, tx pgx.Tx) error {
	if err := d.check(ctx, tx); err != nil {
		return err
	}
	if err := d.pick(ctx, tx); err != nil {
		return err
	}
	if !d.plan.DryRun {
		// What is desired changes from here on through nobody else. Releases of
		// rollouts do not wait: they try again.
		if err := db.New(tx).DesiredLock(ctx, d.account); err != nil {
			return fmt.Errorf("lock what is desired: %w", err)
		}
	}
	if err := d.compare(ctx, tx); err != nil {
		return err
	}
	if err := d.summarize(ctx, tx); err != nil {
		return err
	}
	switch {
	case d.plan.DryRun:
		return nil
	case d.expect != "" && d.expect != d.plan.Fingerprint:
		return fleet.Conflictf("what would change is not what was shown any more: somebody changed the units or what is desired on them; look at the plan again")
	case d.plan.Refusal != "" && !d.allowEmpty:
		return fleet.Conflictf("%s", d.plan.Refusal)
	}
	return nil
}

// check refuses what needs no units to be seen as wrong.
func (d *desiredDraft) check(ctx context.Context, tx pgx.Tx) error {
	if d.plan.Account == "" {
		return fleet.Invalidf("account", "which account? Name it in the document (account: acme) or beside it")
	}
	if d.doc.Account != "" && d.doc.Account != d.plan.Account {
		return fleet.Invalidf("account", "the document is about account %.63s and you said %s: they must be the same", d.doc.Account, d.plan.Account)
	}
	var protected []string
	err := tx.QueryRow(ctx, `SELECT id, protected_skills FROM accounts WHERE name = $1`, d.plan.Account).Scan(&d.account, &protected)
	if errors.Is(err, pgx.ErrNoRows) {
		return noAccount(d.plan.Account)
	}
	if err != nil {
		return fmt.Errorf("read account: %w", err)
	}
	protected = append(protected, fleet.ProtectedSkills()...)
	if d.plan.Source == fleet.DesiredByApply {
		if err := d.doc.Check(protected...); err != nil {
			return err
		}
		return d.refuseNewSkills(ctx, tx)
	}
	named := d.doc.Entries[0].Skills
	if d.adopt != nil {
		d.adopt.protected = protected
		for _, id := range d.adopt.only {
			named = append(named, document.Skill{SkillID: id})
		}
	}
	for _, skill := range named {
		if slices.Contains(protected, skill.SkillID) {
			return &fleet.Error{Code: fleet.CodeConflict, Field: "skill", Message: fmt.Sprintf(
				"%s is a protected skill (a subscription, or one that account %s protects): nobody may enable or disable it", skill.SkillID, d.plan.Account)}
		}
	}
	if d.adopt == nil {
		if err := d.refuseNewSkills(ctx, tx); err != nil {
			return err
		}
	}
	if len(d.unitIDs) > 0 {
		return checkUnitsFile(ctx, tx, RolloutParams{Account: d.plan.Account, UnitIDs: d.unitIDs}, d.account)
	}
	return nil
}
