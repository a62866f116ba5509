package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/store/db"
)

// writes make the pairs of desired_diff what is desired; $1 is the change, $2 its time.
// The lock keeps everybody else from the rows, so that looking before writing is safe,
// and far cheaper than ON CONFLICT. Rows go in by key: their index is half as large.
var writes = []struct{ what, sql string }{
	{"change desired states", `
		UPDATE desired AS d
		SET stage = f.new_stage, change_id = $1, changed_at = $2
		FROM desired_diff AS f
		WHERE d.unit_id = f.unit_id AND d.skill_id = f.skill_id AND f.old_stage IS NOT NULL AND f.new_stage IS NOT NULL`},
	{"take desired states away", `
		DELETE FROM desired AS d
		USING desired_diff AS f
		WHERE d.unit_id = f.unit_id AND d.skill_id = f.skill_id AND f.new_stage IS NULL
			AND $1::bigint IS NOT NULL AND $2::timestamptz IS NOT NULL`},
	{"add desired states", `
		INSERT INTO desired (unit_id, skill_id, stage, change_id, changed_at)
		SELECT unit_id, skill_id, new_stage, $1, $2
		FROM desired_diff
		WHERE old_stage IS NULL
		ORDER BY unit_id, skill_id`},
	{"keep the history", `
		INSERT INTO desired_history (unit_id, change_id, changed_at, skill_id, stage)
		SELECT unit_id, $1, $2, skill_id, new_stage
		FROM desired_diff
		ORDER BY unit_id, skill_id`},
}

// write makes the change. One that changes nothing leaves nothing behind, not even in
// the log: a pipeline that applies a document every hour would fill it.
func (d *desiredDraft) write(ctx context.Context, tx pgx.Tx, by fleet.Actor) error {
	q := db.New(tx)
	wanted := make([]int32, 0, len(d.wanted))
	for skill := range d.wanted {
		wanted = append(wanted, skill)
	}
	if err := q.ManagedAdd(ctx, db.ManagedAddParams{AccountID: d.account, Skills: wanted}); err != nil {
		return fmt.Errorf("manage skills: %w", err)
	}
	if d.plan.Counts.Changes() == 0 && len(d.dropped) == 0 {
		return nil
	}
	d.plan.ID = newDesiredKey()
	selector := ""
	if d.plan.Source != fleet.DesiredByApply {
		selector = d.selectorText(0)
	}
	change, err := q.DesiredChangeInsert(ctx, db.DesiredChangeInsertParams{
		Key: d.plan.ID, AccountID: d.account, Source: string(d.plan.Source), Actor: by.Name, Reason: d.reason, Selector: selector,
	})
	if err != nil {
		return fmt.Errorf("insert the change: %w", err)
	}
	for _, w := range writes {
		if _, err := tx.Exec(ctx, w.sql, change.ID, change.ChangedAt); err != nil {
			return fmt.Errorf("%s: %w", w.what, err)
		}
	}
	if len(d.dropped) > 0 {
		err := q.ManagedDrop(ctx, db.ManagedDropParams{
			AccountID: d.account, Skills: d.dropped, ChangeID: change.ID, ChangedAt: change.ChangedAt,
		})
		if err != nil {
			return fmt.Errorf("stop managing skills: %w", err)
		}
	}
	if err := d.log(ctx, tx, by, selector); err != nil {
		return err
	}
	if d.plan.Counts.Changes() < analyzeFrom {
		return nil
	}
	if _, err := tx.Exec(ctx, "ANALYZE desired"); err != nil {
		return fmt.Errorf("analyze desired states: %w", err)
	}
	return nil
}

func (d *desiredDraft) log(ctx context.Context, tx pgx.Tx, by fleet.Actor, selector string) error {
	c := d.plan.Counts
	detail := map[string]any{
		"change": d.plan.ID, "enable": c.Enable, "disable": c.Disable, "stage": c.Stage, "remove": c.Remove, "unchanged": c.Unchanged,
	}
	if selector != "" {
		detail["selector"] = selector
	}
	if d.plan.Source == fleet.DesiredBySet {
		detail["skill_id"], detail["state"] = d.doc.Entries[0].Skills[0].SkillID, d.doc.Entries[0].Skills[0].State
	}
	if len(d.plan.Unmanaged) > 0 {
		detail["unmanaged"] = len(d.plan.Unmanaged)
	}
	return addLog(ctx, tx, logEntry{
		Actor: by, Action: "desired." + string(d.plan.Source), Object: "account/" + d.plan.Account, Reason: d.reason, Detail: detail,
	})
}
