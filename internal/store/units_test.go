package store_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

func TestImportAddsChangesRestoresAndRemoves(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "acme")

	r, err := f.load(t, "acme", store.ImportParams{}, "u1,p,One,vacant,", "u2,p,Two,occupied,floor=2", "u3,q,,,")
	require.NoError(t, err)
	require.Equal(t, store.ImportResult{Account: "acme", Rows: 3, Added: 3}, r)

	r, err = f.load(t, "acme", store.ImportParams{Prune: true}, "u1,p,One,vacant,", "u2,p,Two,vacant,floor=2", "u4,q,,,")
	require.NoError(t, err)
	require.Equal(t, store.ImportResult{Account: "acme", Rows: 3, Added: 1, Changed: 1, Unchanged: 1, Removed: 1}, r)

	r, err = f.load(t, "acme", store.ImportParams{}, "u3,q,,,")
	require.NoError(t, err)
	require.Equal(t, store.ImportResult{Account: "acme", Rows: 1, Restored: 1}, r)
	require.Equal(t, 4, f.count(t, "SELECT count(*) FROM units WHERE removed_at IS NULL"))
}

func TestImportOfTheSameFileWritesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "acme")
	_, err := f.load(t, "acme", store.ImportParams{}, homes(50)...)
	require.NoError(t, err)
	before := f.count(t, "SELECT sum(xmin::text::bigint)::bigint FROM units")

	r, err := f.load(t, "acme", store.ImportParams{}, homes(50)...)

	require.NoError(t, err)
	require.Equal(t, 50, r.Unchanged)
	require.Equal(t, before, f.count(t, "SELECT sum(xmin::text::bigint)::bigint FROM units"))
	require.Zero(t, f.count(t, "SELECT count(*) FROM units WHERE xmax::text <> '0'"), "no row was locked either")
}

func TestImportDryRunCountsAndChangesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "acme")
	_, err := f.load(t, "acme", store.ImportParams{}, homes(5)...)
	require.NoError(t, err)
	logged := f.count(t, "SELECT count(*) FROM log_entries")

	r, err := f.load(t, "acme", store.ImportParams{DryRun: true, Prune: true}, homes(3)[1], "new,p,,,")

	require.NoError(t, err)
	require.Equal(t, store.ImportResult{Account: "acme", DryRun: true, Rows: 2, Added: 1, Unchanged: 1, Removed: 4}, r)
	require.Equal(t, 5, f.count(t, "SELECT count(*) FROM units WHERE removed_at IS NULL"))
	require.Equal(t, logged, f.count(t, "SELECT count(*) FROM log_entries"))
}

func TestImportIsAllOrNothing(t *testing.T) {
	t.Parallel()
	many := append(homes(25_000), "bad id,p,,,", "x9,,,,", "x10,p,,empty,")
	for name, c := range map[string]struct {
		lines []string
		says  []string
		more  int // details
	}{
		"one bad row among thousands": {many, []string{"line 25002, column 1 (unit_id)", "line 25003, column 2 (property)", "line 25004, column 4 (occupancy)"}, 3},
		"a doubled unit":              {[]string{"a,p,,,", "b,p,,,", "a,q,,,", "a,p,,,"}, []string{"line 4", "stands on line 2", "line 5"}, 2},
		"two zones in a property":     {[]string{"a,p,,,timezone=UTC", "b,p,,,timezone=Europe/Berlin"}, []string{"line 3", "Europe/Berlin here and UTC on line 2"}, 1},
		"a property without a row":    {[]string{}, []string{"no rows"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.account(t, "acme")
			_, err := f.load(t, "acme", store.ImportParams{}, homes(5)...)
			require.NoError(t, err)

			_, err = f.load(t, "acme", store.ImportParams{}, c.lines...)

			e := asFleet(t, err)
			require.Equal(t, fleet.CodeInvalid, e.Code)
			text := fmt.Sprint(e.Message, e.Details)
			for _, s := range c.says {
				require.Contains(t, text, s)
			}
			require.Len(t, e.Details, c.more)
			require.Equal(t, 5, f.count(t, "SELECT count(*) FROM units"))
			require.Equal(t, 5, f.count(t, "SELECT count(*) FROM units WHERE removed_at IS NULL"))
		})
	}
}

func TestImportNamesTheFirstHundredFaults(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "acme")
	lines := make([]string, 250)
	for i := range lines {
		lines[i] = "u,p,,,"
	}

	_, err := f.load(t, "acme", store.ImportParams{}, lines...)

	e := asFleet(t, err)
	require.Len(t, e.Details, 100)
	require.Contains(t, e.Message, "149 more")
}

func TestAZoneMustAgreeWithUnitsOutsideTheFile(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "acme")
	_, err := f.load(t, "acme", store.ImportParams{}, "a,p,,,timezone=America/Chicago", "b,q,,,")
	require.NoError(t, err)

	_, err = f.load(t, "acme", store.ImportParams{}, "c,p,,,timezone=UTC")
	require.Contains(t, asFleet(t, err).Details[0].Message, "UTC on line 2")
	require.Equal(t, "unit a (not in the file)", asFleet(t, err).Details[0].Location)

	_, err = f.load(t, "acme", store.ImportParams{}, "a,p,,,timezone=UTC", "c,p,,,")
	require.NoError(t, err)
	require.Equal(t, 1, f.count(t, "SELECT count(*) FROM properties WHERE name = 'p' AND timezone = 'UTC'"))
	require.Equal(t, 1, f.count(t, "SELECT count(*) FROM properties WHERE name = 'q' AND timezone = ''"))
}

func TestPruneDoesNotRemoveEverything(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "acme")
	_, err := f.load(t, "acme", store.ImportParams{}, homes(5)...)
	require.NoError(t, err)

	_, err = f.load(t, "acme", store.ImportParams{Prune: true}, "other,p,,,")

	require.Equal(t, fleet.CodeConflict, asFleet(t, err).Code)
	require.Contains(t, asFleet(t, err).Message, "none of the 5 units")
	require.Equal(t, 5, f.count(t, "SELECT count(*) FROM units WHERE removed_at IS NULL"))
}

func TestImportWithAKeyIsDoneOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "acme")
	once := store.Idempotency{Key: "k", Hash: []byte("call")}
	first, again, err := f.ImportUnits(t.Context(), "acme", csvOf(homes(3)...), store.ImportParams{}, f.by, once)
	require.NoError(t, err)
	require.False(t, again)

	second, again, err := f.ImportUnits(t.Context(), "acme", csvOf(homes(3)...), store.ImportParams{}, f.by, once)
	require.NoError(t, err)
	require.True(t, again)
	require.Equal(t, first, second)

	_, _, err = f.ImportUnits(t.Context(), "acme", csvOf(homes(4)...), store.ImportParams{}, f.by, once)
	require.Equal(t, "Idempotency-Key", asFleet(t, err).Field)
	require.Equal(t, 3, f.count(t, "SELECT count(*) FROM units"))
}

// stalled is a file that is on its way until release is closed.
type stalled struct {
	*strings.Reader

	begun, release chan struct{}
}

func (s *stalled) Read(b []byte) (int, error) {
	if s.begun != nil {
		close(s.begun)
		s.begun = nil
		<-s.release
	}
	return s.Reader.Read(b)
}

func TestTwoImportsOfOneAccountDoNotMix(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "acme")
	f.account(t, "other")
	begun := make(chan struct{})
	slow := &stalled{Reader: csvOf(homes(3)...), begun: begun, release: make(chan struct{})}
	done := make(chan error, 1)
	go func() {
		_, _, err := f.ImportUnits(t.Context(), "acme", slow, store.ImportParams{}, f.by, store.Idempotency{})
		done <- err
	}()
	<-begun

	_, err := f.load(t, "acme", store.ImportParams{}, homes(3)...)
	require.Contains(t, asFleet(t, err).Message, "another import of account acme is running")
	_, err = f.load(t, "other", store.ImportParams{}, homes(3)...)
	require.NoError(t, err)

	close(slow.release)
	require.NoError(t, <-done)
	_, err = f.load(t, "acme", store.ImportParams{}, homes(3)...)
	require.NoError(t, err)
}

func TestAFileThatBreaksOffChangesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "acme")

	_, _, err := f.ImportUnits(t.Context(), "acme", &broken{Reader: csvOf(homes(3)...)}, store.ImportParams{}, f.by, store.Idempotency{})

	require.Equal(t, fleet.CodeUnavailable, asFleet(t, err).Code)
	require.Contains(t, asFleet(t, err).Message, "did not arrive whole")
	require.Zero(t, f.count(t, "SELECT count(*) FROM units"))
}

type broken struct{ *strings.Reader }

func (b *broken) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil {
		return n, fmt.Errorf("connection reset by peer")
	}
	return n, nil
}

func TestListUnitsWalksEveryPageOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "acme")
	lines := homes(100)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	_, err := f.load(t, "acme", store.ImportParams{}, lines...)
	require.NoError(t, err)

	seen := map[string]bool{}
	var last string
	var after store.UnitCursor
	for {
		units, next, err := f.ListUnits(t.Context(), "acme", store.UnitFilter{After: after, Limit: 7})
		require.NoError(t, err)
		for _, u := range units {
			require.False(t, seen[u.UnitID])
			require.GreaterOrEqual(t, u.Property, last)
			seen[u.UnitID], last = true, u.Property
		}
		if next == (store.UnitCursor{}) {
			break
		}
		require.Len(t, units, 7)
		after = next
	}
	require.Len(t, seen, 100)

	some, _, err := f.ListUnits(t.Context(), "acme", store.UnitFilter{Selector: "property in (maple-1,maple-2),floor=1"})
	require.NoError(t, err)
	for _, u := range some {
		require.Contains(t, []string{"maple-1", "maple-2"}, u.Property)
		require.Equal(t, "1", u.Labels["floor"])
	}
	_, _, err = f.ListUnits(t.Context(), "acme", store.UnitFilter{Selector: "floor="})
	require.Equal(t, fleet.CodeInvalid, asFleet(t, err).Code)
	_, _, err = f.ListUnits(t.Context(), "nobody", store.UnitFilter{})
	require.Equal(t, fleet.CodeNotFound, asFleet(t, err).Code)
}

func TestExportReadsAllPages(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "acme")
	_, err := f.load(t, "acme", store.ImportParams{}, homes(12_000)...)
	require.NoError(t, err)

	seen := map[string]bool{}
	err = f.ExportUnits(t.Context(), "acme", "", func(u store.Unit) error {
		seen[u.UnitID] = true
		return nil
	})

	require.NoError(t, err)
	require.Len(t, seen, 12_000)
}

func TestUnitShowsWhatIsKnown(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.account(t, "acme")
	_, err := f.load(t, "acme", store.ImportParams{}, "u1,p,One,vacant,floor=2")
	require.NoError(t, err)
	_, err = f.pool.Exec(t.Context(), `
		WITH s AS (INSERT INTO skills (skill_id) VALUES ('amzn1.ask.skill.1') RETURNING id)
		INSERT INTO observed (unit_id, skill_id, status, stage, observed_at, changed_at)
		SELECT units.id, s.id, 'ENABLED', 'live', now(), now() FROM units, s`)
	require.NoError(t, err)

	u, err := f.Unit(t.Context(), "u1", "")
	require.NoError(t, err)
	require.Equal(t, []store.UnitDesired{}, u.Desired)
	for skill, state := range map[string]fleet.DesiredState{"amzn1.ask.skill.1": "live", "amzn1.ask.skill.2": "disabled"} {
		_, _, err = f.SetDesired(t.Context(), store.DesiredSetParams{AllowNew: anySkill, Account: "acme", Selector: "all", SkillID: skill, State: state}, f.by, store.Idempotency{})
		require.NoError(t, err)
	}
	u, err = f.Unit(t.Context(), "u1", "")
	require.NoError(t, err)
	require.Len(t, u.Desired, 2)
	require.WithinDuration(t, time.Now(), u.Desired[0].ChangedAt, time.Minute)
	require.Equal(t, store.UnitDesired{
		SkillID: "amzn1.ask.skill.1", State: "live", Source: fleet.DesiredBySet, Actor: "ann", ChangedAt: u.Desired[0].ChangedAt,
	}, u.Desired[0])
	require.Equal(t, fleet.DesiredState("disabled"), u.Desired[1].State)
	require.Equal(t, map[string]string{"floor": "2"}, u.Labels)
	require.Equal(t, fleet.StatusEnabled, u.Observed[0].Status)
	require.Equal(t, []store.UnitRollout{}, u.Rollouts)

	_, err = f.Unit(t.Context(), "u2", "")
	require.Equal(t, fleet.CodeNotFound, asFleet(t, err).Code)
	f.account(t, "other")
	_, err = f.load(t, "other", store.ImportParams{}, "u1,p,,,")
	require.NoError(t, err)
	_, err = f.Unit(t.Context(), "u1", "")
	require.Contains(t, asFleet(t, err).Message, "acme, other")
	u, err = f.Unit(t.Context(), "u1", "other")
	require.NoError(t, err)
	require.Equal(t, "other", u.Account)
}
