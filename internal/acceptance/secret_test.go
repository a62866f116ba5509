package acceptance_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"fleetd/internal/simulator"
)

// dump is every row of every table as text, but what a living fleetd moves by
// itself; all has that too.
func (w *world) dump() string {
	return w.rows("processes", "river_client", "river_leader", "river_queue", "tokens", "log_entries")
}

func (w *world) rows(without ...string) string {
	w.t.Helper()
	ctx := context.WithoutCancel(w.t.Context())
	conn, err := pgx.Connect(ctx, w.database)
	require.NoError(w.t, err)
	defer func() { require.NoError(w.t, conn.Close(ctx)) }()
	rows, err := conn.Query(ctx, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename")
	require.NoError(w.t, err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(w.t, err)
	require.Subset(w.t, tables, []string{"credentials", "river_job", "targets", "tokens"})
	var all strings.Builder
	for _, table := range tables {
		if slices.Contains(without, table) {
			continue
		}
		var text string
		err := conn.QueryRow(ctx, `SELECT coalesce(string_agg(x::text, e'\n' ORDER BY x::text), '') FROM `+pgx.Identifier{table}.Sanitize()+` AS x`).Scan(&text)
		require.NoError(w.t, err)
		all.WriteString(table + "\n" + text + "\n")
	}
	return all.String()
}

// pgDump is the database as pg_dump writes it, "" where the machine has none that
// is new enough.
func (w *world) pgDump() string {
	w.t.Helper()
	candidates, err := filepath.Glob("/usr/lib/postgresql/*/bin/pg_dump")
	require.NoError(w.t, err)
	slices.Reverse(candidates)
	if path, err := exec.LookPath("pg_dump"); err == nil {
		candidates = append(candidates, path)
	}
	for _, path := range candidates {
		r := runProgram(w.t, os.Environ(), nil, path, "--dbname", w.database)
		if r.code == 0 {
			return r.stdout
		}
		w.t.Logf("%s: %s", path, r.stderr)
	}
	return ""
}

// forms are the ways in which a secret may stand somewhere: as it is, in hex, and
// in base64 at each of the three places a byte can have in it.
func forms(secret string) []string {
	raw := []byte(secret)
	out := []string{secret, hex.EncodeToString(raw), strings.ToUpper(hex.EncodeToString(raw))}
	for lead := range 3 {
		padded := append(make([]byte, lead), raw...)
		for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			text := enc.EncodeToString(padded[:len(padded)/3*3])
			out = append(out, text[(lead*8+5)/6:])
		}
	}
	return out
}

// TestSecrets plants canaries wherever a secret can be and looks for them wherever
// none may be.
func TestSecrets(t *testing.T) {
	t.Parallel()
	canary := simulator.Account{
		ClientID: "amzn1.application-oa2-client.canary", ClientSecret: "CANARYsecretQ7wz41LmXp", RefreshToken: "Atzr|CANARYrefreshV93kTn2Bd",
	}
	cfg := harsh(60, 61)
	cfg.Accounts, cfg.RotateRefreshTokens = []simulator.Account{canary}, true
	cfg.TokenTTL = 3 * time.Second
	// A refresh token that rotates is revoked by the rotation itself when the answer
	// is lost: token errors are not what this test is about.
	cfg.Faults.TokenError = 0
	w := newWorld(t, cfg)
	w.expectErrors = true
	f := w.serve("--log-level", "debug", "--log-format", "json")
	w.account("acme", canary, "--rate", "100", "--link-mode", "codes",
		"--code-url", w.simURL+"/_sim/codes", "--redirect-uri", "https://example.com/linked")
	dev := simulator.Account{ClientID: "amzn1.application-oa2-client.dev", ClientSecret: "CANARYdevsecretB2xq7TnUe", RefreshToken: "Atzr|CANARYdevrefreshH4vw9Kp"}
	setDev := []string{
		"account", "credential", "set", "acme", "--kind", "developer", "--vendor-id", "M2VENDOR", "--client-id", dev.ClientID,
		"--client-secret-file", w.file("dev-secret", dev.ClientSecret+"\n"), "--refresh-token-file", w.file("dev-refresh", dev.RefreshToken+"\n"),
	}
	w.must(setDev...)
	w.importHomes("acme")
	operator := strings.TrimSpace(w.must("token", "create", "--name", "op", "--role", "operator"))
	require.NotEmpty(t, operator)
	flags := []string{"--max-failures", "100%", "--verify-timeout", "5s"}
	id := w.create("enable", "acme", "amzn1.ask.skill.link", flags...)
	w.awaitEnd(id, 2*time.Minute)
	w.create("disable", "acme", "amzn1.ask.skill.link", flags...)

	// Everything that says something about an account, good and bad.
	var answers strings.Builder
	bad := "CANARYwrongZ5yh8RcJ0"
	for _, call := range []struct{ method, path, body string }{
		{"GET", "/api/v1/accounts", ""},
		{"GET", "/api/v1/accounts/acme", ""},
		{"POST", "/api/v1/accounts/acme/check", ""},
		{"PATCH", "/api/v1/accounts/acme", `{"refresh_token":"` + bad + `","rate":"0"}`},
		{"PATCH", "/api/v1/accounts/acme", `{"refresh_token":"` + bad + `" nonsense`},
		{"POST", "/api/v1/accounts", `{"name":"x","client_secret":"` + bad + `"}`},
		{"POST", "/api/v1/accounts", `{"name":"x","client_id":1,"client_secret":{"a":"` + bad + `"}}`},
		{"PUT", "/api/v1/accounts/acme/credentials/customer", `{"client_id":"c","client_secret":"` + bad + `","refresh_token":"` + bad + `"}`},
		{"PUT", "/api/v1/accounts/acme/credentials/customer", `{"client_id":"c","client_secret":"` + bad + `","refresh_token":"` + bad + `","vendor_id":"V"}`},
		{"PUT", "/api/v1/accounts/acme/credentials/developer", `{"client_secret":{"a":"` + bad + `"}} ` + bad},
		{"DELETE", "/api/v1/accounts/acme/credentials/enterprise", ""},
		{"GET", "/api/v1/accounts/acme/credentials", ""},
		{"GET", "/api/v1/accounts/acme/credentials/developer", ""},
		{"GET", "/api/v1/rollouts/" + id + "/targets?limit=500", ""},
		{"GET", "/api/v1/log", ""},
		{"GET", "/api/v1/tokens", ""},
		{"GET", "/metrics", ""},
		{"GET", "/openapi.json", ""},
		{"GET", "/readyz", ""},
	} {
		answers.WriteString(w.raw(f, call.method, call.path, call.body))
	}
	// The credential is revoked in the middle of it all, and a wrong one is set.
	require.NoError(t, w.sim.ChangeAccount(canary.ClientID, simulator.AccountChange{RevokeRefreshToken: true, ExpireAccessTokens: true}))
	w.must("account", "set", "acme", "--refresh-token-file", w.file("bad", bad+"\n"))
	w.ctl("account", "check", "acme")
	w.ctl("account", "show", "acme", "-o", "json")
	w.must(append(setDev, "--rate", "3", "-o", "json")...)
	w.must("account", "credential", "list", "acme", "-o", "wide")
	w.ctl("rollout", "targets", id, "-o", "json", "--limit", "0")
	w.ctl("rollout", "list", "-o", "wide")
	w.ctl("account", "list", "--token", bad)
	w.must("log", "-o", "json")

	key, err := os.ReadFile(filepath.Join(w.dataDir, "encryption.key"))
	require.NoError(t, err)
	rawKey, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(key)))
	require.NoError(t, err)
	tokens, codes := w.wire.secrets()
	require.Greater(t, len(tokens), 4, "tokens were given out")
	require.NotEmpty(t, codes, "codes were given out")
	secrets := append([]string{canary.ClientSecret, canary.RefreshToken, dev.ClientSecret, dev.RefreshToken, bad, w.token, strings.TrimSpace(string(key)), string(rawKey)}, codes...)
	for _, token := range tokens {
		// The prefix alone is no secret, and the middle is enough to know it by.
		secrets = append(secrets, token[5:65])
	}
	places := map[string]string{
		"fleetd's log": f.stderr.String(), "answers of the API": answers.String(), "rows of the database": w.rows(), "pg_dump": w.pgDump(),
	}
	w.mu.Lock()
	places["fleetctl"] = strings.Replace(w.said.String(), operator, "", 1) // shown once, to whoever made it
	w.mu.Unlock()
	secrets = append(secrets, operator)
	require.Contains(t, places["fleetd's log"], `"level":"DEBUG"`)
	require.Contains(t, places["rows of the database"], "targets")
	require.Contains(t, places["rows of the database"], "M2VENDOR")
	require.Contains(t, places["answers of the API"], "fleet_api_requests_total")
	for place, text := range places {
		for _, secret := range secrets {
			for _, form := range forms(secret) {
				require.Greater(t, len(form), 12)
				require.NotContains(t, text, form, "%s holds a secret", place)
			}
		}
	}
}

// raw calls the API without the client, and returns answer and headers.
func (w *world) raw(f *fleetd, method, path, body string) string {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, f.url+path, strings.NewReader(body))
	require.NoError(w.t, err)
	req.Header.Set("Authorization", "Bearer "+w.token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(w.t, err)
	var text strings.Builder
	require.NoError(w.t, resp.Header.Write(&text))
	_, err = io.Copy(&text, resp.Body)
	require.NoError(w.t, err)
	require.NoError(w.t, resp.Body.Close())
	return text.String()
}

// TestFormsHaveTeeth sees that a secret is found whatever it stands in.
func TestFormsHaveTeeth(t *testing.T) {
	t.Parallel()
	const secret = "CANARYsecretQ7wz41LmXp"
	finds := func(text string) bool {
		return slices.ContainsFunc(forms(secret), func(form string) bool { return strings.Contains(text, form) })
	}
	for _, around := range []string{"", "a", "ab", "abc"} {
		plain := around + secret + around
		require.True(t, finds(plain))
		require.True(t, finds(hex.EncodeToString([]byte(plain))))
		require.True(t, finds(base64.StdEncoding.EncodeToString([]byte(plain))), around)
		require.True(t, finds(base64.URLEncoding.EncodeToString([]byte(plain))), around)
	}
	require.False(t, finds("nothing of the kind"))
}
