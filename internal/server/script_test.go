package server_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"
)

// TestScripts runs testdata/*.txtar: the API as a manual that reads top to bottom.
// Each request names its method, path and who asks; each response is its golden
// answer. Times, request IDs, rollout IDs and secrets stand there as words. A
// request may say {rollout} for the ID of the last rollout that was answered with, and
// {audit} for that of the last audit. What no request can bring about is done by SQL,
// and answered by nothing.
func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			script, err := txtar.ParseFile(file)
			require.NoError(t, err)
			f := newFixture(t)
			f.develop(t, &skillAPI{left: 2})
			rollout, audit := "", ""
			for i := 0; i+1 < len(script.Files); i += 2 {
				request, response := script.Files[i], &script.Files[i+1]
				require.Equal(t, "response", response.Name, "after %s", request.Name)
				text := strings.NewReplacer("{rollout}", rollout, "{audit}", audit).Replace(string(request.Data))
				if sql, ok := strings.CutPrefix(text, "SQL\n"); ok {
					_, err := f.pool.Exec(t.Context(), sql)
					require.NoError(t, err, request.Name)
					continue
				}
				a := f.perform(t, text)
				if id := rolloutID.FindStringSubmatch(a.body); id != nil {
					rollout = id[1]
				}
				if id := auditID.FindStringSubmatch(a.body); id != nil {
					audit = id[1]
				}
				got := a.script(t)
				if *update {
					response.Data = []byte(got)
					continue
				}
				require.Equal(t, string(response.Data), got, request.Name)
			}
			if *update {
				require.NoError(t, os.WriteFile(file, txtar.Format(script), 0o600))
			}
		})
	}
}

// perform sends what a script asks for: "METHOD PATH ROLE", headers, an empty line
// and a body.
func (f *fixture) perform(t *testing.T, text string) answer {
	t.Helper()
	first, rest, _ := strings.Cut(text, "\n")
	words := strings.Fields(first)
	require.Len(t, words, 3, "%q is not METHOD PATH ROLE", first)
	head, body, _ := strings.Cut("\n"+rest, "\n\n")
	header, err := textproto.NewReader(bufio.NewReader(strings.NewReader(strings.TrimSpace(head) + "\r\n\r\n"))).ReadMIMEHeader()
	if strings.TrimSpace(head) == "" {
		header, err = nil, nil
	}
	require.NoError(t, err)
	var pairs []string
	for name := range header {
		pairs = append(pairs, name, header.Get(name))
	}
	if body == "" {
		return f.call(t, words[2], words[0], words[1], nil, pairs...)
	}
	return f.call(t, words[2], words[0], words[1], strings.NewReader(body), pairs...)
}

var (
	rolloutID = regexp.MustCompile(`"id": ?"(ro-[^"]+)"`)
	auditID   = regexp.MustCompile(`"id": ?"(au-[^"]+)"`)
)

// volatile is what no golden file can hold.
var volatile = []struct {
	pattern *regexp.Regexp
	word    string
}{
	{regexp.MustCompile(`"\d{4}-\d\d-\d\dT[0-9:.]+Z"`), `"TIME"`},
	{regexp.MustCompile(`"request_id": "[A-Z2-7]{26}"`), `"request_id": "ID"`},
	{regexp.MustCompile(`ro-[a-z0-9]+`), `ROLLOUT`},
	{regexp.MustCompile(`au-[a-z0-9]+`), `AUDIT`},
	{regexp.MustCompile(`"de-[a-z0-9]+"`), `"CHANGE"`},
	{regexp.MustCompile(`"fingerprint": "[^"]+"`), `"fingerprint": "FINGERPRINT"`},
	{regexp.MustCompile(`fleet_[A-Za-z0-9_-]{43}`), `SECRET`},
	{regexp.MustCompile(`"go_version": "[^"]+"`), `"go_version": "GO"`},
}

// script is an answer as golden files have it.
func (a answer) script(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s\n", a.status, http.StatusText(a.status))
	for _, name := range []string{"Content-Type", "Allow", "Www-Authenticate", "Idempotency-Replayed", "Content-Disposition"} {
		if v := a.header.Get(name); v != "" {
			fmt.Fprintf(&b, "%s: %s\n", name, v)
		}
	}
	if a.body != "" {
		b.WriteString("\n")
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, []byte(a.body), "", "  "); err == nil {
		b.WriteString(strings.TrimSpace(pretty.String()) + "\n")
	} else {
		b.WriteString(a.body)
	}
	text := b.String()
	for _, v := range volatile {
		text = v.pattern.ReplaceAllString(text, v.word)
	}
	return text
}
