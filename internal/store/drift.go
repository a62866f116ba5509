package store

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/store/db"
)

// maxDriftGroups is how many groups a summary lists.
const maxDriftGroups = 1000

// ListDrift lists open findings in the order they were opened in, account by
// account. next is the cursor of the page that follows, zero after the last.
func (s *Store) ListDrift(ctx context.Context, f DriftFilter, after DriftCursor, limit int) (items []Drift, next DriftCursor, err error) {
	limit = pageLimit(limit)
	w, err := checkDriftFilter(ctx, s.pool, f)
	if err != nil {
		return nil, next, mapError(err)
	}
	where, args := w.sql([]any{after.Account, after.ID, limit + 1})
	rows, err := s.pool.Query(ctx, fmt.Sprintf(listDriftSQL, where), args...)
	if err != nil {
		return nil, next, mapError(fmt.Errorf("list drift: %w", err))
	}
	type place struct {
		Drift

		cursor DriftCursor
	}
	places, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p place, err error) {
		p.cursor, p.Drift, err = scanDrift(row)
		return p, err
	})
	if err != nil {
		return nil, next, mapError(fmt.Errorf("list drift: %w", err))
	}
	places, next = page(places, limit, func(p place) DriftCursor { return p.cursor })
	for _, p := range places {
		items = append(items, p.Drift)
	}
	return items, next, nil
}

// listDriftSQL picks the page before it looks up names.
const listDriftSQL = `
WITH picked AS (
	SELECT d.*
	FROM drifts AS d
	WHERE %s AND (d.account_id, d.id) > ($1::bigint, $2::bigint)
	ORDER BY d.account_id, d.id
	LIMIT $3
)
SELECT
	d.account_id, d.id, d.key, a.name, u.unit_id, d.property, k.skill_id, d.kind, d.desired_stage,
	d.status, d.stage, d.account_link, d.first_seen_at, d.last_good_at, d.cause, d.cause_detail,
	coalesce(d.ignored_until > now(), false), d.ignored_until, d.ignored_by, d.ignore_reason
FROM picked AS d
JOIN accounts AS a ON a.id = d.account_id
JOIN units AS u ON u.id = d.unit_id
JOIN skills AS k ON k.id = d.skill_id
ORDER BY d.account_id, d.id`

func scanDrift(row pgx.CollectableRow) (at DriftCursor, d Drift, err error) {
	var desired *string
	o := &d.Observed
	err = row.Scan(&at.Account, &at.ID, &d.ID, &d.Account, &d.UnitID, &d.Property, &d.SkillID, &d.Kind, &desired,
		&o.Status, &o.Stage, &o.AccountLink, &d.FirstSeenAt, &d.LastGoodAt, &d.Cause, &d.CauseDetail,
		&d.Ignored, &d.IgnoredUntil, &d.IgnoredBy, &d.IgnoreReason)
	d.FirstSeenAt, d.LastGoodAt, d.IgnoredUntil = d.FirstSeenAt.UTC(), utc(d.LastGoodAt), utc(d.IgnoredUntil)
	o.ObservedAt = d.FirstSeenAt
	if desired != nil {
		d.Desired = &DriftDesired{Enabled: *desired != "", Stage: fleet.Stage(*desired)}
	}
	return at, d, err
}

// SummarizeDrift groups the findings that a filter picks, by cause, property and kind
// when by is empty.
func (s *Store) SummarizeDrift(ctx context.Context, f DriftFilter, by []DriftBy) (DriftSummary, error) {
	out := DriftSummary{Items: []DriftGroup{}}
	if len(by) == 0 {
		by = []DriftBy{DriftByCause, DriftByProperty, DriftByKind}
	}
	for _, b := range by {
		if !slices.Contains(DriftColumns(), b) {
			return out, fleet.Invalidf("by", "%.100q is not what drift is grouped by; use %s", b, join(DriftColumns()))
		}
	}
	w, err := checkDriftFilter(ctx, s.pool, f)
	if err != nil {
		return out, mapError(err)
	}
	where, args := w.sql([]any{maxDriftGroups})
	rows, err := s.pool.Query(ctx, summarySQL(where, by), args...)
	if err != nil {
		return out, mapError(fmt.Errorf("summarize drift: %w", err))
	}
	var g DriftGroup
	_, err = pgx.ForEachRow(rows, []any{
		&g.Account, &g.Cause, &g.Property, &g.Kind, &g.SkillID, &g.Count, &g.FirstSeenAt, &out.Total, &out.Groups,
	}, func() error {
		g.Share = math.Round(float64(g.Count)/float64(out.Total)*1e4) / 1e4
		g.FirstSeenAt = g.FirstSeenAt.UTC()
		out.Items = append(out.Items, g)
		return nil
	})
	if err != nil {
		return out, mapError(fmt.Errorf("summarize drift: %w", err))
	}
	return out, nil
}

// summarySQL groups before it looks up names. $1 is how many groups are listed.
func summarySQL(where string, by []DriftBy) string {
	columns := []string{"account_id", "cause", "property", "kind", "skill_id"}
	zeros := []string{"0", "''", "''", "''", "0"}
	selected, grouped := make([]string, len(columns)), []string{}
	for i, c := range columns {
		selected[i] = zeros[i] + " AS " + c
		if slices.Contains(by, DriftColumns()[i]) {
			selected[i] = "d." + c
			grouped = append(grouped, "d."+c)
		}
	}
	return `
WITH groups AS (
	SELECT ` + strings.Join(selected, ", ") + `,
		count(*) AS n, min(d.first_seen_at) AS first_seen_at, sum(count(*)) OVER () AS total, count(*) OVER () AS groups
	FROM drifts AS d
	WHERE ` + where + `
	GROUP BY ` + strings.Join(grouped, ", ") + `
	ORDER BY n DESC, ` + strings.Join(grouped, ", ") + `
	LIMIT $1
)
SELECT
	coalesce(a.name, ''), g.cause, g.property, g.kind, coalesce(k.skill_id, ''), g.n, g.first_seen_at, g.total::bigint, g.groups
FROM groups AS g
LEFT JOIN accounts AS a ON a.id = g.account_id
LEFT JOIN skills AS k ON k.id = g.skill_id
ORDER BY g.n DESC, g.cause, g.property, g.kind, a.name, k.skill_id`
}

// ResolveByRollout resolves the open findings that a rollout put right: those of its
// skill on targets that succeeded, or were seen to be in the wanted state, after the
// finding opened. It is called as the rollout ends, in that transaction, and returns
// how many there were.
func ResolveByRollout(ctx context.Context, tx pgx.Tx, rolloutID int64) (int, error) {
	n, err := db.New(tx).DriftResolveByRollout(ctx, rolloutID)
	if err != nil {
		return 0, fmt.Errorf("resolve findings by rollout: %w", err)
	}
	return int(n), nil
}

// DriftCounts counts the findings that count, by account and kind, with zeros.
func (s *Store) DriftCounts(ctx context.Context) ([]DriftCount, error) {
	rows, err := s.q().DriftOpenCounts(ctx)
	if err != nil {
		return nil, mapError(fmt.Errorf("count drift: %w", err))
	}
	counts := map[string]map[fleet.DriftKind]int{}
	var accounts []string
	for _, r := range rows {
		if counts[r.Account] == nil {
			counts[r.Account] = map[fleet.DriftKind]int{}
			accounts = append(accounts, r.Account)
		}
		if r.Kind != nil {
			counts[r.Account][fleet.DriftKind(*r.Kind)] = int(r.N)
		}
	}
	var out []DriftCount
	for _, account := range accounts {
		for _, kind := range fleet.DriftKinds() {
			out = append(out, DriftCount{Account: account, Kind: kind, N: counts[account][kind]})
		}
	}
	return out, nil
}
