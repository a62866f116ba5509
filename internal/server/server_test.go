package server_test

import (
	"bytes"
	"context"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"fleetd/internal/apis"
	"fleetd/internal/fleet"
	"fleetd/internal/notifications/sns"
	"fleetd/internal/postgres/pgtest"
	"fleetd/internal/preflight"
	"fleetd/internal/server"
	"fleetd/internal/store"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// fixture is a server on a database of its own, with one token of each role.
type fixture struct {
	url    string
	store  *store.Store
	pool   *pgxpool.Pool
	tokens map[string]string // by role, and "none", "revoked", "expired"
	log    *syncBuffer
	ready  func(context.Context) error
	asked  atomic.Int32 // preflights
	stop   chan struct{}

	developer *apis.Developer // nil: the account has no such credential
	customer  *apis.Customer
	exist     func(account string, skillIDs []string) ([]string, error)
}

// syncBuffer is a log that a test may read while requests write.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// checker answers the check of an account without asking anybody.
type checker struct{ store *store.Store }

func (c checker) Check(ctx context.Context, account string) (store.AccountCheck, error) {
	a, err := c.store.Account(ctx, account)
	if err != nil {
		return store.AccountCheck{}, err
	}
	return store.AccountCheck{
		Account: a.Name,
		Token:   store.CheckStep{OK: true, Message: "an access token was granted"},
		API:     store.CheckStep{Message: "the API answered 403; grant the LWA client access in the console"},
		Credentials: []store.CredentialCheck{
			{
				Kind: fleet.CredentialEnterprise, Set: true, Token: store.CheckStep{OK: true, Message: "an access token was granted"},
				Can: []store.AccessCheck{{What: store.AccessUnits, Message: "the API answered 403; grant the LWA client access in the console"}},
			},
			{Kind: fleet.CredentialDeveloper, Token: store.CheckStep{Message: "not set: there is nothing to try"}, Can: []store.AccessCheck{}},
		},
	}, nil
}

// Developer is what the test gave the account acme.
func (f *fixture) Developer(_ context.Context, account string) (*apis.Developer, error) {
	if f.developer == nil {
		return nil, fleet.Conflictf("account %s has no developer credential", account)
	}
	return f.developer, nil
}

// Customer is what the test gave the account acme.
func (f *fixture) Customer(_ context.Context, account string) (*apis.Customer, error) {
	if f.customer == nil {
		return nil, fleet.Conflictf("account %s has no customer credential", account)
	}
	return f.customer, nil
}

// Preflight judges as it is done for accounts with a developer credential: one skill is
// hidden, one is sound, and of every other nothing is asked.
func (f *fixture) Preflight(ctx context.Context, queries ...preflight.Query) ([]preflight.Report, error) {
	var reports []preflight.Report
	for _, q := range queries {
		a, err := f.store.Account(ctx, q.Account)
		if err != nil {
			return nil, err
		}
		listed := func(publication string) preflight.Fact[preflight.Skill] {
			return preflight.Know(preflight.Skill{Exists: true, Own: true, Vendor: "M2V", Listing: []preflight.Listed{{Stage: "live", Publication: publication}}})
		}
		facts := preflight.Facts{None: "account " + a.Name + " has no developer credential"}
		switch q.SkillID {
		case "amzn1.ask.skill.hidden":
			facts = preflight.Facts{Skill: listed("HIDDEN"), Build: preflight.Know(preflight.Build{Status: "FAILED"})}
		case "amzn1.ask.skill.sound":
			facts = preflight.Facts{Skill: listed("PUBLISHED"), Build: preflight.Know(preflight.Build{Status: "SUCCEEDED"})}
		}
		r := preflight.Judge(preflight.Params{
			Account: q.Account, Action: q.Action, SkillID: q.SkillID, Stage: q.Stage, Countries: a.Countries, LinkMode: a.LinkMode,
		}, facts)
		r.CheckedAt, r.Why = time.Now().UTC(), q.Why
		f.asked.Add(1)
		if facts.None == "" {
			err = f.store.SavePreflight(ctx, r)
		}
		if reports = append(reports, r); err != nil {
			return nil, err
		}
	}
	return reports, nil
}

// believer takes every message for genuine; its header says what it is.
type believer struct{}

func (believer) Verify(_ context.Context, d sns.Delivery) (sns.Message, error) {
	return sns.Message{
		Type: sns.Type(d.Header.Get("X-Amz-Sns-Message-Type")), MessageID: d.Header.Get("X-Amz-Sns-Message-Id"),
		TopicARN: d.Header.Get("X-Amz-Sns-Topic-Arn"), Message: d.Body, Timestamp: time.Now(), Raw: d.AllowRaw,
	}, nil
}

func (believer) Confirm(context.Context, sns.Message) error { return nil }

// catalog knows the skills that a test says exist.
type catalog struct{ *fixture }

func (c catalog) ExistingSkills(_ context.Context, account string, skillIDs []string) ([]string, error) {
	if c.exist == nil {
		return nil, nil
	}
	return c.exist(account, skillIDs)
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	pool := pgtest.Pool(t)
	keys, err := store.NewKeys(make([]byte, 32))
	require.NoError(t, err)
	f := &fixture{store: store.New(pool, keys), pool: pool, tokens: map[string]string{"none": ""}, log: &syncBuffer{}, stop: make(chan struct{})}
	system := fleet.Actor{Name: "system"}
	for name, p := range map[string]store.TokenParams{
		"viewer":   {Role: fleet.RoleViewer},
		"operator": {Role: fleet.RoleOperator},
		"admin":    {Role: fleet.RoleAdmin},
		"revoked":  {Role: fleet.RoleAdmin},
		"expired":  {Role: fleet.RoleAdmin},
	} {
		p.Name = name
		_, f.tokens[name], err = f.store.CreateToken(t.Context(), p, system, store.Idempotency{})
		require.NoError(t, err)
	}
	_, err = f.store.RevokeToken(t.Context(), "revoked", "", system)
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), "UPDATE tokens SET expires_at = now() WHERE name = 'expired'")
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), "DELETE FROM log_entries")
	require.NoError(t, err)
	handler, err := server.New(server.Config{
		Accounts: f.store, Credentials: f.store, Units: f.store, Rollouts: f.store, Desired: f.store, Audits: f.store, Drift: f.store, Tokens: f.store, Log: f.store, Checker: checker{f.store}, APIs: f, Preflights: f, Checks: f.store, Calls: f.store,
		Events: f.store, Hooks: f.store, Verifier: believer{}, EnqueueEvent: func(context.Context, pgx.Tx, int64) error { return nil },
		Logger:   slog.New(slog.NewJSONHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Registry: prometheus.NewRegistry(),
		Ready: func(ctx context.Context) error {
			if f.ready != nil {
				return f.ready(ctx)
			}
			return f.store.Ping(ctx)
		},
		Stopping: f.stop,
		Version:  "v1.2.3", Catalog: catalog{f},
	})
	require.NoError(t, err)
	s := httptest.NewUnstartedServer(handler)
	s.Config = server.HTTPServer(handler, slog.New(slog.NewTextHandler(f.log, nil)))
	s.Start()
	t.Cleanup(s.Close)
	f.url = s.URL
	return f
}

// answer is what the server said.
type answer struct {
	status int
	header http.Header
	body   string
}

// call sends one request as the holder of a token.
func (f *fixture) call(t *testing.T, as, method, path string, body io.Reader, header ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, f.url+path, body)
	require.NoError(t, err)
	if token, ok := f.tokens[as]; ok && token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return answer{status: res.StatusCode, header: res.Header, body: string(text)}
}

// account creates the account acme with a few homes.
func (f *fixture) account(t *testing.T) {
	t.Helper()
	by := fleet.Actor{Name: "system"}
	_, _, err := f.store.CreateAccount(t.Context(), store.AccountParams{
		Name: "acme", ClientID: "client", ClientSecret: "s3cr3t", RefreshToken: "Atzr|token",
	}, by, store.Idempotency{})
	require.NoError(t, err)
	_, _, err = f.store.ImportUnits(t.Context(), "acme", strings.NewReader(strings.Join([]string{
		"unit_id,property,name,occupancy,labels",
		"u1,maple-court,One,vacant,floor=1",
		"u2,maple-court,Two,occupied,floor=2",
		"u3,oak-park,Three,vacant,",
	}, "\n")), store.ImportParams{}, by, store.Idempotency{})
	require.NoError(t, err)
}
