package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/fleet/document"
)

// ExportDesired calls each with the entries of a document that says what is desired in
// an account at one moment, as short as it can be said; applying it changes nothing.
//
// What all units of a property have in common is one entry, for all properties that
// have the same in common: property=a, or property in (a,b). What only some of its units
// have is an entry that names these units, or, where they are most of the property, the
// property without the others. So no two entries speak of the same skill on a unit.
//
// All is read before the first entry comes, so that a slow reader holds no snapshot
// open; it waits in temporary tables of a connection of its own.
func (s *Store) ExportDesired(ctx context.Context, account string, each func(document.Entry) error) error {
	id, err := accountID(ctx, s.pool, account)
	if err != nil {
		return mapError(err)
	}
	conn, err := pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig.Copy())
	if err != nil {
		return mapError(fmt.Errorf("export desired states: %w", err))
	}
	defer closeImport(ctx, conn)
	x := &desiredExport{conn: conn, account: id, each: each, alike: map[string][]string{}, listed: map[string]int32{}}
	for _, step := range []func(context.Context) error{x.read, x.nameSkills, x.split, x.writeAlike, x.writeMost, x.writeListed} {
		if err := step(ctx); err != nil {
			return mapError(fmt.Errorf("export desired states: %w", err))
		}
	}
	return nil
}

// The bounds of one entry of an export. A selector of maxExportBytes can be read back
// with much to spare; of more than maxExcept units, none are excepted.
const (
	maxExportBytes = fleet.MaxSelectorBytes / 2
	maxExcept      = 300
)

// A pattern is what is desired of all skills on a unit: "3:live 7:" is skill 3 live and
// skill 7 disabled, sorted; the unit of which nothing is desired has the empty one.
type desiredExport struct {
	conn    *pgx.Conn
	account int64
	each    func(document.Entry) error

	names  map[string]string   // of skills, by row
	alike  map[string][]string // the properties that have a pattern in common
	most   []mostOf
	listed map[string]int32 // patterns of which the units are named, by number
	rows   [][]any          // of export_listed: property, pattern, number
}

// mostOf is a property most units of which have a pattern that the others have not.
type mostOf struct {
	property string
	pattern  string // of a unit, as a whole
	rest     string // of the pattern, what is not common to the property
}

// read takes the pattern of every unit, all in one statement: at one moment.
func (x *desiredExport) read(ctx context.Context) error {
	for _, sql := range []string{
		"SET work_mem = '64MB'",
		"CREATE TEMPORARY TABLE export_units (unit_id text NOT NULL, property text NOT NULL, id bigint NOT NULL, pattern text NOT NULL)",
		"CREATE TEMPORARY TABLE export_listed (property text NOT NULL, pattern text NOT NULL, number integer NOT NULL)",
	} {
		if _, err := x.conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("set up: %w", err)
		}
	}
	_, err := x.conn.Exec(ctx, `
		INSERT INTO export_units (unit_id, property, id, pattern)
		SELECT u.unit_id, u.property, u.id, coalesce(p.pattern, '')
		FROM units AS u
		LEFT JOIN (
			SELECT d.unit_id, string_agg(d.skill_id || ':' || d.stage, ' ' ORDER BY d.skill_id) AS pattern
			FROM desired AS d
			JOIN units AS own ON own.id = d.unit_id
			WHERE own.account_id = $1
			GROUP BY d.unit_id
		) AS p ON p.unit_id = u.id
		WHERE u.account_id = $1 AND u.removed_at IS NULL`, x.account)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if _, err := x.conn.Exec(ctx, "CREATE INDEX ON export_units (property, pattern)"); err != nil {
		return fmt.Errorf("sort: %w", err)
	}
	if _, err := x.conn.Exec(ctx, "ANALYZE export_units"); err != nil {
		return fmt.Errorf("sort: %w", err)
	}
	return nil
}

func (x *desiredExport) nameSkills(ctx context.Context) error {
	rows, err := x.conn.Query(ctx, `SELECT id::text, skill_id FROM skills`)
	if err != nil {
		return fmt.Errorf("name skills: %w", err)
	}
	x.names = map[string]string{}
	var id, name string
	if _, err := pgx.ForEachRow(rows, []any{&id, &name}, func() error { x.names[id] = name; return nil }); err != nil {
		return fmt.Errorf("name skills: %w", err)
	}
	return nil
}

// patternCount is how many units of a property have a pattern.
type patternCount struct {
	pattern string
	units   int
}

// split decides for every property what of it is said how.
func (x *desiredExport) split(ctx context.Context) error {
	rows, err := x.conn.Query(ctx, `SELECT property, pattern, count(*) FROM export_units GROUP BY property, pattern ORDER BY property, pattern`)
	if err != nil {
		return fmt.Errorf("split: %w", err)
	}
	var property, current string
	var c patternCount
	var counts []patternCount
	_, err = pgx.ForEachRow(rows, []any{&property, &c.pattern, &c.units}, func() error {
		if property != current {
			x.splitProperty(current, counts)
			current, counts = property, counts[:0]
		}
		counts = append(counts, c)
		return nil
	})
	if err != nil {
		return fmt.Errorf("split: %w", err)
	}
	x.splitProperty(current, counts)
	_, err = x.conn.CopyFrom(ctx, pgx.Identifier{"export_listed"}, []string{"property", "pattern", "number"}, pgx.CopyFromRows(x.rows))
	if err != nil {
		return fmt.Errorf("split: %w", err)
	}
	x.rows = nil
	return nil
}

func (x *desiredExport) splitProperty(property string, counts []patternCount) {
	if len(counts) == 0 {
		return
	}
	common := strings.Fields(counts[0].pattern)
	total, most := 0, counts[0]
	for _, c := range counts {
		have := strings.Fields(c.pattern)
		common = slices.DeleteFunc(common, func(pair string) bool { return !slices.Contains(have, pair) })
		total += c.units
		if c.units > most.units {
			most = c
		}
	}
	if len(common) > 0 {
		key := strings.Join(common, " ")
		x.alike[key] = append(x.alike[key], property)
	}
	for _, c := range counts {
		rest := strings.Join(without(strings.Fields(c.pattern), common), " ")
		switch except := total - c.units; {
		case rest == "":
		case c.pattern == most.pattern && except < c.units && except <= maxExcept:
			x.most = append(x.most, mostOf{property: property, pattern: c.pattern, rest: rest})
		default:
			x.list(property, c.pattern, rest)
		}
	}
}

// list says that the units of a property with a pattern are to be named.
func (x *desiredExport) list(property, pattern, rest string) {
	number, known := x.listed[rest]
	if !known {
		number = int32(len(x.listed)) //nolint:gosec // There are fewer patterns than units.
		x.listed[rest] = number
	}
	x.rows = append(x.rows, []any{property, pattern, number})
}

func without(all, some []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(some, s) })
}

// writeAlike writes what is common to whole properties.
func (x *desiredExport) writeAlike(context.Context) error {
	patterns := slices.SortedFunc(maps.Keys(x.alike), func(a, b string) int { return strings.Compare(x.alike[a][0], x.alike[b][0]) })
	for _, pattern := range patterns {
		if err := x.writeNames(fleet.KeyProperty, x.alike[pattern], pattern); err != nil {
			return err
		}
	}
	return nil
}

// writeMost writes what most of a property has: the property without the others. Where
// the names of the others are too long for a selector, those that have it are named.
func (x *desiredExport) writeMost(ctx context.Context) error {
	for _, m := range x.most {
		rows, err := x.conn.Query(ctx, `SELECT unit_id FROM export_units WHERE property = $1 AND pattern <> $2 ORDER BY id`, m.property, m.pattern)
		if err != nil {
			return fmt.Errorf("read exceptions: %w", err)
		}
		others, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return fmt.Errorf("read exceptions: %w", err)
		}
		sel := fleet.Selector{Terms: []fleet.Term{{Key: fleet.KeyProperty, Op: fleet.OpEq, Values: []string{m.property}}}}
		for _, id := range others {
			sel.Terms = append(sel.Terms, fleet.Term{Key: fleet.KeyUnit, Op: fleet.OpNotEq, Values: []string{id}})
		}
		if len(sel.String()) <= maxExportBytes {
			if err := x.write(sel, m.rest); err != nil {
				return err
			}
			continue
		}
		x.list(m.property, m.pattern, m.rest)
	}
	_, err := x.conn.CopyFrom(ctx, pgx.Identifier{"export_listed"}, []string{"property", "pattern", "number"}, pgx.CopyFromRows(x.rows))
	if err != nil {
		return fmt.Errorf("list units: %w", err)
	}
	return nil
}

// writeListed writes the entries that name their units, those of one pattern together.
func (x *desiredExport) writeListed(ctx context.Context) error {
	patterns := make([]string, len(x.listed))
	for pattern, number := range x.listed {
		patterns[number] = pattern
	}
	_, err := x.conn.Exec(ctx, `
		CREATE TEMPORARY TABLE export_named AS
		SELECT row_number() OVER (ORDER BY l.number, u.property, u.id) AS n, l.number, u.unit_id
		FROM export_listed AS l
		JOIN export_units AS u ON u.property = l.property AND u.pattern = l.pattern`)
	if err != nil {
		return fmt.Errorf("list units: %w", err)
	}
	if _, err := x.conn.Exec(ctx, "CREATE INDEX ON export_named (n)"); err != nil {
		return fmt.Errorf("list units: %w", err)
	}
	var names []string
	current, size := int32(0), 0
	flush := func() error {
		err := x.writeNames(fleet.KeyUnit, names, patterns[current])
		names, size = names[:0], 0
		return err
	}
	for after := int64(0); ; {
		rows, err := x.conn.Query(ctx, `SELECT n, number, unit_id FROM export_named WHERE n > $1 ORDER BY n LIMIT $2`, after, exportPage)
		if err != nil {
			return fmt.Errorf("list units: %w", err)
		}
		type named struct {
			n      int64
			number int32
			unit   string
		}
		page, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (v named, err error) {
			err = row.Scan(&v.n, &v.number, &v.unit)
			return v, err
		})
		if err != nil {
			return fmt.Errorf("list units: %w", err)
		}
		for _, v := range page {
			if len(names) > 0 && (v.number != current || size+nameBytes(v.unit) > maxExportBytes) {
				if err := flush(); err != nil {
					return err
				}
			}
			after, current = v.n, v.number
			names, size = append(names, v.unit), size+nameBytes(v.unit)
		}
		if len(page) < exportPage {
			break
		}
	}
	if len(names) == 0 {
		return nil
	}
	return flush()
}

// writeNames writes entries for a pattern that name properties or units, as many as
// keep their selectors short enough.
func (x *desiredExport) writeNames(key string, names []string, pattern string) error {
	for len(names) > 0 {
		n, size := 0, 0
		for n < len(names) && (n == 0 || size+nameBytes(names[n]) <= maxExportBytes) {
			size += nameBytes(names[n])
			n++
		}
		term := fleet.Term{Key: key, Op: fleet.OpIn, Values: slices.Clone(names[:n])}
		if n == 1 {
			term.Op = fleet.OpEq
		}
		if err := x.write(fleet.Selector{Terms: []fleet.Term{term}}, pattern); err != nil {
			return err
		}
		names = names[n:]
	}
	return nil
}

// nameBytes is at least what a name takes in a selector, with its comma.
func nameBytes(name string) int { return len(strconv.Quote(name)) + 1 }

// write writes one entry.
func (x *desiredExport) write(sel fleet.Selector, pattern string) error {
	e := document.Entry{Select: sel.String(), Selector: sel}
	for pair := range strings.FieldsSeq(pattern) {
		skill, stage, _ := strings.Cut(pair, ":")
		e.Skills = append(e.Skills, document.Skill{SkillID: x.names[skill], State: fleet.DesiredStateOf(fleet.Stage(stage))})
	}
	return x.each(e)
}
