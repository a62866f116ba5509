package residential

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/remote"
)

// record is an enablement as the reference shows it, of another unit than asked.
func record(status, link string) string {
	if link != "" {
		link = `"accountLink":{"status":"` + link + `"},`
	}
	return `{"skill":{"stage":"live","id":"other.skill"},"unit":{"id":"other.unit"},` + link + `"status":"` + status + `"}`
}

func TestEveryStatusIsKeptAsItCame(t *testing.T) {
	t.Parallel()
	tests := []struct {
		status, link string
		want         fleet.Status
	}{
		{"ENABLED", "LINKED", fleet.StatusEnabled},
		{"ENABLED", "NOT_LINKED", fleet.StatusEnabled},
		{"ENABLED", "", fleet.StatusEnabled},
		{"ENABLING", "", fleet.StatusEnabling},
		{"ENABLING_FAILED", "", fleet.StatusEnablingFailed},
		{"DISABLED", "", fleet.StatusDisabled},
		{"DISABLING", "", fleet.StatusDisabling},
		{"DISABLING_FAILED", "", fleet.StatusDisablingFailed},
		{"NO_ASSOCIATION", "", fleet.StatusAbsent},
		{"SOMETHING_NEW", "HALF_LINKED", "SOMETHING_NEW"},
		{"enabled", "", "enabled"},
	}
	for _, tt := range tests {
		t.Run(tt.status+" "+tt.link, func(t *testing.T) {
			t.Parallel()
			c := setup(t, always(http.StatusOK, record(tt.status, tt.link)))
			calls := map[string]func() (Result, error){
				"get":     func() (Result, error) { return c.Get(t.Context(), unit, skill, "") },
				"enable":  func() (Result, error) { return c.Enable(t.Context(), EnableParams{UnitID: unit, SkillID: skill}) },
				"disable": func() (Result, error) { return c.Disable(t.Context(), unit, skill, "") },
			}
			for name, call := range calls {
				r, err := call()
				require.NoError(t, err, name)
				require.Equal(t, tt.want, r.Status, name)
				require.Equal(t, fleet.StageLive, r.Stage, name)
				require.Equal(t, fleet.LinkStatus(tt.link), r.AccountLink, name)
				require.Equal(t, "req-1", r.RequestID, name)
				require.Equal(t, fleet.Observation{Status: r.Status, Stage: r.Stage, AccountLink: r.AccountLink, ObservedAt: r.At}, r.Observation())
				require.False(t, r.At.IsZero())
			}
		})
	}
}

// The statuses of the reference, operation by operation, and those that facts 1.4
// expects. A 429, and a 503 to a read, are sent again by remote and never arrive.
func TestEveryHTTPStatusOfTheReference(t *testing.T) {
	t.Parallel()
	const refused = `{"type":"T","message":"m"}`
	tests := []struct {
		op     string
		status int
		body   string
		want   fleet.Status // empty: an error that keeps the status
	}{
		{"get", 200, record("ENABLED", ""), fleet.StatusEnabled},
		{"get", 404, refused, fleet.StatusAbsent},
		{"get", 404, ``, fleet.StatusAbsent},
		{"get", 404, `{"mess`, fleet.StatusAbsent},
		{"get", 400, refused, ""},
		{"get", 401, refused, ""},
		{"get", 403, refused, ""},
		{"get", 500, refused, ""},
		{"enable", 201, record("ENABLING", ""), fleet.StatusEnabling},
		{"enable", 200, record("ENABLED", "LINKED"), fleet.StatusEnabled},
		{"enable", 202, record("ENABLING", ""), fleet.StatusEnabling},
		{"enable", 400, refused, ""},
		{"enable", 401, refused, ""},
		{"enable", 403, refused, ""},
		{"enable", 404, refused, ""},
		{"enable", 409, refused, ""},
		{"enable", 500, refused, ""},
		{"enable", 503, refused, ""},
		{"disable", 204, ``, fleet.StatusAbsent},
		{"disable", 200, ``, fleet.StatusAbsent},
		{"disable", 202, ``, fleet.StatusDisabling},
		{"disable", 202, record("DISABLING", ""), fleet.StatusDisabling},
		{"disable", 400, refused, ""},
		{"disable", 401, refused, ""},
		{"disable", 403, refused, ""},
		{"disable", 404, refused, ""},
		{"disable", 500, refused, ""},
		{"disable", 503, refused, ""},
	}
	for _, tt := range tests {
		t.Run(tt.op+" "+strconv.Itoa(tt.status)+" "+tt.body, func(t *testing.T) {
			t.Parallel()
			c := setup(t, always(tt.status, tt.body))
			var r Result
			var err error
			switch tt.op {
			case "get":
				r, err = c.Get(t.Context(), unit, skill, fleet.StageLive)
			case "enable":
				r, err = c.Enable(t.Context(), EnableParams{UnitID: unit, SkillID: skill})
			case "disable":
				r, err = c.Disable(t.Context(), unit, skill, fleet.StageLive)
			}
			if tt.want == "" {
				e := asRemote(t, err)
				require.Equal(t, tt.status, e.Status)
				require.Equal(t, "req-1", e.RequestID)
				require.Equal(t, tt.op != "get" && tt.status >= 500, e.MaybeSent())
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.want, r.Status)
			require.Equal(t, "req-1", r.RequestID)
		})
	}
}

func TestA404PageIsNotTheAPIsWord(t *testing.T) {
	t.Parallel()
	c := setup(t, always(http.StatusNotFound, "<html>Website Temporarily Unavailable</html>"))
	_, err := c.Get(t.Context(), unit, skill, "")
	e := asRemote(t, err)
	require.Equal(t, 404, e.Status)
	require.True(t, e.Temporary())
	require.False(t, e.MaybeSent())
}

func TestAnAnswerWithoutAStatusIsNoAnswer(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		``, `{}`, `null`, `[]`, `{"skill":{"id":"s","stage":"live"}}`, `{"status":""}`, `{"status":null}`, `{"status":7}`,
		`{"status":"ENABLED","accountLink":"LINKED"}`, `{"status":"EN\u0000ABLED"}`, `{"status":"` + strings.Repeat("X", 65) + `"}`,
		`{"status":"ENABLED","skill":{"stage":"li ve"}}`, `{"status":"ENABLED",}`, `{"status":"ENABLED"`, `<html>`,
	} {
		t.Run(body, func(t *testing.T) {
			t.Parallel()
			c := setup(t, always(http.StatusOK, body))
			_, err := c.Get(t.Context(), unit, skill, "")
			e := asRemote(t, err)
			require.ErrorIs(t, e, remote.ErrUnreadable)
			require.True(t, e.Temporary())
			require.False(t, e.MaybeSent())

			_, err = c.Enable(t.Context(), EnableParams{UnitID: unit, SkillID: skill})
			e = asRemote(t, err)
			require.ErrorIs(t, e, remote.ErrUnreadable)
			require.True(t, e.MaybeSent())
			require.Equal(t, "req-1", e.RequestID)

			if body != "" { // no body is what a disable is documented to answer
				_, err = c.Disable(t.Context(), unit, skill, "")
				require.True(t, asRemote(t, err).MaybeSent())
			}
		})
	}
}

func TestWhatIsSent(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	c := setup(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- strings.TrimSpace(r.Method + " " + r.RequestURI + " " + string(body))
		_, _ = io.WriteString(w, record("ENABLED", ""))
	})
	ctx := t.Context()
	link := linked(AccountLink{RedirectURI: "https://example.com", AuthCode: "3pauthcode"})
	calls := []struct {
		call func() error
		want string
	}{
		{
			func() error { _, err := c.Get(ctx, unit, skill, ""); return err },
			"GET /v1/skills/amzn1.ask.skill.S1/enablements?unitId=amzn1.alexa.unit.did.U1",
		},
		{
			func() error { _, err := c.Get(ctx, "u&1=/?", "a/b c?#%", fleet.StageDevelopment); return err },
			"",
		},
		{
			func() error { _, err := c.Get(ctx, "u&1=/?", "a/b?#%", fleet.StageDevelopment); return err },
			"GET /v1/skills/a%2Fb%3F%23%25/enablements?stage=development&unitId=u%261%3D%2F%3F",
		},
		{
			func() error {
				_, err := c.Enable(ctx, EnableParams{UnitID: unit, SkillID: skill, Stage: fleet.StageLive, Link: link})
				return err
			},
			`POST /v1/skills/amzn1.ask.skill.S1/enablements {"unitId":"amzn1.alexa.unit.did.U1","stage":"live","accountLinkRequest":{"redirectUri":"https://example.com","authCode":"3pauthcode","type":"AUTH_CODE"}}`,
		},
		{
			func() error { _, err := c.Enable(ctx, EnableParams{UnitID: unit, SkillID: skill}); return err },
			`POST /v1/skills/amzn1.ask.skill.S1/enablements {"unitId":"amzn1.alexa.unit.did.U1"}`,
		},
		{
			func() error { _, err := c.Disable(ctx, unit, skill, fleet.StageLive); return err },
			"DELETE /v1/skills/amzn1.ask.skill.S1/enablements?stage=live&unitId=amzn1.alexa.unit.did.U1",
		},
	}
	for _, tt := range calls {
		err := tt.call()
		if tt.want == "" {
			require.Error(t, err)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, tt.want, <-got)
	}
}

func TestIDsThatNoAPIGaveOutAreNotSent(t *testing.T) {
	t.Parallel()
	c := setup(t, func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") })
	ctx := t.Context()
	for _, id := range []string{"", ".", "..", "a b", "a\nb", "a\x00", "\xff", strings.Repeat("x", 256)} {
		calls := map[string]error{}
		_, calls["get unit"] = c.Get(ctx, id, skill, "")
		_, calls["get skill"] = c.Get(ctx, unit, id, "")
		_, calls["enable unit"] = c.Enable(ctx, EnableParams{UnitID: id, SkillID: skill})
		_, calls["enable skill"] = c.Enable(ctx, EnableParams{UnitID: unit, SkillID: id})
		_, calls["disable unit"] = c.Disable(ctx, id, skill, "")
		_, calls["disable skill"] = c.Disable(ctx, unit, id, "")
		_, calls["list unit"] = c.List(ctx, id, ListOpts{})
		for name, err := range calls {
			var e *fleet.Error
			require.ErrorAs(t, err, &e, "%s %q", name, id)
			require.Equal(t, fleet.CodeInvalid, e.Code)
		}
	}
	_, err := c.Enable(ctx, EnableParams{UnitID: unit, SkillID: skill, Link: linked(AccountLink{RedirectURI: "https://x"})})
	require.ErrorContains(t, err, "auth code")
	var e *fleet.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, fleet.CodeInvalid, e.Code)
	broken := errors.New("no code today")
	_, err = c.Enable(ctx, EnableParams{UnitID: unit, SkillID: skill, Link: func(context.Context) (AccountLink, error) { return AccountLink{}, broken }})
	require.ErrorIs(t, err, broken)
	require.False(t, asRemote(t, err).MaybeSent())
}

func linked(link AccountLink) func(context.Context) (AccountLink, error) {
	return func(context.Context) (AccountLink, error) { return link, nil }
}

func TestTheAuthCodeIsNotInWhatComesBack(t *testing.T) {
	t.Parallel()
	c := setup(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, `{"type":"BAD","message":%q}`, "Invalid account linking credentials: "+string(body))
	})
	_, err := c.Enable(t.Context(), EnableParams{UnitID: unit, SkillID: skill, Link: linked(AccountLink{RedirectURI: "https://x", AuthCode: "c4nary-code"})})
	e := asRemote(t, err)
	require.Contains(t, e.Detail, "Invalid account linking credentials")
	require.NotContains(t, fmt.Sprintf("%+v %s", *e, e), "c4nary")
}

func TestTheGateStopsAWrite(t *testing.T) {
	t.Parallel()
	paused := errors.New("paused")
	c := setup(t, func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") })
	ctx := remote.WithGate(t.Context(), func(context.Context) error { return paused })
	_, err := c.Disable(ctx, unit, skill, "")
	require.ErrorIs(t, err, paused)
	require.False(t, asRemote(t, err).MaybeSent())
}
