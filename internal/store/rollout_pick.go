package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"fleetd/internal/fleet"
	"fleetd/internal/rollout"
)

// guardrails are those flags of a rollout that need parsing.
type guardrails struct {
	waves  []rollout.Size
	window *rollout.Window
}

// parseGuardrails fills in p's defaults and checks all that needs no database.
func parseGuardrails(p *RolloutParams) (guardrails, error) {
	var g guardrails
	if p.Stage == "" {
		p.Stage = fleet.StageLive
	}
	if p.Weight == 0 {
		p.Weight = 1
	}
	if p.MaxFailures == "" {
		p.MaxFailures = DefaultMaxFailures
	}
	if p.VerifyTimeout == 0 {
		p.VerifyTimeout = DefaultVerifyTimeout
	}
	if p.ObservationMaxAge == 0 {
		p.ObservationMaxAge = DefaultObservationMaxAge
	}
	switch {
	case !slices.Contains(fleet.Actions(), p.Action):
		return g, fleet.Invalidf("action", "%q is no action; use enable or disable", p.Action)
	case !slices.Contains(fleet.Stages(), p.Stage):
		return g, fleet.Invalidf("stage", "%q is no stage; use development, certification or live", p.Stage)
	case !fleet.ValidSkillID(p.SkillID):
		return g, fleet.Invalidf("skill", "%q is no skill ID: it has 1 to 255 characters without spaces, such as amzn1.ask.skill.0f4a...", p.SkillID)
	case p.Weight < 1 || p.Weight > 1000:
		return g, fleet.Invalidf("weight", "%d is no weight; use 1 to 1000", p.Weight)
	case p.Soak < 0:
		return g, fleet.Invalidf("soak", "%v is negative; use a duration such as 10m", p.Soak)
	case p.VerifyTimeout < time.Second:
		return g, fleet.Invalidf("verify-timeout", "%v is too short; use 1s or more", p.VerifyTimeout)
	case p.VerifyTimeout > MaxVerifyTimeout:
		return g, fleet.Invalidf("verify-timeout", "%v is too long for a write to show; use 168h (7 days) or less", p.VerifyTimeout)
	case p.ObservationMaxAge < 0:
		return g, fleet.Invalidf("observation-max-age", "%v is negative; use a duration such as 24h, or any", p.ObservationMaxAge)
	case p.Selector != "" && len(p.UnitIDs) > 0:
		return g, fleet.Invalidf("select", "a selector and a units file exclude each other; use one")
	case p.Selector == "" && len(p.UnitIDs) == 0:
		return g, fleet.Invalidf("select", "which units? Use --select (all, property=..., label=...) or --units-file")
	}
	for _, w := range p.Waves {
		size, err := rollout.ParseSize(w)
		if err != nil {
			return g, err
		}
		g.waves = append(g.waves, size)
	}
	if p.Timezone != "" {
		if _, err := time.LoadLocation(p.Timezone); err != nil || p.Timezone == "Local" {
			return g, fleet.Invalidf("timezone", "%q is no time zone; use an IANA name such as America/New_York", p.Timezone)
		}
	}
	if p.Window != "" {
		w, err := rollout.ParseWindow(p.Window)
		if err != nil {
			return g, err
		}
		g.window = &w
	}
	return g, nil
}

// pickUnits fills the temporary table "picked" with the units of a rollout, in
// the order they will be released in (that of the inventory, or of the units
// file), each with what is known of it. It returns the selector as it is kept.
func pickUnits(ctx context.Context, tx pgx.Tx, p RolloutParams, acc draftedAccount, skill int32) (string, error) {
	if err := makePicked(ctx, tx); err != nil {
		return "", err
	}
	var maxAge *int64
	if !p.ObservationAny {
		ms := p.ObservationMaxAge.Milliseconds()
		maxAge = &ms
	}
	args := []any{acc.id, skill, string(p.Action), string(p.Stage), string(acc.linkMode), p.IncludeOccupied, maxAge}
	from, order := "units AS u", "u.id"
	var where, selector string
	if len(p.UnitIDs) > 0 {
		if err := checkUnitsFile(ctx, tx, p, acc.id); err != nil {
			return "", err
		}
		args = append(args, p.UnitIDs)
		from = fmt.Sprintf("unnest($%d::text[]) WITH ORDINALITY AS f (unit_id, n) JOIN units AS u ON u.unit_id = f.unit_id", len(args))
		order, where, selector = "f.n", "true", fmt.Sprintf("units file (%d units)", len(p.UnitIDs))
		if p.Origin == fleet.OriginRepair {
			selector = fmt.Sprintf("drift (%d findings)", len(p.UnitIDs))
		}
	} else {
		sel, err := fleet.ParseSelector(p.Selector)
		if err != nil {
			return "", err
		}
		selector = sel.String()
		where, args = selectorSQL(sel, args)
	}
	_, err := tx.Exec(ctx, fmt.Sprintf(pickSQL, order, from, where), args...)
	if err != nil {
		return "", fmt.Errorf("pick units: %w", err)
	}
	if _, err := tx.Exec(ctx, "ANALYZE picked"); err != nil {
		return "", fmt.Errorf("pick units: %w", err)
	}
	return selector, nil
}

func makePicked(ctx context.Context, tx pgx.Tx) error {
	// A repair makes several rollouts in one transaction.
	if _, err := tx.Exec(ctx, "DROP TABLE IF EXISTS pg_temp.picked"); err != nil {
		return fmt.Errorf("pick units: %w", err)
	}
	_, err := tx.Exec(ctx, `
		CREATE TEMPORARY TABLE picked (
			seq integer NOT NULL, unit_id bigint NOT NULL, property text NOT NULL, class text NOT NULL, before jsonb,
			want_stage text, only_if jsonb
		) ON COMMIT DROP`)
	if err != nil {
		return fmt.Errorf("pick units: %w", err)
	}
	return nil
}

// pickSQL classes each unit by what its write would cost: nothing (occupied,
// already), one request (write) or two (read). Its idea of what a unit shows is that
// of jobs.look; a test there holds the two together.
const pickSQL = `
INSERT INTO picked (seq, unit_id, property, class, before)
SELECT
    row_number() OVER (ORDER BY %s),
    u.id,
    u.property,
    CASE
        WHEN u.occupancy <> 'vacant' AND NOT $6::boolean THEN 'occupied'
        WHEN o.status IS NULL THEN CASE WHEN $7::bigint IS NULL THEN 'write' ELSE 'read' END
        WHEN o.status = '' THEN 'read' -- a write was in doubt, and nothing was seen since
        WHEN $7::bigint IS NOT NULL AND o.observed_at < now() - make_interval(secs => $7::bigint / 1000.0) THEN 'read'
        WHEN $3::text = 'enable' AND o.status = 'ENABLED' AND o.stage IN ('', $4::text)
            AND ($5::text = 'none' OR o.account_link IN ('', 'LINKED')) THEN 'already'
        WHEN $3::text = 'disable' AND (
            o.status IN ('ABSENT', 'DISABLED', 'NO_ASSOCIATION') OR (o.status = 'ENABLED' AND o.stage NOT IN ('', $4::text))
        ) THEN 'already'
        WHEN $3::text = 'enable' AND $7::bigint IS NOT NULL AND o.status NOT IN (
            'ABSENT', 'NO_ASSOCIATION', 'DISABLED', 'DISABLING_FAILED', 'ENABLED', 'ENABLING_FAILED'
        ) THEN 'read'
        WHEN $3::text = 'enable' AND o.status = 'ENABLING' AND o.stage IN ('', $4::text) THEN 'read'
        WHEN $3::text = 'disable' AND o.status = 'DISABLING' THEN 'read'
        ELSE 'write'
    END,
    CASE WHEN o.status <> '' THEN jsonb_build_object(
        'status', o.status, 'stage', o.stage, 'account_link', o.account_link, 'observed_at', o.observed_at
    ) END
FROM %s
LEFT JOIN observed AS last ON last.unit_id = u.id AND last.skill_id = $2
LEFT JOIN unit_sights AS whole ON whole.unit_id = u.id
CROSS JOIN LATERAL (
    SELECT
        coalesce(last.status, CASE WHEN whole.seen_at IS NOT NULL THEN 'ABSENT' END) AS status,
        coalesce(last.stage, '') AS stage,
        coalesce(last.account_link, '') AS account_link,
        greatest(last.observed_at, whole.seen_at) AS observed_at
) AS o
WHERE u.account_id = $1 AND u.removed_at IS NULL AND (%s)`

// checkUnitsFile refuses a units file that names a unit twice or one that is not there.
func checkUnitsFile(ctx context.Context, tx pgx.Tx, p RolloutParams, accountID int64) error {
	rows, err := tx.Query(ctx, `
		SELECT f.unit_id, count(*) > 1 AS doubled
		FROM unnest($2::text[]) AS f (unit_id)
		LEFT JOIN units AS u ON u.account_id = $1 AND u.unit_id = f.unit_id AND u.removed_at IS NULL
		GROUP BY f.unit_id
		HAVING count(*) > 1 OR bool_or(u.id IS NULL)
		LIMIT 101`, accountID, p.UnitIDs)
	if err != nil {
		return fmt.Errorf("check units file: %w", err)
	}
	var id string
	var doubled bool
	bad := fleet.Invalidf("units-file", "the file names units that are doubled or that account %s does not have; nothing was created", p.Account)
	_, err = pgx.ForEachRow(rows, []any{&id, &doubled}, func() error {
		message := "no such unit: import it first, or take it out"
		if doubled {
			message = "named more than once: name it once"
		}
		bad.Details = append(bad.Details, fleet.Detail{Location: "unit " + id, Message: message, Value: id})
		return nil
	})
	if err != nil {
		return fmt.Errorf("check units file: %w", err)
	}
	if len(bad.Details) == 0 {
		return nil
	}
	if len(bad.Details) > 100 {
		bad.Details = append(bad.Details[:100], fleet.Detail{Message: "and more"})
	}
	return bad
}

// countPicked fills in what the plan says of the picked units.
func countPicked(ctx context.Context, tx pgx.Tx, plan *Plan) (int, error) {
	rows, err := tx.Query(ctx, `SELECT class, count(*) FROM picked GROUP BY class`)
	if err != nil {
		return 0, fmt.Errorf("count units: %w", err)
	}
	var class string
	var n int
	_, err = pgx.ForEachRow(rows, []any{&class, &n}, func() error {
		plan.Targets += n
		switch class {
		case "occupied":
			plan.Expected.Occupied = n
		case "already":
			plan.Expected.AlreadyInState = n
		case "write":
			plan.Expected.Write = n
		case "read":
			plan.Expected.Read = n
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("count units: %w", err)
	}
	rows, err = tx.Query(ctx, `SELECT property, count(*) FROM picked GROUP BY property ORDER BY count(*) DESC, property LIMIT 10`)
	if err != nil {
		return 0, fmt.Errorf("count properties: %w", err)
	}
	plan.Properties, err = pgx.CollectRows(rows, pgx.RowToStructByPos[PlanProperty])
	if err != nil {
		return 0, fmt.Errorf("count properties: %w", err)
	}
	return plan.Targets, nil
}
