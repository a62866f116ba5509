package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/preflight"
	"fleetd/internal/store/db"
)

// PreflightRetention is how long the latest preflight of a change is kept. Whoever may look
// can ask for any skill ID at all, so they must end.
const PreflightRetention = 90 * 24 * time.Hour

// linkedHomes is how many homes of an account are looked at for an account link.
const linkedHomes = 5000

// SavePreflight keeps a preflight as the latest of its account, skill, stage and action,
// unless a later one is kept already. That of an account that is gone is nobody's.
func (s *Store) SavePreflight(ctx context.Context, r preflight.Report) error {
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("save preflight: %w", err)
	}
	err = s.q().PreflightSave(ctx, db.PreflightSaveParams{
		Account: r.Account, SkillID: r.SkillID, Stage: string(r.Stage), Action: string(r.Action),
		Result: string(r.Result), Why: string(r.Why), Report: text, CheckedAt: r.CheckedAt,
	})
	if err != nil {
		return mapError(fmt.Errorf("save preflight: %w", err))
	}
	return nil
}

// Preflights reads the latest preflights of a skill in an account: one for each stage and
// action that was asked about, and none where nobody asked.
func (s *Store) Preflights(ctx context.Context, account, skillID string) ([]preflight.Report, error) {
	if _, err := accountID(ctx, s.pool, account); err != nil {
		return nil, err
	}
	rows, err := s.q().PreflightSkill(ctx, db.PreflightSkillParams{Account: account, SkillID: skillID})
	if err != nil {
		return nil, mapError(fmt.Errorf("read preflights: %w", err))
	}
	out := make([]preflight.Report, len(rows))
	for i, row := range rows {
		r, err := decodePreflight(row)
		if err != nil {
			return nil, err
		}
		out[i] = *r
	}
	return out, nil
}

// ForgetPreflights deletes preflights that are older than PreflightRetention, the oldest
// first and at most so many: fewer deleted than that means that none is left.
func (s *Store) ForgetPreflights(ctx context.Context, most int) (int, error) {
	n, err := s.q().PreflightForget(ctx, db.PreflightForgetParams{
		AgeSeconds: PreflightRetention.Seconds(), MaxRows: int32(most), //nolint:gosec // A group is small.
	})
	if err != nil {
		return 0, mapError(fmt.Errorf("forget preflights: %w", err))
	}
	return int(n), nil
}

// LinkSeen reports whether a home of the account was last seen with an account linked to
// the skill. It looks at the first homes of the account and not at all of a large fleet.
func (s *Store) LinkSeen(ctx context.Context, account, skillID string) (bool, error) {
	seen, err := s.q().PreflightLinkSeen(ctx, db.PreflightLinkSeenParams{Account: account, SkillID: skillID, MostUnits: linkedHomes})
	if err != nil {
		return false, mapError(fmt.Errorf("look for account links: %w", err))
	}
	return seen, nil
}

// CreatedRollout finds what a creating call made that had the same key before: the rollout
// as it is now, and true. It claims nothing, so two calls at once may both find nothing;
// creation then tells them apart.
func (s *Store) CreatedRollout(ctx context.Context, actor fleet.Actor, once Idempotency) (Rollout, bool, error) {
	key, err := usedFor(ctx, s.q(), actor, once)
	if err != nil || key == "" {
		return Rollout{}, false, err
	}
	r, err := s.Rollout(ctx, key)
	return r, err == nil, err
}

// RepairMade is CreatedRollout for repairs: whether the key was used for this one.
func (s *Store) RepairMade(ctx context.Context, actor fleet.Actor, once Idempotency) (bool, error) {
	object, err := usedFor(ctx, s.q(), actor, once)
	return object != "", err
}

// keepPreflight keeps what was checked before a rollout was created, or began, in place of
// what was kept.
func keepPreflight(ctx context.Context, q *db.Queries, rolloutID int64, r *preflight.Report) error {
	if r == nil {
		return nil
	}
	text, err := json.Marshal(r)
	if err == nil {
		err = q.RolloutPreflightSave(ctx, db.RolloutPreflightSaveParams{RolloutID: rolloutID, Report: text})
	}
	if err != nil {
		return fmt.Errorf("keep what was checked: %w", err)
	}
	return nil
}

func rolloutPreflight(ctx context.Context, q *db.Queries, rolloutID int64) (*preflight.Report, error) {
	text, err := q.RolloutPreflight(ctx, rolloutID)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // Nothing was checked, which is not an error.
	}
	if err != nil {
		return nil, mapError(fmt.Errorf("read what was checked: %w", err))
	}
	return decodePreflight(text)
}

func decodePreflight(text []byte) (*preflight.Report, error) {
	r := new(preflight.Report)
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("decode preflight: %w", err)
	}
	return r, nil
}

// logPreflight has the log say what was checked, and what a person went on in spite of.
func logPreflight(detail map[string]any, r *preflight.Report) {
	if r == nil {
		return
	}
	detail["preflight"] = r.Result
	if failed := forcedPast(r); len(failed) > 0 {
		detail["forced_past"] = failed
	}
}

// forcedPast names the checks that a rollout was made in spite of.
func forcedPast(r *preflight.Report) []preflight.Name {
	if !r.Forced {
		return nil
	}
	var names []preflight.Name
	for _, c := range r.Failed() {
		names = append(names, c.Name)
	}
	return names
}
