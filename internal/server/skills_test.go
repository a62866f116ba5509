package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/apis"
	"fleetd/internal/manifest"
	"fleetd/internal/remote"
	"fleetd/internal/store"
)

// skillAPI is a skill manifest API of one vendor: as much of one as the tests need.
// A build takes as many looks at it as left says; a manifest that says FAIL fails.
type skillAPI struct {
	mu     sync.Mutex
	skills []*fakeSkill
	left   int    // looks until a build has ended
	next   []fake // answers that come before any other
	writes int
	looked func() // at each look at a build; nil: nobody asks
}

type fakeSkill struct {
	manifest json.RawMessage
	version  int
	left     int
}

// fake is one answer; lost is none at all.
type fake struct {
	status int
	body   string
	lost   bool
}

func (a *skillAPI) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.Method != http.MethodGet {
		a.writes++
	}
	rec := httptest.NewRecorder()
	rec.Header().Set("X-Amzn-RequestId", "amzn-req")
	if len(a.next) > 0 {
		answer := a.next[0]
		a.next = a.next[1:]
		if answer.lost {
			return nil, io.ErrUnexpectedEOF
		}
		rec.WriteHeader(answer.status)
		_, _ = rec.WriteString(answer.body)
		return rec.Result(), nil
	}
	var body struct {
		VendorID string          `json:"vendorId"` //nolint:tagliatelle // The API spells it so.
		Manifest json.RawMessage `json:"manifest"`
	}
	if r.Body != nil {
		_ = json.NewDecoder(r.Body).Decode(&body)
	}
	a.answer(rec, r, body.Manifest)
	return rec.Result(), nil
}

func (a *skillAPI) answer(w *httptest.ResponseRecorder, r *http.Request, doc json.RawMessage) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(parts) == 2 && r.Method == http.MethodPost {
		a.skills = append(a.skills, &fakeSkill{manifest: doc, version: 1, left: a.left})
		w.WriteHeader(http.StatusAccepted)
		_, _ = fmt.Fprintf(w, `{"skillId":"skill-%d"}`, len(a.skills))
		return
	}
	if len(parts) == 2 {
		a.list(w, r)
		return
	}
	var s *fakeSkill
	for i, known := range a.skills {
		if parts[2] == fmt.Sprintf("skill-%d", i+1) && known.manifest != nil {
			s = known
		}
	}
	if s == nil {
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.WriteString(`{"message":"Resource not found."}`)
		return
	}
	tag := fmt.Sprintf("tag-%d", s.version)
	failed := strings.Contains(string(s.manifest), "FAIL")
	switch {
	case parts[len(parts)-1] == "status":
		s.left--
		if a.looked != nil {
			a.looked()
		}
		switch {
		case s.left >= 0:
			_, _ = w.WriteString(`{"manifest":{"lastUpdateRequest":{"status":"IN_PROGRESS"}}}`)
		case failed:
			_, _ = w.WriteString(`{"manifest":{"lastUpdateRequest":{"status":"FAILED","errors":[{"code":"NO_ICON","message":"give an icon"}]}}}`)
		default:
			_, _ = fmt.Fprintf(w, `{"manifest":{"eTag":%q,"lastUpdateRequest":{"status":"SUCCEEDED"}}}`, tag)
		}
	case r.Method == http.MethodDelete:
		s.manifest = nil
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodGet && s.left >= 0 || failed:
		w.Header().Set("Location", "/v1/skills/"+parts[2]+"/status?resource=manifest")
		w.WriteHeader(http.StatusSeeOther)
	case r.Method == http.MethodGet:
		w.Header().Set("ETag", tag)
		_, _ = fmt.Fprintf(w, `{"manifest":%s}`, s.manifest)
	case r.Header.Get("If-Match") != "" && r.Header.Get("If-Match") != tag:
		w.WriteHeader(http.StatusPreconditionFailed)
		_, _ = w.WriteString(`{"message":"The entity tag is stale."}`)
	default:
		s.manifest, s.left = doc, a.left
		s.version++
		w.WriteHeader(http.StatusAccepted)
	}
}

func (a *skillAPI) list(w io.Writer, r *http.Request) {
	var items []string
	for i, s := range a.skills {
		id := fmt.Sprintf("skill-%d", i+1)
		if ids := r.URL.Query()["skillId"]; s.manifest != nil && (len(ids) == 0 || strings.Contains(strings.Join(ids, " "), id)) {
			items = append(items, fmt.Sprintf(`{"skillId":%q,"stage":"development","publicationStatus":"DEVELOPMENT","lastUpdated":"2026-01-02T03:04:05Z","nameByLocale":{"en-US":"Lights"},"apis":["smartHome"]}`, id))
		}
	}
	_, _ = fmt.Fprintf(w, `{"skills":[%s],"isTruncated":false}`, strings.Join(items, ","))
}

type fixedToken struct{}

func (fixedToken) Token(context.Context) (string, error)           { return "Atza|" + canary, nil }
func (fixedToken) Refresh(context.Context, string) (string, error) { return "Atza|" + canary, nil }

type freeBudget struct{}

func (freeBudget) Take(ctx context.Context, _ remote.Class) (remote.Slot, error) {
	return remote.Slot{}, ctx.Err()
}
func (freeBudget) Done(context.Context, remote.Slot, remote.Answer) {}

// develop gives the account acme a developer credential that opens the API.
func (f *fixture) develop(t *testing.T, api *skillAPI) {
	t.Helper()
	c, err := remote.NewClient(remote.Config{
		Account: "acme", BaseURL: "http://api.example", Tokens: fixedToken{}, Limiter: freeBudget{}, Base: api, Timeout: 5 * time.Second,
	})
	require.NoError(t, err)
	f.developer = &apis.Developer{Account: "acme", VendorID: "M2VENDOR", Manifest: manifest.New(c)}
}

const (
	skillsPath   = "/api/v1/accounts/acme/skills"
	manifestPath = skillsPath + "/skill-1/stages/development/manifest"
)

// A skill that may have been made is not made twice by a script that tries again.
func TestASkillIsCreatedOnceAKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	api := &skillAPI{}
	f.develop(t, api)
	create := func(key string) answer {
		return f.call(t, "operator", http.MethodPost, skillsPath, strings.NewReader(`{"manifest":{"manifestVersion":"1.0"}}`), "Idempotency-Key", key)
	}

	api.next = []fake{{status: http.StatusBadRequest, body: `{"message":"no"}`}}
	require.Equal(t, http.StatusUnprocessableEntity, create("a").status)
	first := create("a")
	require.Equal(t, http.StatusAccepted, first.status, "what was refused can be tried again")
	require.Empty(t, first.header.Get("Idempotency-Replayed"))
	again := create("a")
	require.Equal(t, http.StatusAccepted, again.status)
	require.Equal(t, "true", again.header.Get("Idempotency-Replayed"))
	require.JSONEq(t, `{"skill_id":"skill-1"}`, again.body)
	require.Equal(t, 2, api.writes)

	api.next = []fake{{lost: true}}
	lost := create("b")
	require.Equal(t, http.StatusBadGateway, lost.status)
	require.Contains(t, lost.body, "in_doubt")
	refused := create("b")
	require.Equal(t, http.StatusConflict, refused.status)
	require.Contains(t, refused.body, "look whether it was done")
	require.Equal(t, 3, api.writes)

	entries, _, err := f.store.ListLog(t.Context(), store.LogFilter{Action: "skill.create"})
	require.NoError(t, err)
	require.Len(t, entries, 2, "what was done, and what may have been")
	require.Equal(t, "in_doubt", entries[0].Detail["outcome"])
	require.Equal(t, "skill/skill-1", entries[1].Object)
}

func TestWaitingForABuild(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	api := &skillAPI{left: 1}
	f.develop(t, api)
	body := func(name string) io.Reader { return strings.NewReader(`{"manifest":{"name":"` + name + `"}}`) }
	require.Equal(t, http.StatusAccepted, f.call(t, "operator", http.MethodPost, skillsPath, body("Lights")).status)

	a := f.call(t, "viewer", http.MethodGet, skillsPath+"/skill-1/status?wait=20", nil)
	require.Equal(t, http.StatusOK, a.status)
	require.Contains(t, a.body, `"state":"SUCCEEDED"`)
	require.Contains(t, a.body, `"ended":true`)

	api.left = 1000
	require.Equal(t, http.StatusAccepted, f.call(t, "operator", http.MethodPut, manifestPath, body("Lamps")).status)
	a = f.call(t, "viewer", http.MethodGet, skillsPath+"/skill-1/status?wait=1", nil)
	require.Equal(t, http.StatusOK, a.status)
	require.Contains(t, a.body, `"state":"IN_PROGRESS"`)
	require.Contains(t, a.body, `"ended":false`)

	a = f.call(t, "viewer", http.MethodGet, skillsPath+"/skill-9/status?wait=20", nil)
	require.Equal(t, http.StatusNotFound, a.status)
	a = f.call(t, "viewer", http.MethodGet, skillsPath+"/skill-1/status?wait=21", nil)
	require.Equal(t, http.StatusUnprocessableEntity, a.status)
}

// Stopping is not held up by who waits for a build: they are told how it stands.
func TestStoppingEndsTheWaitForABuild(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	looked := make(chan struct{}, 1)
	api := &skillAPI{left: 1000, looked: func() {
		select {
		case looked <- struct{}{}:
		default:
		}
	}}
	f.develop(t, api)
	require.Equal(t, http.StatusAccepted, f.call(t, "operator", http.MethodPost, skillsPath, strings.NewReader(`{"manifest":{"name":"Lights"}}`)).status)
	go func() {
		<-looked
		<-looked // the first look has been answered by then
		close(f.stop)
	}()
	began := time.Now()
	a := f.call(t, "viewer", http.MethodGet, skillsPath+"/skill-1/status?wait=20", nil)
	require.Equal(t, http.StatusOK, a.status)
	require.Contains(t, a.body, `"ended":false`)
	require.Less(t, time.Since(began), 15*time.Second)
}

// What the API says of a manifest is told, whole; the token never is.
func TestWhatTheAPISaysOfAManifest(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	api := &skillAPI{next: []fake{
		{status: http.StatusBadRequest, body: `{"message":"wrong for Atza|` + canary + `","violations":[{"code":"A","message":"no icon"},{"message":"no name"}]}`},
	}}
	f.develop(t, api)
	a := f.call(t, "operator", http.MethodPost, skillsPath, strings.NewReader(`{"manifest":{"a":"`+strings.Repeat("x", 900_000)+`"}}`))
	require.Equal(t, http.StatusUnprocessableEntity, a.status)
	var p struct {
		Code, Detail string
		Errors       []struct{ Message string }
	}
	require.NoError(t, json.Unmarshal([]byte(a.body), &p))
	require.Equal(t, "invalid", p.Code)
	require.Contains(t, p.Detail, "mend the manifest as the API says")
	require.Equal(t, []struct{ Message string }{{"wrong for [redacted]"}, {"no icon (A)"}, {"no name"}}, p.Errors)
	require.NotContains(t, a.body+f.log.String(), canary)

	big := f.call(t, "operator", http.MethodPost, skillsPath, strings.NewReader(`{"manifest":{"a":"`+strings.Repeat("x", 1<<20)+`"}}`))
	require.Equal(t, http.StatusRequestEntityTooLarge, big.status)
	require.Equal(t, 1, api.writes)

	// The log cannot be written: what was done is told nevertheless, and kept in the process's own.
	_, err := f.pool.Exec(t.Context(), "ALTER TABLE log_entries RENAME TO elsewhere")
	require.NoError(t, err)
	a = f.call(t, "operator", http.MethodPost, skillsPath, strings.NewReader(`{"manifest":{"a":1},"reason":"ticket 7"}`))
	require.Equal(t, http.StatusAccepted, a.status, a.body)
	require.Contains(t, f.log.String(), "was not recorded in the log")
	require.Contains(t, f.log.String(), "ticket 7")
}

// The API may point to the status of a build that has succeeded: to wait for its end
// would be over at once, and the next read no wiser.
func TestAManifestThatIsHeldBackAfterItsBuild(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.develop(t, &skillAPI{next: []fake{
		{status: http.StatusSeeOther}, {status: http.StatusOK, body: `{"manifest":{"lastUpdateRequest":{"status":"SUCCEEDED"}}}`},
	}})
	got := f.call(t, "viewer", http.MethodGet, manifestPath, nil)
	require.Equal(t, http.StatusConflict, got.status)
	require.Contains(t, got.body, "the state of its last update is SUCCEEDED; the API holds it back all the same, so try again in a moment")
}
