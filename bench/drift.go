package main

import (
	"context"
	"encoding/json"
	"fmt"
)

// drift measures lists of drift on the large fleet. Which homes have drifted is set in
// the database: to audit a million homes would take the most of an hour.
func (b *bench) drift(ctx context.Context) error {
	b.progress("%d findings", b.findings)
	for _, sql := range []string{
		"INSERT INTO skills (skill_id) SELECT 'amzn1.ask.skill.drift-' || n FROM generate_series(0, 9) AS n",
		fmt.Sprintf(`
			INSERT INTO drifts (key, account_id, unit_id, property, skill_id, kind, desired_stage, status,
				first_seen_at, last_good_at, cause, cause_detail, opened_by)
			SELECT 'dr-' || drifted.id, drifted.account_id, drifted.id, drifted.property, skills.id,
				CASE WHEN drifted.n %% 50 = 0 THEN 'not_linked' ELSE 'missing' END, 'live', 'ABSENT', now(), now() - interval '1 day',
				CASE WHEN drifted.n %% 100 < 94 THEN 'changed_outside' ELSE 'write_failed' END,
				'seen as desired at 2026-11-21 02:10 UTC, changed before 2026-11-22 02:10 UTC', 1
			FROM (
				SELECT units.*, (row_number() OVER (ORDER BY units.id) - 1) / %[1]d AS n, (row_number() OVER (ORDER BY units.id) - 1) %% %[1]d AS rest
				FROM units
				JOIN accounts ON accounts.id = units.account_id
				WHERE accounts.name = 'large'
			) AS drifted
			JOIN skills ON skills.skill_id = 'amzn1.ask.skill.drift-' || drifted.n %% 10
			WHERE drifted.rest = 0 AND drifted.n < %[2]d
			ORDER BY drifted.id`, max(1, b.units/b.findings), b.findings),
		"ANALYZE drifts",
	} {
		if _, err := b.db.pool.Exec(ctx, sql); err != nil {
			return fmt.Errorf("set up findings: %w", err)
		}
	}
	for _, list := range []struct{ what, path, goal string }{
		{fmt.Sprintf("`drift list` with %d findings on %d units: the first page, of 1000", b.findings, b.units), "drift?limit=1000", "50 ms"},
		{"- of 100, as other programs ask", "drift", "50 ms"},
		{"- of 100 of one account and cause", "drift?account=large&cause=write_failed", "50 ms"},
		{"- the largest groups of all findings", "drift/summary?by=account&by=cause&by=property", ""},
	} {
		figure, err := b.calls(ctx, b.lists, "/api/v1/"+list.path, func(body []byte) error {
			var l struct {
				Items []json.RawMessage `json:"items"`
			}
			if err := json.Unmarshal(body, &l); err != nil || len(l.Items) == 0 {
				return fmt.Errorf("%d items: %w", len(l.Items), err)
			}
			return nil
		})
		if err != nil {
			return err
		}
		b.report(list.what, figure, list.goal)
	}
	return nil
}
