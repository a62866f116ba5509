package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/store/db"
)

// ErrDesiredBusy says that what is desired in the account is just being changed by
// somebody. It passes: the release can be made a moment later.
var ErrDesiredBusy = errors.New("what is desired in the account is being changed")

// ReleaseDesired sets what is desired for the units that a rollout releases, in the
// transaction that releases them: units by row, and for each the stage it is to be
// enabled at, or empty for disabled. A unit must not stand there twice. It returns for
// how many that was new; the rows of the others are left alone.
//
// All releases of a rollout belong to one change. It is two statements, and both look
// up what they are about by key. ErrDesiredBusy says that nothing was done, rather than
// to wait in a tick for the end of an apply to a million units.
func ReleaseDesired(ctx context.Context, tx pgx.Tx, rolloutID int64, units []int64, stages []string) (int, error) {
	if len(units) == 0 {
		return 0, nil
	}
	if len(units) != len(stages) {
		return 0, fmt.Errorf("release desired states: %d units have %d stages", len(units), len(stages))
	}
	q := db.New(tx)
	change, err := q.DesiredReleaseChange(ctx, db.DesiredReleaseChangeParams{RolloutID: rolloutID, Key: newDesiredKey()})
	if err != nil {
		return 0, fmt.Errorf("find the change of the rollout: %w", err)
	}
	if !change.Free {
		return 0, ErrDesiredBusy
	}
	n, err := q.DesiredRelease(ctx, db.DesiredReleaseParams{
		ChangeID: change.ChangeID, AccountID: change.AccountID, SkillID: change.SkillID, Units: units, Stages: stages,
	})
	if err != nil {
		return 0, fmt.Errorf("set what is desired: %w", err)
	}
	return int(n), nil
}

// newDesiredKey makes the ID of a change.
func newDesiredKey() string { return "de-" + strings.TrimPrefix(newRolloutKey(), "ro-") }
