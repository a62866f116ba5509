package store_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/store"
)

func TestTheLogTellsWhoDidWhatAndWhy(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p := plainAccount("acme")
	p.Reason = "new client"
	_, _, err := f.CreateAccount(t.Context(), p, f.by, store.Idempotency{})
	require.NoError(t, err)
	_, err = f.SetAccount(t.Context(), "acme", store.AccountPatch{ClientSecret: new("canary"), Rate: new("20")}, f.by)
	require.NoError(t, err)
	_, err = f.load(t, "acme", store.ImportParams{Reason: "monthly"}, homes(3)...)
	require.NoError(t, err)
	require.NoError(t, f.DeleteAccount(t.Context(), "acme", true, "gone", f.by))

	entries, next, err := f.ListLog(t.Context(), store.LogFilter{})
	require.NoError(t, err)
	require.Zero(t, next)
	require.Len(t, entries, 4)
	text, err := json.Marshal(entries)
	require.NoError(t, err)
	require.NotContains(t, string(text), "canary")
	require.NotContains(t, string(text), "Atzr|")

	require.Equal(t, "account.delete", entries[0].Action)
	require.Equal(t, "gone", entries[0].Reason)
	require.Equal(t, "unit.import", entries[1].Action)
	require.Equal(t, "account/acme", entries[1].Object)
	require.InDelta(t, 3, entries[1].Detail["added"], 0)
	require.Equal(t, map[string]any{"client_secret": "set", "rate": "20"}, entries[2].Detail)
	require.Equal(t, "ann", entries[3].Actor)
	require.Equal(t, string(fleet.RoleAdmin), entries[3].Role)
}

func TestTheLogIsFilteredAndPaged(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, name := range []string{"a", "b", "c"} {
		f.account(t, name)
	}

	one, _, err := f.ListLog(t.Context(), store.LogFilter{Object: "account/b", Actor: "ann", Action: "account.create"})
	require.NoError(t, err)
	require.Len(t, one, 1)
	none, _, err := f.ListLog(t.Context(), store.LogFilter{Actor: "bob"})
	require.NoError(t, err)
	require.Empty(t, none)

	first, next, err := f.ListLog(t.Context(), store.LogFilter{Limit: 2})
	require.NoError(t, err)
	rest, end, err := f.ListLog(t.Context(), store.LogFilter{Limit: 2, Before: next})
	require.NoError(t, err)
	require.Len(t, first, 2)
	require.Len(t, rest, 1)
	require.Zero(t, end)
}

func TestWhatWasDoneElsewhereIsRecorded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	require.NoError(t, f.Record(t.Context(), store.LogEntry{
		ID: 7, Actor: "ann", Role: "operator", Action: "skill.update", Object: "account/acme", Reason: "new icon",
		Detail: map[string]any{"skill_id": "s"},
	}))

	entries, _, err := f.ListLog(t.Context(), store.LogFilter{})
	require.NoError(t, err)
	require.Len(t, entries, 1)
	e := entries[0]
	require.False(t, e.At.IsZero())
	require.Equal(t, store.LogEntry{
		ID: e.ID, At: e.At, Actor: "ann", Role: "operator", Action: "skill.update", Object: "account/acme", Reason: "new icon",
		Detail: map[string]any{"skill_id": "s"},
	}, e)
}
