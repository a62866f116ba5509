package server_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// canary stands in every secret of the test; nothing but the request may hold it.
const canary = "CaNaRy5ecret"

func TestSecretsNeverComeBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	good := `{"name":"acme","client_id":"c","client_secret":"` + canary + `1","refresh_token":"Atzr|` + canary + `2"}`
	const kinds = "/api/v1/accounts/acme/credentials"
	dev := `{"client_id":"c","client_secret":"` + canary + `4","refresh_token":"Atzr|` + canary + `5","vendor_id":"M2","reason":"new"}`
	var said strings.Builder
	for _, c := range []struct{ method, path, body, kind string }{
		{http.MethodPost, "/api/v1/accounts", good, ""},
		{http.MethodPost, "/api/v1/accounts", good, ""}, // a conflict
		{http.MethodPost, "/api/v1/accounts", good[:len(good)-3], ""},
		{http.MethodPost, "/api/v1/accounts", good + good, ""},
		{http.MethodPost, "/api/v1/accounts", good, "text/plain"},
		{http.MethodPost, "/api/v1/accounts", strings.Replace(good, `"name"`, `"unknown":"`+canary+`","name"`, 1), ""},
		{http.MethodPost, "/api/v1/accounts", strings.Replace(good, `"acme"`, `["`+canary+`"]`, 1), ""},
		{http.MethodPost, "/api/v1/accounts", `{"name":"b","client_id":"c","client_secret":{"x":"` + canary + `"},"refresh_token":7}`, ""},
		{http.MethodPost, "/api/v1/accounts", `{"name":"b","client_id":"c","client_secret":"` + canary + ` \n","refresh_token":"x"}`, ""},
		{http.MethodPost, "/api/v1/accounts", `{"name":"b","client_id":"c","client_secret":"` + strings.Repeat(canary, 1000) + `","refresh_token":"x"}`, ""},
		{http.MethodPost, "/api/v1/accounts", `{"name":"b","client_id":"c","client_secret":"` + strings.Repeat(canary, 200_000) + `"}`, ""},
		{http.MethodPost, "/api/v1/accounts", `["` + canary + `"]`, ""},
		{http.MethodPost, "/api/v1/accounts", `"` + canary + `"`, ""},
		{http.MethodPatch, "/api/v1/accounts/acme", `{"refresh_token":"` + canary + `3","rate":"0"}`, ""},
		{http.MethodPatch, "/api/v1/accounts/acme", `{"refresh_token":"` + canary + `3","rate":"5","reason":"new"}`, ""},
		{http.MethodPatch, "/api/v1/accounts/acme", `{"api_url":"https://u:` + canary + `@api.example.com"}`, ""},
		{http.MethodPatch, "/api/v1/accounts/acme", `{"token_url":"https://u:` + canary + `@api.example.com:port"}`, ""},
		{http.MethodPatch, "/api/v1/accounts/acme", `{"code_url":"https://api.example.com?key=` + canary + `"}`, ""},
		{http.MethodPatch, "/api/v1/accounts/acme", `{"redirect_uris":["https://u:` + canary + `@x.example/"]}`, ""},
		{http.MethodPut, kinds + "/developer", dev, ""},
		{http.MethodPut, kinds + "/developer", dev, ""},
		{http.MethodPut, kinds + "/enterprise", strings.Replace(dev, `,"vendor_id":"M2"`, "", 1), ""},
		{http.MethodPut, kinds + "/customer", dev, ""}, // a vendor where there is none
		{http.MethodPut, kinds + "/partner", dev, ""},
		{http.MethodPut, kinds + "/developer", dev[:len(dev)-3], ""},
		{http.MethodPut, kinds + "/developer", strings.Replace(dev, `"M2"`, `"`+canary+` \n"`, 1), ""},
		{http.MethodPut, kinds + "/developer", strings.Replace(dev, `"reason"`, `"rate":"0","reason"`, 1), ""},
		{http.MethodPut, kinds + "/developer", strings.Replace(dev, `"Atzr|`, `"\t`, 1), ""},
		{http.MethodPut, kinds + "/developer", `{"client_id":{"x":"` + canary + `"},"client_secret":["` + canary + `"],"refresh_token":7}`, ""},
		{http.MethodPut, "/api/v1/accounts/nobody/credentials/developer", dev, ""},
		{http.MethodDelete, kinds + "/enterprise", "", ""},
		{http.MethodGet, kinds, "", ""},
		{http.MethodGet, kinds + "/developer", "", ""},
		{http.MethodGet, "/api/v1/accounts", "", ""},
		{http.MethodGet, "/api/v1/accounts/acme", "", ""},
		{http.MethodPost, "/api/v1/accounts/acme/check", "", ""},
		{http.MethodGet, "/api/v1/log", "", ""},
		{http.MethodGet, "/api/v1/tokens", "", ""},
		{http.MethodGet, "/metrics", "", ""},
		{http.MethodGet, "/openapi.json", "", ""},
	} {
		header := []string{"Idempotency-Key", "k" + c.path + c.body[:min(len(c.body), 40)]}
		if c.kind != "" {
			header = append(header, "Content-Type", c.kind)
		}
		a := f.call(t, "admin", c.method, c.path, strings.NewReader(c.body), header...)
		require.NotContains(t, a.body, canary, "%s %s %.60s", c.method, c.path, c.body)
		require.Less(t, a.status, http.StatusInternalServerError, a.body)
		for name, values := range a.header {
			require.NotContains(t, strings.Join(values, " "), canary, name)
		}
		said.WriteString(a.body)
	}
	require.Contains(t, said.String(), "acme", "the calls did something")
	require.Contains(t, said.String(), `"vendor_id":"M2"`)
	require.NotContains(t, f.log.String(), canary)
	require.NotContains(t, f.log.String(), "fleet_")
	require.NotContains(t, f.dump(t), canary)
	require.NotContains(t, f.dump(t), f.tokens["admin"])
}

// dump is every row of every table as text.
func (f *fixture) dump(t *testing.T) string {
	t.Helper()
	rows, err := f.pool.Query(t.Context(), "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
	require.NoError(t, err)
	var tables []string
	for rows.Next() {
		var table string
		require.NoError(t, rows.Scan(&table))
		tables = append(tables, table)
	}
	require.NoError(t, rows.Err())
	require.Contains(t, tables, "credentials")
	var all strings.Builder
	for _, table := range tables {
		var text string
		// bytea as it would be read in a dump, and as it would be read in a file.
		err := f.pool.QueryRow(t.Context(), `SELECT coalesce(string_agg(x::text, e'\n'), '') FROM "`+table+`" AS x`).Scan(&text)
		require.NoError(t, err)
		all.WriteString(text)
	}
	var raw string
	err = f.pool.QueryRow(t.Context(), `
		SELECT string_agg(encode(client_secret, 'escape') || encode(refresh_token, 'escape') || coalesce(encode(access_token, 'escape'), ''), ' ')
		FROM credentials`).Scan(&raw)
	require.NoError(t, err)
	all.WriteString(raw)
	return all.String()
}
