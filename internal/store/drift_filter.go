package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/store/db"
)

// driftWhere is a filter of findings that was checked, its names turned into rows.
type driftWhere struct {
	DriftFilter

	accountID int64   // 0: any
	skillID   int32   // 0: any; -1: none that is known
	unitRows  []int64 // of the unit, one an account; nil: any
}

// checkDriftFilter checks f and finds what it names. A skill that was never heard of
// matches nothing; an account or unit that is not there is an error.
func checkDriftFilter(ctx context.Context, tx querier, f DriftFilter) (driftWhere, error) {
	w := driftWhere{DriftFilter: f}
	switch {
	case f.Kind != "" && !slices.Contains(fleet.DriftKinds(), f.Kind):
		return w, fleet.Invalidf("kind", "%.100q is no kind of drift; the kinds are %s", f.Kind, join(fleet.DriftKinds()))
	case f.Cause != "" && !slices.Contains(fleet.DriftCauses(), f.Cause):
		return w, fleet.Invalidf("cause", "%.100q is no cause of drift; the causes are %s", f.Cause, join(fleet.DriftCauses()))
	}
	switch f.Ignored {
	case "", DriftIgnoredNo, DriftIgnoredYes, DriftIgnoredAny:
	default:
		return w, fleet.Invalidf("ignored", "%.100q is not one of false, true, any", f.Ignored)
	}
	var err error
	if f.Account != "" {
		if w.accountID, err = accountID(ctx, tx, f.Account); err != nil {
			return w, err
		}
	}
	q := db.New(tx)
	if f.SkillID != "" {
		w.skillID, err = q.DriftSkill(ctx, f.SkillID)
		if errors.Is(err, pgx.ErrNoRows) {
			w.skillID, err = -1, nil
		}
		if err != nil {
			return w, fmt.Errorf("find skill: %w", err)
		}
	}
	if f.UnitID != "" {
		w.unitRows, err = q.DriftUnits(ctx, db.DriftUnitsParams{UnitID: f.UnitID, AccountID: w.accountID})
		if err != nil {
			return w, fmt.Errorf("find unit: %w", err)
		}
		if len(w.unitRows) == 0 {
			return w, &fleet.Error{
				Code: fleet.CodeNotFound, Field: "unit_id",
				Message: fmt.Sprintf("there is no unit %.255q; `fleetctl unit list` shows an account's units", f.UnitID),
			}
		}
	}
	return w, nil
}

// sql is the condition that picks the findings, over drifts aliased d. As in
// selectorSQL, every value is an argument, added to args.
func (w driftWhere) sql(args []any) (where string, outArgs []any) {
	terms := []string{"d.resolved_at IS NULL"}
	add := func(term string, v any) {
		args = append(args, v)
		terms = append(terms, fmt.Sprintf(term, len(args)))
	}
	if w.accountID != 0 {
		add("d.account_id = $%d", w.accountID)
	}
	if w.Kind != "" {
		add("d.kind = $%d", string(w.Kind))
	}
	if w.Property != "" {
		add("d.property = $%d", w.Property)
	}
	if w.Cause != "" {
		add("d.cause = $%d", string(w.Cause))
	}
	if w.skillID != 0 {
		add("d.skill_id = $%d", w.skillID)
	}
	if w.unitRows != nil {
		add("d.unit_id = ANY ($%d::bigint[])", w.unitRows)
	}
	if len(w.IDs) > 0 {
		add("d.key = ANY ($%d::text[])", w.IDs)
		return strings.Join(terms, " AND "), args
	}
	switch w.Ignored {
	case DriftIgnoredYes:
		terms = append(terms, "d.ignored_until > now()")
	case DriftIgnoredAny:
	case "", DriftIgnoredNo:
		terms = append(terms, "(d.ignored_until IS NULL OR d.ignored_until <= now())")
	}
	return strings.Join(terms, " AND "), args
}

// text says a filter in words, for the log and for errors.
func (f DriftFilter) text() string {
	var parts []string
	for _, p := range [][2]string{
		{"account", f.Account},
		{"kind", string(f.Kind)},
		{"property", f.Property},
		{"cause", string(f.Cause)},
		{"skill", f.SkillID},
		{"unit", f.UnitID},
	} {
		if p[1] != "" {
			parts = append(parts, p[0]+"="+p[1])
		}
	}
	switch {
	case len(f.IDs) > 0:
		parts = append(parts, fmt.Sprintf("%d by ID", len(f.IDs)))
		if f.Ignored == DriftIgnoredYes {
			parts = append(parts, "ignored=true")
		}
	case f.Ignored == DriftIgnoredYes, f.Ignored == DriftIgnoredAny:
		parts = append(parts, "ignored="+string(f.Ignored))
	}
	if len(parts) == 0 {
		return "all"
	}
	return strings.Join(parts, ",")
}

// noDrift is the error of a filter that matches nothing.
func noDrift(f DriftFilter) error {
	return &fleet.Error{
		Code: fleet.CodeInvalid, Err: ErrNoDrift,
		Message: fmt.Sprintf("no open finding matches %s, so nothing was changed; `fleetctl drift list --ignored=any` shows what there is", f.text()),
	}
}

// refuseUnknownIDs names the IDs that are no open finding.
func refuseUnknownIDs(ctx context.Context, tx querier, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	open, err := db.New(tx).DriftOpenKeys(ctx, ids)
	if err != nil {
		return fmt.Errorf("look for findings: %w", err)
	}
	bad := &fleet.Error{Code: fleet.CodeNotFound, Field: "ids", Message: "some of these are no open findings, so nothing was changed; `fleetctl drift list` shows what is open"}
	for _, id := range ids {
		if !slices.Contains(open, id) {
			bad.Details = append(bad.Details, fleet.Detail{Location: "ids", Message: "there is no open finding of this ID: it is resolved, or never was", Value: id})
		}
	}
	if len(bad.Details) == 0 {
		return nil
	}
	return bad
}

func join[T ~string](all []T) string {
	out := make([]string, len(all))
	for i, v := range all {
		out[i] = string(v)
	}
	return strings.Join(out, ", ")
}
