package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"slices"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/store/db"
)

// maxGroups is how many groups of changes a plan names; the others are counted.
const maxGroups = 1000

// wantedOnce are the pairs of a document that can stand in it once only; wantedTwice
// those that may stand in several entries, each from the first. Entries that disagree
// were refused before.
const (
	wantedOnce = `
	SELECT u.unit_id, s.skill_id, s.stage, u.entry
	FROM desired_units AS u
	JOIN desired_skills AS s ON s.entry = u.entry
	WHERE NOT (u.shared AND s.common)`
	wantedTwice = `
	UNION ALL (
		SELECT DISTINCT ON (u.unit_id, s.skill_id) u.unit_id, s.skill_id, s.stage, u.entry
		FROM desired_units AS u
		JOIN desired_skills AS s ON s.entry = u.entry
		WHERE u.shared AND s.common
		ORDER BY u.unit_id, s.skill_id, u.entry
	)`
)

// adoptEnabled are the pairs that were last seen enabled. A list of all enablements
// that came later and did not change the row confirms it, so the row alone tells: an
// empty status is a write in doubt, and no sight.
const (
	adoptEnabled = `
	SELECT o.unit_id, o.skill_id, o.stage, p.entry
	FROM desired_units AS p
	JOIN observed AS o ON o.unit_id = p.unit_id
	JOIN skills AS s ON s.id = o.skill_id
	WHERE o.status = 'ENABLED' AND o.stage IN ('development', 'certification', 'live')
		AND s.skill_id <> ALL ($2::text[]) AND (cardinality($3::text[]) = 0 OR s.skill_id = ANY ($3::text[]))`
	// adoptDisabled are the pairs that should be enabled and were seen not to be: by a
	// single answer, or by a list of all enablements that does not have them.
	adoptDisabled = `
	UNION ALL
	SELECT d.unit_id, d.skill_id, '', p.entry
	FROM desired_units AS p
	JOIN desired AS d ON d.unit_id = p.unit_id
	JOIN skills AS s ON s.id = d.skill_id
	LEFT JOIN observed AS o ON o.unit_id = d.unit_id AND o.skill_id = d.skill_id
	LEFT JOIN unit_sights AS t ON t.unit_id = d.unit_id
	WHERE (o.status IN ('ABSENT', 'NO_ASSOCIATION', 'DISABLED') OR (o.unit_id IS NULL AND t.seen_at IS NOT NULL))
		AND s.skill_id <> ALL ($2::text[]) AND (cardinality($3::text[]) = 0 OR s.skill_id = ANY ($3::text[]))`
)

// compareSome and compareAll fill desired_diff with the pairs that change; compareAll
// also with those that are desired and not wanted. Units that were removed from the
// inventory take no part. $1 is the account, %s the wanted pairs.
const (
	compareSome = `
INSERT INTO desired_diff (unit_id, skill_id, entry, old_stage, new_stage)
SELECT w.unit_id, w.skill_id, w.entry, d.stage, w.stage
FROM (%s) AS w
LEFT JOIN desired AS d ON d.unit_id = w.unit_id AND d.skill_id = w.skill_id
WHERE $1::bigint IS NOT NULL AND d.stage IS DISTINCT FROM w.stage`
	compareAll = `
INSERT INTO desired_diff (unit_id, skill_id, entry, old_stage, new_stage)
SELECT coalesce(w.unit_id, d.unit_id), coalesce(w.skill_id, d.skill_id), w.entry, d.stage, w.stage
FROM (%s) AS w
FULL JOIN (
	SELECT desired.unit_id, desired.skill_id, desired.stage
	FROM units
	JOIN desired ON desired.unit_id = units.id
	WHERE units.account_id = $1 AND units.removed_at IS NULL
) AS d ON d.unit_id = w.unit_id AND d.skill_id = w.skill_id
WHERE d.stage IS DISTINCT FROM w.stage`
)

// wantedPairs is the SQL of the pairs that are wanted, and its arguments.
func (d *desiredDraft) wantedPairs() (sql string, args []any) {
	args = []any{d.account}
	if d.adopt == nil {
		if d.common {
			return wantedOnce + wantedTwice, args
		}
		return wantedOnce, args
	}
	args = append(args, d.adopt.protected, d.adopt.only)
	if d.adopt.disabled {
		return adoptEnabled + adoptDisabled, args
	}
	return adoptEnabled, args
}

// compare fills desired_diff and counts what is wanted.
func (d *desiredDraft) compare(ctx context.Context, tx pgx.Tx) error {
	wanted, args := d.wantedPairs()
	sql := compareSome
	if d.plan.Source == fleet.DesiredByApply {
		sql = compareAll
	}
	if _, err := tx.Exec(ctx, fmt.Sprintf(sql, wanted), args...); err != nil {
		return fmt.Errorf("compare with what is desired: %w", err)
	}
	if _, err := tx.Exec(ctx, "ANALYZE desired_diff"); err != nil {
		return fmt.Errorf("analyze what changes: %w", err)
	}
	rows, err := tx.Query(ctx, `SELECT skill_id, count(*) FROM (`+wanted+`) AS w WHERE $1::bigint IS NOT NULL GROUP BY skill_id`, args...)
	if err != nil {
		return fmt.Errorf("count what is wanted: %w", err)
	}
	var skill int32
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&skill, &n}, func() error { d.wanted[skill] = n; return nil }); err != nil {
		return fmt.Errorf("count what is wanted: %w", err)
	}
	if d.adopt == nil {
		return nil
	}
	err = tx.QueryRow(ctx, `
		SELECT
			(
				SELECT count(*)
				FROM desired_units AS p
				LEFT JOIN unit_sights AS t ON t.unit_id = p.unit_id
				WHERE t.seen_at IS NULL
			),
			(
				SELECT count(*)
				FROM desired_units AS p
				JOIN observed AS o ON o.unit_id = p.unit_id
				JOIN skills AS s ON s.id = o.skill_id
				WHERE (o.status = '' OR (o.status = 'ENABLED' AND o.stage NOT IN ('development', 'certification', 'live')))
					AND s.skill_id <> ALL ($1::text[]) AND (cardinality($2::text[]) = 0 OR s.skill_id = ANY ($2::text[]))
			)`, d.adopt.protected, d.adopt.only).Scan(&d.plan.NeverSeen, &d.plan.UnknownSeen)
	if err != nil {
		return fmt.Errorf("count what was never seen: %w", err)
	}
	return nil
}

// diffGroup is one row of a summary of desired_diff. seal changes with its units.
type diffGroup struct {
	skill    int32
	from, to *string
	entry    *int
	units    int
	seal     int64
}

// summarize makes the plan of desired_diff.
func (d *desiredDraft) summarize(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `
		SELECT skill_id, old_stage, new_stage, entry, count(*), bit_xor(hashint8extended(unit_id, 0))
		FROM desired_diff
		GROUP BY skill_id, old_stage, new_stage, entry
		ORDER BY skill_id, entry, old_stage, new_stage`)
	if err != nil {
		return fmt.Errorf("sum up what changes: %w", err)
	}
	groups, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (g diffGroup, err error) {
		err = row.Scan(&g.skill, &g.from, &g.to, &g.entry, &g.units, &g.seal)
		return g, err
	})
	if err != nil {
		return fmt.Errorf("sum up what changes: %w", err)
	}
	if err := d.nameSkills(ctx, tx, groups); err != nil {
		return err
	}
	if d.plan.Source == fleet.DesiredByApply {
		if err := d.findUnmanaged(ctx, tx); err != nil {
			return err
		}
	}
	// The rows of skills that nobody named before are other ones at the next look.
	slices.SortStableFunc(groups, func(a, b diffGroup) int { return cmp.Compare(d.skillIDs[a.skill], d.skillIDs[b.skill]) })
	d.count(groups)
	d.fillGroups(groups)
	return nil
}

// nameSkills reads the names of the skills that no entry named.
func (d *desiredDraft) nameSkills(ctx context.Context, tx pgx.Tx, groups []diffGroup) error {
	var unknown []int32
	for _, g := range groups {
		unknown = append(unknown, g.skill)
	}
	for skill := range d.wanted {
		unknown = append(unknown, skill)
	}
	rows, err := db.New(tx).SkillNames(ctx, slices.Compact(slices.Sorted(slices.Values(unknown))))
	if err != nil {
		return fmt.Errorf("name skills: %w", err)
	}
	for _, r := range rows {
		d.skillIDs[r.ID] = r.SkillID
	}
	return nil
}

// findUnmanaged finds the skills that will be managed no more. After an apply those are
// all that the document does not name.
func (d *desiredDraft) findUnmanaged(ctx context.Context, tx pgx.Tx) error {
	wanted := make([]int32, 0, len(d.wanted))
	for skill := range d.wanted {
		wanted = append(wanted, skill)
	}
	rows, err := db.New(tx).ManagedBeside(ctx, db.ManagedBesideParams{AccountID: d.account, Skills: wanted})
	if err != nil {
		return fmt.Errorf("find skills that nothing is desired of: %w", err)
	}
	for _, r := range rows {
		d.dropped = append(d.dropped, r.ID)
		d.plan.Unmanaged = append(d.plan.Unmanaged, r.SkillID)
	}
	return nil
}

// count fills in the counts, the fingerprint and the refusal.
func (d *desiredDraft) count(groups []diffGroup) {
	seal := sha256.New()
	bySkill := map[int32]DesiredCounts{}
	for skill, n := range d.wanted {
		bySkill[skill] = DesiredCounts{Unchanged: n}
	}
	kept := 0 // pairs that had a desired state and have one again
	for _, g := range groups {
		sealGroup(seal, d.skillIDs[g.skill], g)
		c := bySkill[g.skill].add(g.from, g.to, g.units)
		if g.to != nil {
			c.Unchanged -= g.units
			if g.from != nil {
				kept += g.units
			}
		}
		bySkill[g.skill] = c
	}
	sum := &d.plan.Counts
	for skill, c := range bySkill {
		d.plan.Skills = append(d.plan.Skills, DesiredSkill{SkillID: d.skillIDs[skill], DesiredCounts: c})
		sum.Enable, sum.Disable, sum.Stage = sum.Enable+c.Enable, sum.Disable+c.Disable, sum.Stage+c.Stage
		sum.Remove, sum.Unchanged = sum.Remove+c.Remove, sum.Unchanged+c.Unchanged
	}
	slices.SortFunc(d.plan.Skills, func(a, b DesiredSkill) int { return cmp.Compare(a.SkillID, b.SkillID) })
	d.plan.Fingerprint = base64.RawURLEncoding.EncodeToString(seal.Sum(nil)[:12])
	d.plan.Refusal = refusal(d.plan.Account, sum.Remove, sum.Remove+sum.Unchanged+kept, sum.Remove == 0 || sum.Unchanged+kept+sum.Enable+sum.Disable > 0)
}

func sealGroup(seal hash.Hash, skill string, g diffGroup) {
	none := "-"
	from, to, entry := cmp.Or(g.from, &none), cmp.Or(g.to, &none), -1
	if g.entry != nil {
		entry = *g.entry
	}
	_, _ = fmt.Fprintln(seal, skill, *from, *to, entry, g.units, g.seal) // A hash takes everything.
}

// refusal says why so much must not be taken away by mistake, or nothing.
func refusal(account string, removed, before int, some bool) string {
	const mend = "look whether it is the right document and whole, and if it is, allow it (allow_empty, or --allow-empty)"
	switch {
	case removed > 0 && !some:
		return fmt.Sprintf("the document would leave nothing of the %d desired states of account %s; %s", before, account, mend)
	case removed*2 > before:
		return fmt.Sprintf("the document would take away %d of the %d desired states of account %s, more than half; %s", removed, before, account, mend)
	}
	return ""
}

// fillGroups makes the groups that people are shown. They are in order: by skill, and
// within one as the document has them, with what is taken away last.
func (d *desiredDraft) fillGroups(groups []diffGroup) {
	for _, g := range groups {
		if len(d.plan.Groups) == maxGroups {
			d.plan.MoreGroups = len(groups) - maxGroups
			break
		}
		shown := DesiredGroup{SkillID: d.skillIDs[g.skill], From: stateOf(g.from), To: stateOf(g.to), Units: g.units}
		if g.entry != nil {
			shown.Selector = d.selectorText(*g.entry)
			for _, s := range d.doc.Entries[*g.entry].Skills {
				if s.SkillID == shown.SkillID {
					shown.Line = s.Line
				}
			}
		}
		d.plan.Groups = append(d.plan.Groups, shown)
	}
}

// stateOf is the desired state of a stage as the database keeps it.
func stateOf(stage *string) *fleet.DesiredState {
	if stage == nil {
		return nil
	}
	s := fleet.DesiredStateOf(fleet.Stage(*stage))
	return &s
}
