package store

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
)

// IgnoreDrift says of findings that they do not count until a time to come. By IDs,
// each must be open; by filter, at least one must match.
func (s *Store) IgnoreDrift(ctx context.Context, p IgnoreParams, actor fleet.Actor) (DriftIgnoring, error) {
	out := DriftIgnoring{Until: p.Until.UTC(), By: actor.Name, Reason: p.Reason}
	switch {
	case !p.Until.After(time.Now()):
		return out, fleet.Invalidf("until", "%s is past: drift is ignored until a time to come, and then counts again", p.Until.UTC().Format(time.RFC3339))
	case strings.TrimSpace(p.Reason) == "":
		return out, fleet.Invalidf("reason", "say why this drift is no concern; whoever meets it later will ask")
	}
	c := ignoreChange{
		filter: p.Filter, actor: actor, action: "drift.ignore", reason: p.Reason, detail: map[string]any{"until": out.Until},
		sql: "UPDATE drifts AS d SET ignored_until = $1, ignored_by = $2, ignore_reason = $3 WHERE %s", args: []any{p.Until, actor.Name, p.Reason},
	}
	err := s.inTx(ctx, func(tx pgx.Tx) (err error) {
		out.Ignored, err = c.make(ctx, tx)
		return err
	})
	return out, err
}

// UnignoreDrift has findings count again that are ignored now; others that the filter
// picks stay as they are. By IDs, each must be open; at least one must be ignored. Who
// ignored them and why stays with them.
func (s *Store) UnignoreDrift(ctx context.Context, p UnignoreParams, actor fleet.Actor) (DriftUnignoring, error) {
	out := DriftUnignoring{By: actor.Name, Reason: p.Reason}
	p.Filter.Ignored = DriftIgnoredYes
	c := ignoreChange{
		filter: p.Filter, actor: actor, action: "drift.unignore", reason: p.Reason,
		sql: "UPDATE drifts AS d SET ignored_until = now() WHERE d.ignored_until > now() AND %s",
	}
	err := s.inTx(ctx, func(tx pgx.Tx) (err error) {
		out.Unignored, err = c.make(ctx, tx)
		return err
	})
	return out, err
}

// ignoreChange is a change of whether findings are ignored.
type ignoreChange struct {
	filter DriftFilter
	actor  fleet.Actor
	action string // for the log
	reason string
	detail map[string]any
	sql    string // with %s where the filter goes
	args   []any
}

// make makes the change and logs it. One of no findings is an error.
func (c ignoreChange) make(ctx context.Context, tx pgx.Tx) (findings int, err error) {
	w, err := checkDriftFilter(ctx, tx, c.filter)
	if err != nil {
		return 0, err
	}
	if err := refuseUnknownIDs(ctx, tx, c.filter.IDs); err != nil {
		return 0, err
	}
	where, args := w.sql(c.args)
	done, err := tx.Exec(ctx, fmt.Sprintf(c.sql, where), args...)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", c.action, err)
	}
	if findings = int(done.RowsAffected()); findings == 0 {
		return 0, noDrift(c.filter)
	}
	object := "drift"
	if len(c.filter.IDs) == 1 {
		object = "drift/" + c.filter.IDs[0]
	} else if c.filter.Account != "" {
		object = "account/" + c.filter.Account
	}
	detail := map[string]any{"filter": c.filter.text(), "findings": findings}
	maps.Copy(detail, c.detail)
	return findings, addLog(ctx, tx, logEntry{Actor: c.actor, Action: c.action, Object: object, Reason: c.reason, Detail: detail})
}
