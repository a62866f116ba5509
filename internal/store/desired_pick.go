package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/fleet/document"
	"fleetd/internal/store/db"
)

// desiredTables are what a change works with: the units that each entry picks, the
// skills that each entry names, and the pairs that change. common marks skills that
// several entries name, shared units that several entries pick: where a unit and a
// skill are both, a pair could stand there twice.
var desiredTables = []string{
	`CREATE TEMPORARY TABLE desired_units (
		entry integer NOT NULL, unit_id bigint NOT NULL, shared boolean NOT NULL DEFAULT false
	) ON COMMIT DROP`,
	`CREATE TEMPORARY TABLE desired_skills (
		entry integer NOT NULL, skill_id integer NOT NULL, stage text NOT NULL, common boolean NOT NULL
	) ON COMMIT DROP`,
	`CREATE TEMPORARY TABLE desired_diff (
		unit_id bigint NOT NULL, skill_id integer NOT NULL, entry integer, old_stage text, new_stage text
	) ON COMMIT DROP`,
	// Joins of millions of pairs are what this memory is for.
	`SET LOCAL work_mem = '64MB'`,
}

// pick fills desired_units and desired_skills and refuses what only the account's
// units can show to be wrong.
func (d *desiredDraft) pick(ctx context.Context, tx pgx.Tx) error {
	for _, sql := range desiredTables {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return fmt.Errorf("set up the change: %w", err)
		}
	}
	if err := d.pickSkills(ctx, tx); err != nil {
		return err
	}
	if err := d.pickUnits(ctx, tx); err != nil {
		return err
	}
	if err := d.countUnits(ctx, tx); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "ANALYZE desired_units, desired_skills"); err != nil {
		return fmt.Errorf("analyze what was picked: %w", err)
	}
	if !d.common {
		return nil
	}
	return d.refuseClashes(ctx, tx)
}

func (d *desiredDraft) pickSkills(ctx context.Context, tx pgx.Tx) error {
	uses := map[string]int{}
	var ids []string
	for _, e := range d.doc.Entries {
		for _, s := range e.Skills {
			uses[s.SkillID]++
			if uses[s.SkillID] == 1 {
				ids = append(ids, s.SkillID)
			}
		}
	}
	rows, err := db.New(tx).SkillsEnsure(ctx, ids)
	if err != nil {
		return fmt.Errorf("name skills: %w", err)
	}
	for _, r := range rows {
		d.skills[r.SkillID], d.skillIDs[r.ID] = r.ID, r.SkillID
	}
	var entries, skills []int32
	var stages []string
	var common []bool
	for i, e := range d.doc.Entries {
		for _, s := range e.Skills {
			entries, skills = append(entries, int32(i)), append(skills, d.skills[s.SkillID])
			stages, common = append(stages, string(s.State.Stage())), append(common, uses[s.SkillID] > 1)
			d.common = d.common || uses[s.SkillID] > 1
		}
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO desired_skills (entry, skill_id, stage, common)
		SELECT unnest($1::integer[]), unnest($2::integer[]), unnest($3::text[]), unnest($4::boolean[])`, entries, skills, stages, common)
	if err != nil {
		return fmt.Errorf("name skills: %w", err)
	}
	return nil
}

// pickUnits picks the units of all entries. The entries that only name properties, or
// only units, are picked together: there may be thousands of them.
func (d *desiredDraft) pickUnits(ctx context.Context, tx pgx.Tx) error {
	if len(d.unitIDs) > 0 {
		return d.pickByID(ctx, tx, make([]int32, len(d.unitIDs)), d.unitIDs)
	}
	var byProperty, byUnit struct {
		entries []int32
		names   []string
	}
	batch := &pgx.Batch{}
	for i, e := range d.doc.Entries {
		entry := int32(i)
		to := &byProperty
		switch key, names := namesOnly(e.Selector); key {
		case fleet.KeyUnit:
			to = &byUnit
			fallthrough
		case fleet.KeyProperty:
			for _, name := range names {
				to.entries, to.names = append(to.entries, entry), append(to.names, name)
			}
		default:
			where, args := selectorSQL(e.Selector, []any{d.account, entry})
			batch.Queue(`
				INSERT INTO desired_units (entry, unit_id)
				SELECT $2::integer, u.id
				FROM units AS u
				WHERE u.account_id = $1 AND u.removed_at IS NULL AND `+where, args...)
		}
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("pick units: %w", err)
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO desired_units (entry, unit_id)
		SELECT named.entry, u.id
		FROM (SELECT unnest($2::integer[]) AS entry, unnest($3::text[]) AS name) AS named
		JOIN units AS u ON u.account_id = $1 AND u.property = named.name AND u.removed_at IS NULL`,
		d.account, byProperty.entries, byProperty.names)
	if err != nil {
		return fmt.Errorf("pick units by property: %w", err)
	}
	return d.pickByID(ctx, tx, byUnit.entries, byUnit.names)
}

func (d *desiredDraft) pickByID(ctx context.Context, tx pgx.Tx, entries []int32, ids []string) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO desired_units (entry, unit_id)
		SELECT named.entry, u.id
		FROM (SELECT unnest($2::integer[]) AS entry, unnest($3::text[]) AS name) AS named
		JOIN units AS u ON u.account_id = $1 AND u.unit_id = named.name AND u.removed_at IS NULL`, d.account, entries, ids)
	if err != nil {
		return fmt.Errorf("pick units by ID: %w", err)
	}
	return nil
}

// namesOnly is the key and the values of a selector that only lists properties or
// unit IDs, each value once; the key is empty for any other.
func namesOnly(sel fleet.Selector) (key string, names []string) {
	if len(sel.Terms) != 1 {
		return "", nil
	}
	t := sel.Terms[0]
	if (t.Key != fleet.KeyProperty && t.Key != fleet.KeyUnit) || (t.Op != fleet.OpEq && t.Op != fleet.OpIn) {
		return "", nil
	}
	return t.Key, slices.Compact(slices.Sorted(slices.Values(t.Values)))
}

// countUnits counts what each entry picks, and refuses an entry that picks nothing.
func (d *desiredDraft) countUnits(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `SELECT entry, count(*) FROM desired_units GROUP BY entry`)
	if err != nil {
		return fmt.Errorf("count units: %w", err)
	}
	counts := make([]int, len(d.doc.Entries))
	var entry, n int
	if _, err := pgx.ForEachRow(rows, []any{&entry, &n}, func() error { counts[entry] = n; return nil }); err != nil {
		return fmt.Errorf("count units: %w", err)
	}
	var none []fleet.Detail
	total := 0
	for i, e := range d.doc.Entries {
		d.plan.Entries = append(d.plan.Entries, DesiredEntry{Line: e.Line, Selector: d.selectorText(i), Units: counts[i]})
		if counts[i] > 0 {
			continue
		}
		if d.plan.Source != fleet.DesiredByApply {
			return fleet.Invalidf("select", "the selector %q matches no unit of account %s; `fleetctl unit list --account %s` shows what there is",
				d.selectorText(i), d.plan.Account, d.plan.Account)
		}
		if total++; total <= document.MaxFaults {
			none = append(none, fleet.Detail{
				Location: d.doc.Where(i), Value: e.Select,
				Message: fmt.Sprintf("the selector matches no unit of account %s: mend it, or leave the entry out", d.plan.Account),
			})
		}
	}
	if total > 0 {
		return document.Refusal(none, total)
	}
	return nil
}

// selectorText is the selector of an entry as people are shown it.
func (d *desiredDraft) selectorText(entry int) string {
	if len(d.unitIDs) > 0 {
		return fmt.Sprintf("units file (%d units)", len(d.unitIDs))
	}
	return d.doc.Entries[entry].Selector.String()
}

// clashes finds the pairs for which two entries say different things, as the first
// entries that say them, the number of units and the first five.
const clashes = `
WITH told AS (
	SELECT u.unit_id, s.skill_id, s.stage, min(u.entry) AS entry
	FROM desired_units AS u
	JOIN desired_skills AS s ON s.entry = u.entry
	WHERE u.shared AND s.common
	GROUP BY u.unit_id, s.skill_id, s.stage
), clash AS (
	SELECT unit_id, skill_id, (array_agg(entry ORDER BY entry))[1:2] AS entries
	FROM told
	GROUP BY unit_id, skill_id
	HAVING count(*) > 1
), ranked AS (
	SELECT
		skill_id, entries, unit_id,
		count(*) OVER (PARTITION BY skill_id, entries) AS units,
		row_number() OVER (PARTITION BY skill_id, entries ORDER BY unit_id) AS n
	FROM clash
)
SELECT ranked.skill_id, ranked.entries[1], ranked.entries[2], ranked.units, array_agg(units.unit_id ORDER BY ranked.n)
FROM ranked
JOIN units ON units.id = ranked.unit_id
WHERE ranked.n <= 5
GROUP BY ranked.skill_id, ranked.entries, ranked.units
ORDER BY ranked.entries, ranked.skill_id`

// refuseClashes marks the units that several entries pick, and refuses entries that
// disagree about a skill on one of them.
func (d *desiredDraft) refuseClashes(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `
		UPDATE desired_units AS u
		SET shared = true
		FROM (SELECT unit_id FROM desired_units GROUP BY unit_id HAVING count(*) > 1) AS twice
		WHERE twice.unit_id = u.unit_id`)
	if err != nil {
		return fmt.Errorf("look for overlaps: %w", err)
	}
	rows, err := tx.Query(ctx, clashes)
	if err != nil {
		return fmt.Errorf("look for contradictions: %w", err)
	}
	var skill int32
	var one, other, units, total int
	var some []string
	var details []fleet.Detail
	_, err = pgx.ForEachRow(rows, []any{&skill, &one, &other, &units, &some}, func() error {
		if total++; total <= document.MaxFaults {
			details = append(details, d.clash(d.skillIDs[skill], one, other, units, some))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("look for contradictions: %w", err)
	}
	if total > 0 {
		return document.Refusal(details, total)
	}
	return nil
}

// clash says that two entries disagree about a skill.
func (d *desiredDraft) clash(skill string, one, other, units int, some []string) fleet.Detail {
	at := func(entry int) (where string, state fleet.DesiredState) {
		for j, s := range d.doc.Entries[entry].Skills {
			if s.SkillID == skill {
				return d.doc.WhereSkill(entry, j), s.State
			}
		}
		return d.doc.Where(entry), ""
	}
	first, wanted := at(one)
	second, instead := at(other)
	return fleet.Detail{
		Location: second, Value: skill,
		Message: fmt.Sprintf("%s is to be %s here and %s at %s, and %s by both entries: %s; let the selectors not overlap, or agree",
			skill, instead, wanted, first, picked(units), listed(some, units)),
	}
}

func picked(units int) string {
	if units == 1 {
		return "1 unit is picked"
	}
	return fmt.Sprintf("%d units are picked", units)
}

// listed is the first of some units, and how many there are besides.
func listed(some []string, units int) string {
	text := strings.Join(some, ", ")
	if more := units - len(some); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
