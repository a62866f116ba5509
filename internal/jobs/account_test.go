package jobs

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/ratelimit"
	"fleetd/internal/remote"
	"fleetd/internal/residential"
	"fleetd/internal/simulator"
	"fleetd/internal/store"
)

// newAccounts is an empty set over the world's database; told is what was added.
func newAccounts(t *testing.T, w *world, added func(int64) error) (a *Accounts, told *[]int64) {
	t.Helper()
	told = &[]int64{}
	a = NewAccounts(AccountsConfig{
		Store: w.store, BudgetPool: w.pool, MaxInFlight: 4, Logger: slog.New(slog.DiscardHandler),
		Added: func(id int64) error { *told = append(*told, id); return added(id) },
	})
	t.Cleanup(func() { require.NoError(t, a.Close(context.WithoutCancel(t.Context()))) })
	return a, told
}

func nothing(int64) error { return nil }

func TestAccountsAreKeptAsTheDatabaseHasThem(t *testing.T) {
	t.Parallel()
	w := newStore(t)
	w.account("acme")
	w.account("birch", func(p *store.AccountParams) {
		p.LinkMode, p.CodeURL, p.RedirectURIs = fleet.LinkCodes, w.url+"/codes", []string{"https://one.example", "https://two.example"}
	})
	a, told := newAccounts(t, w, nothing)
	require.NoError(t, a.Reload(t.Context()))
	acme, birch := a.ByName("acme"), a.ByName("birch")
	require.ElementsMatch(t, []int64{acme.ID, birch.ID}, *told)
	require.Equal(t, Link{Mode: fleet.LinkNone}, acme.Link)
	require.Equal(t, Link{Mode: fleet.LinkCodes, CodeURL: w.url + "/codes", RedirectURI: "https://one.example"}, birch.Link)
	require.Nil(t, a.ByName("cedar"))
	_, err := a.Get(t.Context(), 4711)
	require.ErrorIs(t, err, errNoAccount)

	{ // What did not change stays.
		require.NoError(t, a.Reload(t.Context()))
		require.Same(t, acme.API, a.ByName("acme").API)
		require.Same(t, acme.Tokens, a.ByName("acme").Tokens)
	}
	{ // A rate needs no new clients.
		_, err := w.store.SetAccount(t.Context(), "acme", store.AccountPatch{Rate: new("77")}, w.by)
		require.NoError(t, err)
		require.NoError(t, a.Reload(t.Context()))
		got := a.ByName("acme")
		require.InDelta(t, 77, got.work.Rate, 0)
		require.GreaterOrEqual(t, got.horizonRate(), 77.0)
		require.Same(t, acme.Budget, got.Budget)
	}
	{ // Another API does, over the same budget.
		_, err := w.store.SetAccount(t.Context(), "acme", store.AccountPatch{APIURL: new("http://127.0.0.1:2")}, w.by)
		require.NoError(t, err)
		require.NoError(t, a.Reload(t.Context()))
		got := a.ByName("acme")
		require.NotSame(t, acme.API, got.API)
		require.NotSame(t, acme.Tokens, got.Tokens)
		require.Same(t, acme.Budget, got.Budget)
		require.Same(t, birch.API, a.ByName("birch").API)
	}
	{ // One that was deleted is gone.
		require.NoError(t, w.store.DeleteAccount(t.Context(), "birch", true, "", w.by))
		require.NoError(t, a.Reload(t.Context()))
		require.Nil(t, a.ByName("birch"))
		_, err := birch.Budget.Take(t.Context(), remote.ClassRollout)
		require.ErrorIs(t, err, ratelimit.ErrClosed)
	}
	{ // One that is new is found when it is asked for.
		w.account("cedar")
		got, err := a.Get(t.Context(), w.accountID("cedar"))
		require.NoError(t, err)
		require.Equal(t, "cedar", got.Name)
		require.Len(t, *told, 3, "each account is told of once")
	}
}

// A queue that could not be added is tried again, and holds up no other.
func TestAccountsAreAddedUntilItWorks(t *testing.T) {
	t.Parallel()
	w := newStore(t)
	w.account("acme")
	w.account("birch")
	w.account("cedar")
	fail := true
	a, told := newAccounts(t, w, func(id int64) error {
		if fail && id == 2 {
			return errors.New("no room")
		}
		return nil
	})
	require.ErrorContains(t, a.Reload(t.Context()), "no room")
	require.ElementsMatch(t, []int64{1, 2, 3}, *told)
	fail = false
	require.NoError(t, a.Reload(t.Context()))
	require.NoError(t, a.Reload(t.Context()))
	require.Equal(t, []int64{2}, (*told)[3:])
}

// An account that cannot work is left out, holds up no other, and comes back.
func TestAnAccountThatCannotWorkIsLeftOut(t *testing.T) {
	t.Parallel()
	w := newStore(t)
	w.account("acme")
	w.account("birch")
	a, told := newAccounts(t, w, nothing)
	require.NoError(t, a.Reload(t.Context()))
	w.exec("UPDATE accounts SET api_url = 'gopher://x', updated_at = now() WHERE name = 'acme'")
	require.NoError(t, a.Reload(t.Context()))
	require.Nil(t, a.ByName("acme"))
	require.NotNil(t, a.ByName("birch"))
	w.exec("UPDATE accounts SET api_url = 'http://127.0.0.1:1', updated_at = now() WHERE name = 'acme'")
	require.NoError(t, a.Reload(t.Context()))
	require.NotNil(t, a.ByName("acme"))
	require.Len(t, *told, 2, "its queue is there already")
}

// What an account that cannot work began is ended: it is tried again every few seconds.
func TestAnAccountThatCannotWorkLeavesNothingRunning(t *testing.T) {
	t.Parallel()
	w := newStore(t)
	w.account("acme")
	w.developer()
	a, _ := newAccounts(t, w, nothing)
	running := func() (n int) {
		var all bytes.Buffer
		require.NoError(t, pprof.Lookup("goroutine").WriteTo(&all, 1))
		for stack := range strings.SplitSeq(all.String(), "\n\n") {
			if strings.Contains(stack, t.Name()) && strings.Contains(stack, "sync.(*WaitGroup).Go") { // a budget's
				n++
			}
		}
		return n
	}
	reload := func() { // whatever it starts bears the name of the test
		pprof.Do(t.Context(), pprof.Labels("test", t.Name()), func(ctx context.Context) { require.NoError(t, a.Reload(ctx)) })
	}
	w.exec("UPDATE accounts SET api_url = 'gopher://x', updated_at = now()")
	reload()
	require.Nil(t, a.ByName("acme"))
	require.Zero(t, running())

	w.exec("UPDATE accounts SET api_url = 'http://127.0.0.1:1', updated_at = now()")
	reload()
	require.Positive(t, running())
	w.exec("UPDATE accounts SET api_url = 'gopher://x', updated_at = now()")
	reload()
	require.Zero(t, running(), "nor does one that worked before")
}

// A source that was replaced is waited for, and not for ever.
func TestReplacedSourcesAreForgotten(t *testing.T) {
	t.Parallel()
	w := newStore(t)
	hold, asked := make(chan struct{}), make(chan struct{}, 100)
	release := sync.OnceFunc(func() { close(hold) })
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		<-hold
		w.WriteHeader(http.StatusBadRequest)
	}))
	t.Cleanup(api.Close)
	w.url = api.URL
	w.account("acme")
	a, _ := newAccounts(t, w, nothing)
	t.Cleanup(release)
	require.NoError(t, a.Reload(t.Context()))
	old := a.ByName("acme").Tokens
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, err := old.Token(t.Context())
		require.Error(t, err)
	}()
	<-asked
	for range 2 {
		w.exec("UPDATE accounts SET updated_at = now()")
		require.NoError(t, a.Reload(t.Context()))
	}
	require.Len(t, a.retired, 2)
	a.forget(t.Context(), time.Now())
	require.Len(t, a.retired, 2, "somebody may be about to use one")
	a.forget(t.Context(), time.Now().Add(2*forgetAfter))
	require.Len(t, a.retired, 1)
	require.Same(t, old, a.retired[0].Source, "it refreshes")
	release()
	<-ended
	require.NoError(t, old.Wait(t.Context()))
	a.forget(t.Context(), time.Now().Add(2*forgetAfter))
	require.Empty(t, a.retired)
}

func TestAccountsReloadWhenPoked(t *testing.T) {
	t.Parallel()
	w := newStore(t)
	a, _ := newAccounts(t, w, nothing)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); a.Run(ctx) }()
	w.account("acme")
	a.Poke()
	require.Eventually(t, func() bool { return a.ByName("acme") != nil }, waitAtMost, pollEvery)
	w.account("birch") // nobody tells
	require.Eventually(t, func() bool { return a.ByName("birch") != nil }, waitAtMost, pollEvery)
	cancel()
	<-done
}

func TestCheckTriesTheTokenAndThenTheAPI(t *testing.T) {
	t.Parallel()
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code); _, _ = w.Write([]byte(apiWords)) }
	}
	sim := func(change simulator.AccountChange) http.Handler {
		s := simulator.New(simulator.Config{Units: 12})
		_ = s.ChangeAccount(simulator.DefaultClientID, change)
		return s
	}
	// over answers the API with h, and tokens as the simulator does.
	over := func(h http.Handler) http.Handler {
		s := sim(simulator.AccountChange{})
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/auth/o2/token" {
				s.ServeHTTP(w, r)
				return
			}
			h.ServeHTTP(w, r)
		})
	}
	for name, c := range map[string]struct {
		api             http.Handler
		ok, token       bool
		tokenSays, api1 string
	}{
		"all is well":               {api: sim(simulator.AccountChange{}), ok: true, token: true, tokenSays: "granted", api1: "answered"},
		"a page that is none":       {api: over(status(404)), ok: true, token: true, tokenSays: "granted", api1: "took the token"},
		"a bad request":             {api: over(status(400)), ok: true, token: true, tokenSays: "granted", api1: "took the token"},
		"forbidden":                 {api: over(status(403)), ok: true, token: true, tokenSays: "granted", api1: "403"},
		"unauthorized":              {api: over(status(401)), token: true, tokenSays: "granted", api1: "401"},
		"an API that is broken":     {api: over(status(500)), token: true, tokenSays: "granted", api1: "500"},
		"a refresh token revoked":   {api: sim(simulator.AccountChange{RevokeRefreshToken: true}), tokenSays: "--refresh-token-file", api1: "not tried"},
		"a client secret that left": {api: sim(simulator.AccountChange{ClientSecret: "new"}), tokenSays: "--client-secret-file", api1: "not tried"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(c.api)
			t.Cleanup(server.Close)
			w := newStore(t)
			w.url = server.URL
			w.account("acme")
			r := w.idle()

			got, err := r.Check(t.Context(), "acme")

			require.NoError(t, err)
			require.Equal(t, "acme", got.Account)
			require.Equal(t, c.ok, got.OK)
			require.Equal(t, c.token, got.Token.OK)
			require.Equal(t, c.ok, got.API.OK)
			require.Contains(t, got.Token.Message, c.tokenSays)
			require.Contains(t, got.API.Message, c.api1)
			require.NotContains(t, got.API.Message, apiWords)

			_, err = r.Check(t.Context(), "birch")
			var e *fleet.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, fleet.CodeNotFound, e.Code)
		})
	}
}

func TestSpecsAreReadOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Config{Units: 3})
	r := w.create(func(p *store.RolloutParams) {
		p.Stage, p.VerifyTimeout, p.ObservationAny, p.IncludeOccupied = fleet.StageDevelopment, time.Minute, true, true
	})
	s, id := newSpecs(w.store), w.rowID(r.ID)
	want := store.RolloutSpec{
		ID: id, Key: r.ID, AccountID: w.accountID("acme"), Account: "acme", Action: fleet.ActionEnable, SkillID: skill,
		Stage: fleet.StageDevelopment, VerifyTimeout: time.Minute, ObservationAny: true, IncludeOccupied: true,
	}
	got, err := s.get(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, want, got)
	_, err = s.get(t.Context(), 4711)
	require.Error(t, err)
	for n := range int64(specsKept + 5) { // what is forgotten is read again
		s.kept[10_000+n] = store.RolloutSpec{}
	}
	w.pool.Close()
	got, err = s.get(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// Audits only read: their client cannot do else, whatever it is asked.
func TestTheClientOfAuditsCannotWrite(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Config{Units: 3})
	a, _ := newAccounts(t, w, nothing)
	require.NoError(t, a.Reload(t.Context()))
	acc := a.ByName("acme")
	ctx := remote.WithClass(t.Context(), remote.ClassAudit)
	unit := w.sim.UnitID(0)
	_, err := acc.Audit.Enable(ctx, residential.EnableParams{UnitID: unit, SkillID: skill, Stage: fleet.StageLive})
	require.ErrorIs(t, err, remote.ErrReadOnly)
	require.ErrorContains(t, err, "residential enable")
	_, err = acc.Audit.Disable(ctx, unit, skill, fleet.StageLive)
	require.ErrorIs(t, err, remote.ErrReadOnly)
	require.ErrorContains(t, err, "residential disable")
	_, err = acc.Audit.List(ctx, unit, residential.ListOpts{})
	require.NoError(t, err)
	for _, call := range w.sim.History() {
		require.False(t, call.Write, "%+v", call)
	}
}
