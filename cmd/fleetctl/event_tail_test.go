package main

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"fleetd/internal/app"
	"fleetd/internal/fleet"
	"fleetd/internal/postgres/pgtest"
	"fleetd/internal/store"
)

// A tail lives longer than the fleetd it asks: what came before, during and after a restart
// is printed once, in its order.
func TestEventTailOutlivesARestart(t *testing.T) {
	t.Parallel()
	cfg := app.Config{DatabaseURL: pgtest.New(t), DataDir: t.TempDir(), Listen: "127.0.0.1:0", Version: "v0-test", ShutdownTimeout: 10 * time.Second}
	stop := func(a *app.App) { require.NoError(t, a.Stop(context.WithoutCancel(t.Context()))) }
	a, err := app.Start(t.Context(), cfg)
	require.NoError(t, err)
	cfg.Listen = strings.TrimPrefix(a.URL(), "http://")
	by := fleet.Actor{Name: "test", Role: fleet.RoleAdmin}
	_, token, err := a.Store().CreateToken(t.Context(), store.TokenParams{Name: "root", Role: fleet.RoleViewer}, by, store.Idempotency{})
	require.NoError(t, err)
	_, _, err = a.Store().CreateAccount(t.Context(), store.AccountParams{Name: "acme", ClientID: "c", ClientSecret: "s", RefreshToken: "r"}, by, store.Idempotency{})
	require.NoError(t, err)
	pool, err := pgxpool.New(t.Context(), cfg.DatabaseURL) // another process of the fleet, which stays
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	other := store.New(pool, nil)
	var account int64
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT id FROM accounts").Scan(&account))
	var want []string
	receive := func() {
		n := len(want)
		_, _, err := other.ReceiveEvent(t.Context(), store.EventParams{
			AccountID: account, Account: "acme", MessageID: fmt.Sprint("m", n), Topic: "arn", Name: fleet.EventSkillPublish, Status: "SUCCEEDED",
			SkillID: fmt.Sprint("skill-", n), EventAt: time.Now(), Disposition: fleet.EventUnknown,
		}, func(context.Context, pgx.Tx, int64) error { return nil })
		require.NoError(t, err)
		want = append(want, fmt.Sprint("skill-", n))
	}

	c := newConsole(t, nil)
	c.env["FLEETCTL_SERVER"], c.env["FLEETCTL_TOKEN"] = a.URL(), token
	interrupt, wait := c.background(t, "event", "tail", "--account", "acme")
	seen := regexp.MustCompile(`skill-\d+`)
	printed := func() []string { return seen.FindAllString(c.out.String(), -1) }
	caughtUp := func() {
		require.Eventually(t, func() bool { return len(printed()) >= len(want) }, 30*time.Second, time.Millisecond, c.err)
	}
	for range 3 {
		receive()
	}
	caughtUp()
	for range 2 {
		stop(a)
		require.Eventually(t, func() bool { return strings.Contains(c.err.String(), "cannot reach fleetd") }, 30*time.Second, time.Millisecond)
		receive()
		a, err = app.Start(t.Context(), cfg)
		require.NoError(t, err)
		for range 20 { // while it finds fleetd again
			receive()
		}
		caughtUp()
		receive()
		caughtUp()
	}
	interrupt()
	require.Equal(t, exitDone, wait(), c.err)
	stop(a)
	require.Equal(t, want, printed())
	require.Contains(t, c.err.String(), "fleetd answers again")
}

// The line of an event says what came of it, so it is waited for, and not for long.
func TestEventTailWaitsForWhatComesOfAnEvent(t *testing.T) {
	t.Parallel()
	as := func(disposition string, ns ...int) reply {
		r := items("", ns...)
		r.body = strings.ReplaceAll(r.body, "no_rule", disposition)
		return r
	}
	f := newFake(t, map[string][]reply{"GET /events": {
		as("received", 1), as("received", 1, 2), as("acted", 1, 2), // settled in the meantime
		as("acting", 3, 4), as("acting", 3, 4), as("acting", 3, 4), as("acting", 3, 4), as("acting", 3, 4), // it takes long
		items(""),
	}})
	c := newConsole(t, f)
	interrupt, wait := c.background(t, "event", "tail", "--since", "ev-0")
	require.Eventually(t, func() bool {
		return strings.Contains(c.out.String(), "ev-4") || f.count(http.MethodGet, "/events") > 20
	}, 20*time.Second, time.Millisecond)
	interrupt()
	require.Equal(t, exitDone, wait())
	lines := strings.Split(strings.TrimSpace(c.out.String()), "\n")
	require.Len(t, lines, 4, c.out.String())
	for i, state := range []string{"acted", "acted", "acting", "acting"} {
		require.Contains(t, lines[i], fmt.Sprintf("  ev-%d  ", i+1))
		require.True(t, strings.HasSuffix(lines[i], "  "+state), lines[i])
	}

	stdout, _ := fleetctl(t, newFake(t, map[string][]reply{"GET /events": {as("received", 2, 1), items("")}}), exitDone, "event", "tail", "--follow=false")
	require.Equal(t, 2, strings.Count(stdout, "  received\n"), "what does not wait for more prints what there is")
}

// What came late says so, for the order is that of receipt.
func TestEventTailSaysWhatCameLate(t *testing.T) {
	t.Parallel()
	page := func(at string) reply {
		r := items("", 1)
		r.body = strings.Replace(r.body, `"received_at"`, `"event_at":"`+at+`","received_at"`, 1)
		return r
	}
	for at, want := range map[string]string{"2026-03-01T09:57:00Z": "2h3m late", "2026-03-01T12:00:00Z": ""} {
		stdout, _ := fleetctl(t, newFake(t, map[string][]reply{"GET /events": {page(at), items("")}}), exitDone, "event", "tail", "--follow=false")
		require.True(t, strings.HasPrefix(stdout, "2026-03-01 12:00:01  ev-1  acme"), stdout)
		require.Equal(t, want != "", strings.Contains(stdout, " late"), stdout)
		require.Contains(t, stdout, want)
	}
}
