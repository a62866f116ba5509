package jobs

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/manifest"
	"fleetd/internal/preflight"
	"fleetd/internal/simulator"
	"fleetd/internal/store"
)

// developer gives the account acme the simulator's developer credential.
func (w *world) developer() {
	w.t.Helper()
	_, err := w.store.SetCredential(w.t.Context(), "acme", store.CredentialParams{
		Kind: fleet.CredentialDeveloper, ClientID: simulator.DefaultDeveloperClientID, ClientSecret: simulator.DefaultDeveloperClientSecret,
		RefreshToken: simulator.DefaultDeveloperRefreshToken, VendorID: simulator.DefaultVendorID, Rate: new("100"),
	}, w.by)
	require.NoError(w.t, err)
}

func (w *world) customer() {
	w.t.Helper()
	_, err := w.store.SetCredential(w.t.Context(), "acme", store.CredentialParams{
		Kind: fleet.CredentialCustomer, ClientID: simulator.DefaultCustomerClientID, ClientSecret: simulator.DefaultCustomerClientSecret,
		RefreshToken: simulator.DefaultCustomerRefreshToken,
	}, w.by)
	require.NoError(w.t, err)
}

// results are what came of each check.
func results(r preflight.Report) map[preflight.Name]preflight.Result {
	out := map[preflight.Name]preflight.Result{}
	for _, c := range r.Checks {
		out[c.Name] = c.Result
	}
	return out
}

const someManifest = `{"manifestVersion":"1.0","publishingInformation":{"locales":{"en-US":{"name":"Lamp"}},"distributionCountries":["US"]},"apis":{"custom":{}}}`

// A skill's life, as a preflight sees it in the APIs themselves.
func TestAPreflightSeesASkillsLife(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Config{Units: 3})
	r := w.idle()
	check := func(skillID string, change ...func(*preflight.Query)) preflight.Report {
		t.Helper()
		q := asked(change...)
		q.SkillID = skillID
		reports, err := r.Preflight(t.Context(), q)
		require.NoError(t, err)
		return reports[0]
	}
	live := func(q *preflight.Query) { q.Stage = fleet.StageLive }
	off := func(q *preflight.Query) { q.Stage, q.Action = fleet.StageLive, fleet.ActionDisable }

	before := len(w.sim.History())
	none := check(skill)
	require.Equal(t, preflight.NotChecked, none.Result)
	require.Contains(t, none.Message, "no developer credential")
	require.Len(t, w.sim.History(), before, "no request is made without the credential")

	w.developer()
	_, err := w.store.SetAccount(t.Context(), "acme", store.AccountPatch{Countries: []string{"US"}}, w.by)
	require.NoError(t, err)
	require.Equal(t, preflight.Fail, results(check("amzn1.ask.skill.nobodys"))[preflight.SkillExists])

	w.sim.SetBuilds(simulator.BuildsParams{Delay: &simulator.Span{Duration: time.Hour}}) // until they are told to end
	dev, err := r.Accounts.Developer(t.Context(), "acme")
	require.NoError(t, err)
	made, err := dev.Manifest.Create(t.Context(), dev.VendorID, json.RawMessage(someManifest))
	require.NoError(t, err)
	w.sim.SetBuilds(simulator.BuildsParams{Finish: true})
	id := made.SkillID
	require.Equal(t, map[preflight.Name]preflight.Result{
		preflight.SkillExists: preflight.Pass, preflight.ManifestBuild: preflight.Pass, preflight.StageExists: preflight.Pass,
		preflight.Publication: preflight.Pass, preflight.Countries: preflight.Pass, preflight.DeveloperEnablement: preflight.Fail,
		preflight.AccountLinking: preflight.Pass,
	}, results(check(id)))
	require.Equal(t, preflight.Fail, results(check(id, live))[preflight.StageExists])

	require.NoError(t, dev.Enablement.Enable(t.Context(), id, fleet.StageDevelopment))
	require.Equal(t, preflight.Pass, check(id).Result)

	require.NoError(t, w.sim.Publish(simulator.PublishParams{SkillID: id}))
	require.Equal(t, preflight.Pass, check(id, live).Result)
	hidden := simulator.PublicationHidden
	require.NoError(t, w.sim.ChangeSkill(id, simulator.SkillChange{PublicationStatus: &hidden}))
	require.Equal(t, preflight.Fail, results(check(id, live))[preflight.Publication])
	require.Equal(t, preflight.Pass, check(id, off).Result)

	require.NoError(t, w.sim.ChangeSkill(id, simulator.SkillChange{Build: &simulator.BuildChange{Fail: new(true)}}))
	got, err := dev.Manifest.Get(t.Context(), id, "development")
	require.NoError(t, err)
	_, err = dev.Manifest.Update(t.Context(), manifest.UpdateParams{SkillID: id, Stage: manifest.StageDevelopment, Manifest: got.Body})
	require.NoError(t, err)
	require.Equal(t, preflight.Warn, results(check(id))[preflight.ManifestBuild], "under way")
	w.sim.SetBuilds(simulator.BuildsParams{Finish: true})
	require.Equal(t, preflight.Fail, results(check(id))[preflight.ManifestBuild])

	said, err := r.preflights.Refresh(t.Context(), "acme", id)
	require.NoError(t, err)
	require.Contains(t, said, "enable at live: fail")
	require.Contains(t, said, "disable at live: warn")
	kept, err := w.store.Preflights(t.Context(), "acme", id)
	require.NoError(t, err)
	require.Len(t, kept, 3)
	for _, k := range kept {
		require.Equal(t, preflight.WhyEvent, k.Why)
	}
	said, err = r.preflights.Refresh(t.Context(), "acme", "amzn1.ask.skill.new")
	require.NoError(t, err)
	require.Contains(t, said, "enable at development: fail")
}

// Each credential is tried for itself; one that is not set has not failed.
func TestCheckTriesEveryCredential(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Config{Units: 3})
	r := w.idle()
	check := func() store.AccountCheck {
		t.Helper()
		got, err := r.Check(t.Context(), "acme")
		require.NoError(t, err)
		require.Len(t, got.Credentials, 3)
		require.True(t, got.OK, "unit management works, whatever the others do")
		require.Equal(t, got.Token, got.Credentials[0].Token)
		require.Equal(t, got.API.Message, got.Credentials[0].Can[0].Message)
		return got
	}
	none := check()
	for _, c := range none.Credentials[1:] {
		require.False(t, c.Set)
		require.False(t, c.OK)
		require.Contains(t, c.Token.Message, "not set")
		require.Empty(t, c.Can)
	}
	w.developer()
	w.customer()
	all := check()
	for _, c := range all.Credentials {
		require.True(t, c.Set, c.Kind)
		require.True(t, c.OK, "%+v", c)
		require.True(t, c.Token.OK)
	}
	require.Equal(t, []store.AccessCheck{
		{What: store.AccessSkills, OK: true, Message: "the API answered: vendor " + simulator.DefaultVendorID + " has no skills"},
		{What: store.AccessSubscribers, OK: true, Message: "the API answered: there is no subscriber to events"},
	}, all.Credentials[1].Can)
	require.Equal(t, store.AccessEndpoint, all.Credentials[2].Can[0].What)
	require.Contains(t, all.Credentials[2].Can[0].Message, "endpoint")

	require.NoError(t, w.sim.ChangeAccount(simulator.DefaultDeveloperClientID, simulator.AccountChange{RevokeRefreshToken: true, ExpireAccessTokens: true}))
	revoked := check()
	require.False(t, revoked.Credentials[1].OK)
	require.Contains(t, revoked.Credentials[1].Token.Message, "fleetctl account credential set acme --kind developer")
	require.True(t, revoked.Credentials[2].OK)
}

// The budgets of an account's credentials are independent: while the developer's client
// is pushed back, homes are written to at the rate they always were, and a preflight says
// that it could not look.
func TestAThrottledDeveloperSlowsNoUnits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Config{Units: 100}, func(p *store.AccountParams) { p.Rate, p.Burst = "25", 1 })
	var refused atomic.Int32
	front := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/skills") && !strings.Contains(r.URL.RawQuery, "unitId") && !strings.HasSuffix(r.URL.Path, "/enablements") {
			refused.Add(1)
			rw.Header().Set("Content-Type", "application/json")
			rw.Header().Set("Retry-After", "300")
			rw.WriteHeader(http.StatusTooManyRequests)
			_, _ = io.WriteString(rw, `{"message":"We are experiencing heavy traffic at the moment."}`)
			return
		}
		w.sim.ServeHTTP(rw, r)
	}))
	t.Cleanup(front.Close)
	_, err := w.store.SetAccount(t.Context(), "acme", store.AccountPatch{APIURL: &front.URL}, w.by)
	require.NoError(t, err)
	w.developer()
	r := w.start()

	preflightOf := func() preflight.Report {
		t.Helper()
		began := time.Now()
		reports, err := r.Preflight(t.Context(), asked())
		require.NoError(t, err)
		require.Less(t, time.Since(began), preflightTime+5*time.Second)
		return reports[0]
	}
	require.Equal(t, preflight.NotChecked, results(preflightOf())[preflight.SkillExists])
	require.Positive(t, refused.Load(), "the developer's client is pushed back")
	pushed := refused.Load()

	began := time.Now()
	made := w.create(func(p *store.RolloutParams) { p.ObservationAny = true })
	w.until(made.ID, "done", func(r store.Rollout) bool { return r.State == fleet.RolloutSucceeded })
	took := time.Since(began)
	got := w.rollout(made.ID)
	require.Zero(t, got.Throttled)
	require.Equal(t, 100, got.Counts.Succeeded)
	// 100 writes at 25 a second take 4 seconds; the rest is room for a busy machine. A
	// budget that were shared would be closed for five minutes.
	require.GreaterOrEqual(t, took, 3*time.Second, "no faster than the account's rate")
	require.Less(t, took, 20*time.Second)

	require.Equal(t, preflight.NotChecked, preflightOf().Checks[0].Result, "still pushed back")
	require.LessOrEqual(t, refused.Load(), pushed+1, "and not asked meanwhile")
	rates := map[string]float64{}
	rows, err := w.pool.Query(t.Context(), "SELECT kind, rate FROM budgets WHERE blocked_until < now()")
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var kind string
		var rate float64
		require.NoError(t, rows.Scan(&kind, &rate))
		rates[kind] = rate
	}
	require.NoError(t, rows.Err())
	require.Equal(t, map[string]float64{"enterprise": 25}, rates, "only the developer's is closed")
}
