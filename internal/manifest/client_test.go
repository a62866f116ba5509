package manifest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/remote"
)

// calls is one call of each operation.
func calls(ctx context.Context, c *Client) map[string]func() error {
	return map[string]func() error{
		OpCreate: func() error { _, err := c.Create(ctx, vendor, small); return err },
		OpDelete: func() error { _, err := c.Delete(ctx, skill); return err },
		OpGet:    func() error { _, err := c.Get(ctx, skill, StageDevelopment); return err },
		OpUpdate: func() error {
			_, err := c.Update(ctx, UpdateParams{SkillID: skill, Stage: StageDevelopment, Manifest: small, ETag: "t1"})
			return err
		},
		OpStatus: func() error { _, err := c.Status(ctx, skill); return err },
		OpList:   func() error { _, err := c.Page(ctx, PageParams{VendorID: vendor}); return err },
	}
}

// The statuses of the reference, operation by operation, and those that only the
// official clients know (facts 7). A 429, and a 503 to a read, are sent again.
func TestEveryStatusOfTheReference(t *testing.T) {
	t.Parallel()
	good := map[string]reply{
		OpCreate: {status: 202, body: `{"skillId":"` + skill + `"}`},
		OpDelete: {status: 204},
		OpGet:    {status: 200, body: `{"manifest":{"a":1}}`},
		OpUpdate: {status: 202},
		OpStatus: {status: 200, body: status("SUCCEEDED")},
		OpList:   {status: 200, body: `{"skills":[]}`},
	}
	const refused = `{"message":"The property is outside the allowed range.","code":"INVALID_STRING_LENGTH"}`
	type outcome struct {
		is      error  // in the chain
		mend    string // in the text
		inDoubt bool
		again   bool // sent once more, and good then
	}
	tests := map[int]func(op string) outcome{
		400: func(op string) outcome {
			return outcome{mend: map[string]string{OpCreate: "mend the manifest", OpUpdate: "mend the manifest", OpList: "vendor ID"}[op]}
		},
		401: func(string) outcome { return outcome{mend: "fleetctl account check acme"} },
		403: func(string) outcome { return outcome{mend: "alexa::ask:skills:readwrite"} },
		404: func(string) outcome { return outcome{is: ErrNotFound, mend: "check"} },
		409: func(string) outcome { return outcome{is: ErrConflict, mend: "fleetctl skill status"} },
		412: func(string) outcome { return outcome{mend: "read it again"} },
		429: func(string) outcome { return outcome{again: true} },
		500: func(op string) outcome { return outcome{inDoubt: isWrite(op)} },
		503: func(op string) outcome { return outcome{again: !isWrite(op), inDoubt: isWrite(op)} },
	}
	require.ElementsMatch(t, Operations(), keys(good))
	for op, ok := range good {
		t.Run(op+" "+strconv.Itoa(ok.status), func(t *testing.T) {
			t.Parallel()
			c, s := answering(t, ok)
			require.NoError(t, calls(t.Context(), c)[op]())
			require.Len(t, s.sent, 1)
		})
		for code, want := range tests {
			t.Run(op+" "+strconv.Itoa(code), func(t *testing.T) {
				t.Parallel()
				want := want(op)
				c, s := answering(t, reply{status: code, body: refused}, ok)
				if code == http.StatusUnauthorized {
					c, s = answering(t, reply{status: code, body: refused}) // a fresh token is tried, once
				}
				err := calls(t.Context(), c)[op]()
				if want.again {
					require.NoError(t, err)
					require.Len(t, s.sent, 2)
					return
				}
				e := asRemote(t, err)
				require.Equal(t, op, e.Operation)
				require.Equal(t, code, e.Status)
				require.Equal(t, "req-1", e.RequestID)
				require.Equal(t, "INVALID_STRING_LENGTH", e.ErrCode)
				require.Equal(t, "The property is outside the allowed range.", e.Detail)
				require.Equal(t, want.inDoubt, e.MaybeSent())
				if want.is != nil {
					require.ErrorIs(t, err, want.is)
				}
				for _, kind := range []error{ErrNotFound, ErrConflict} {
					require.Equal(t, errors.Is(want.is, kind), errors.Is(err, kind))
				}
				require.ErrorContains(t, err, want.mend)
				var stale *StaleError
				require.Equal(t, op == OpUpdate && code == http.StatusPreconditionFailed, errors.As(err, &stale))
				if stale != nil {
					require.Equal(t, StaleError{SkillID: skill, Stage: StageDevelopment, ETag: "t1", Err: e}, *stale)
				}
			})
		}
		t.Run(op+" 404 in HTML", func(t *testing.T) {
			t.Parallel()
			c, _ := answering(t, reply{status: 404, body: "<html>Website Temporarily Unavailable</html>"})
			err := calls(t.Context(), c)[op]()
			require.NotErrorIs(t, err, ErrNotFound)
			require.True(t, asRemote(t, err).Temporary())
		})
	}
}

// A page comes from something before the API: it does not prove that a write was taken.
func TestAPageProvesNoWrite(t *testing.T) {
	t.Parallel()
	for op, look := range map[string]string{
		OpCreate: "fleetctl skill list --account acme",
		OpUpdate: "fleetctl skill get " + skill + " --stage development --account acme",
		OpDelete: "fleetctl skill list --skill " + skill + " --account acme",
	} {
		for _, code := range []int{200, 202} {
			c, s := answering(t, reply{status: code, body: "<html>Sign in</html>"})
			e := asRemote(t, calls(t.Context(), c)[op]())
			require.ErrorIs(t, e, remote.ErrUnreadable, op)
			require.True(t, e.MaybeSent(), op)
			require.ErrorContains(t, e, "read before writing again, with `"+look+"`")
			require.Len(t, s.sent, 1)
		}
	}
	for _, op := range []string{OpUpdate, OpDelete} {
		for _, body := range []string{"", " ", "{}", `{"x":1}`} {
			c, _ := answering(t, reply{status: 202, body: body})
			require.NoError(t, calls(t.Context(), c)[op](), "%s %q", op, body)
		}
	}
}

func isWrite(op string) bool { return op == OpCreate || op == OpDelete || op == OpUpdate }

func keys[V any](m map[string]V) []string {
	var all []string
	for k := range m {
		all = append(all, k)
	}
	return all
}

func TestWhatIsSent(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	manifest := json.RawMessage(` { "b" : 1e400, "a" : "<&>" } `)
	tests := []struct {
		call   func(c *Client) error
		want   string
		answer reply
		header map[string]string
	}{
		{
			call:   func(c *Client) error { _, err := c.Create(ctx, vendor, manifest); return err },
			answer: reply{status: 202, body: `{"skillId":"s"}`},
			want:   `POST /prefix/v1/skills {"vendorId":"M2VENDOR","manifest":{"b":1e400,"a":"\u003c\u0026\u003e"}}`,
			header: map[string]string{"Content-Type": "application/json", "Authorization": "Bearer Atza|x"},
		},
		{
			call:   func(c *Client) error { _, err := c.Delete(ctx, "a/b?"); return err },
			answer: reply{status: 204},
			want:   `DELETE /prefix/v1/skills/a%2Fb%3F`,
		},
		{
			call:   func(c *Client) error { _, err := c.Get(ctx, skill, StageLive); return err },
			answer: reply{status: 200, body: `{"manifest":{}}`},
			want:   `GET /prefix/v1/skills/amzn1.ask.skill.S1/stages/live/manifest`,
			header: map[string]string{"If-Match": ""},
		},
		{
			call: func(c *Client) error {
				_, err := c.Update(ctx, UpdateParams{SkillID: skill, Stage: StageDevelopment, Manifest: small, ETag: `"t 1"`})
				return err
			},
			answer: reply{status: 202},
			want:   `PUT /prefix/v1/skills/amzn1.ask.skill.S1/stages/development/manifest {"manifest":{"manifestVersion":"1.0"}}`,
			header: map[string]string{"If-Match": `"t 1"`},
		},
		{
			call: func(c *Client) error {
				_, err := c.Update(ctx, UpdateParams{SkillID: skill, Stage: StageDevelopment, Manifest: small})
				return err
			},
			answer: reply{status: 202},
			want:   `PUT /prefix/v1/skills/amzn1.ask.skill.S1/stages/development/manifest {"manifest":{"manifestVersion":"1.0"}}`,
			header: map[string]string{"If-Match": ""},
		},
		{
			call:   func(c *Client) error { _, err := c.Status(ctx, skill); return err },
			answer: reply{status: 200, body: `{}`},
			want:   `GET /prefix/v1/skills/amzn1.ask.skill.S1/status`,
		},
		{
			call: func(c *Client) error {
				_, err := c.Status(ctx, skill, ResourceManifest, ResourceInteractionModel)
				return err
			},
			answer: reply{status: 200, body: `{}`},
			want:   `GET /prefix/v1/skills/amzn1.ask.skill.S1/status?resource=manifest&resource=interactionModel`,
		},
		{
			call: func(c *Client) error {
				_, err := c.Page(ctx, PageParams{VendorID: vendor, Token: "t&1", Size: 3})
				return err
			},
			answer: reply{status: 200, body: `{"skills":[]}`},
			want:   `GET /prefix/v1/skills?maxResults=3&nextToken=t%261&vendorId=M2VENDOR`,
		},
		{
			call:   func(c *Client) error { _, err := c.Find(ctx, vendor, "b", "a", "b"); return err },
			answer: reply{status: 200, body: `{"skills":[]}`},
			want:   `GET /prefix/v1/skills?skillId=b&skillId=a&vendorId=M2VENDOR`,
		},
	}
	for _, tt := range tests {
		c, s := answering(t, tt.answer)
		require.NoError(t, tt.call(c), tt.want)
		require.Equal(t, []string{tt.want}, s.sent)
		for name, value := range tt.header {
			require.Equal(t, value, s.header[0].Get(name), name)
		}
	}
}

func TestWhatIsAnswered(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	location := map[string]string{"Location": "/v1/skills/s/status?resource=manifest", "ETag": "t1"}
	c, _ := answering(t, reply{status: 202, body: `{"skillId":"s"}`, header: location})
	created, err := c.Create(ctx, vendor, small)
	require.NoError(t, err)
	require.Equal(t, Created{SkillID: "s", Location: location["Location"], RequestID: "req-1"}, created)

	accepted, err := c.Update(ctx, UpdateParams{SkillID: skill, Stage: StageLive, Manifest: small})
	require.NoError(t, err)
	require.Equal(t, Accepted{Location: location["Location"], RequestID: "req-1"}, accepted)

	// The entity tag comes in the header of that name, or, by the reference, in If-Match.
	const inner = `{"b":1e400, "a":"<"}`
	for _, name := range []string{"ETag", "If-Match"} {
		c, _ = answering(t, reply{status: 200, body: `{"manifest": ` + inner + ` }`, header: map[string]string{name: "t1"}})
		m, err := c.Get(ctx, skill, StageLive)
		require.NoError(t, err)
		require.True(t, bytes.Equal([]byte(inner), m.Body), "as it came")
		require.Equal(t, "t1", m.ETag)
		require.Equal(t, "req-1", m.RequestID)
	}

	c, _ = answering(t, reply{status: 204})
	id, err := c.Delete(ctx, skill)
	require.NoError(t, err)
	require.Equal(t, "req-1", id)
}

func TestAManifestThatIsNotReady(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		location, state, asked, want string
		temporary                    bool
	}{
		"its way is followed": {
			location: "/v1/skills/" + skill + "/status?resource=interactionModel&resource=manifest&resource=new", state: "IN_PROGRESS",
			asked: "resource=interactionModel&resource=manifest", want: "is IN_PROGRESS", temporary: true,
		},
		"under the prefix": {location: "/prefix/v1/skills/" + skill + "/status", state: "FAILED", asked: "resource=manifest", want: "FAILED: no icon (E)"},
		"elsewhere":        {location: "https://evil.example/status", state: "NEW", asked: "resource=manifest", want: "is NEW", temporary: true},
		"of another skill": {location: "/v1/skills/x/status?resource=interactionModel", state: "SUCCEEDED", asked: "resource=manifest", want: "is SUCCEEDED", temporary: true},
		"nowhere":          {state: "IN_PROGRESS", asked: "resource=manifest", want: "is IN_PROGRESS", temporary: true},
		"nonsense":         {location: "http://[::1", state: "IN_PROGRESS", asked: "resource=manifest", want: "is IN_PROGRESS", temporary: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, s := answering(t, reply{status: 303, header: map[string]string{"Location": tt.location}}, reply{status: 200, body: status(tt.state)})
			_, err := c.Get(t.Context(), skill, StageDevelopment)
			var e *NotReadyError
			require.ErrorAs(t, err, &e)
			require.ErrorContains(t, err, tt.want)
			require.Equal(t, tt.temporary, e.Temporary())
			require.Equal(t, State(tt.state), e.Status.Manifest.Update.State)
			require.Equal(t, "GET /prefix/v1/skills/"+skill+"/status?"+tt.asked, s.sent[1])
		})
	}
	c, _ := answering(t, reply{status: 303}, reply{status: 404, body: `{}`})
	_, err := c.Get(t.Context(), skill, StageDevelopment)
	require.ErrorIs(t, err, ErrNotFound)
	c, _ = answering(t, reply{status: 303}, reply{status: 200, body: `{}`})
	_, err = c.Get(t.Context(), skill, StageDevelopment)
	require.ErrorContains(t, err, "not known")
}

func TestWhatIsNotSent(t *testing.T) {
	t.Parallel()
	c := over(t, func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") })
	ctx := t.Context()
	tests := map[string][]func() error{}
	for _, id := range []string{"", "..", "a b", strings.Repeat("x", 256)} {
		tests["vendor_id"] = append(tests["vendor_id"],
			func() error { _, err := c.Create(ctx, id, small); return err },
			func() error { _, err := c.List(ctx, id); return err },
			func() error { _, err := c.Page(ctx, PageParams{VendorID: id}); return err },
			func() error { _, err := c.Find(ctx, id, skill); return err })
		tests["skill_id"] = append(tests["skill_id"],
			func() error { _, err := c.Delete(ctx, id); return err },
			func() error { _, err := c.Get(ctx, id, StageLive); return err },
			func() error {
				_, err := c.Update(ctx, UpdateParams{SkillID: id, Stage: StageLive, Manifest: small})
				return err
			},
			func() error { _, err := c.Status(ctx, id); return err },
			func() error { _, err := c.Find(ctx, vendor, id); return err },
			func() error { _, err := c.Follow(ctx, FollowParams{SkillID: id}); return err })
		tests["stage"] = append(tests["stage"], func() error { _, err := c.Get(ctx, skill, Stage(id)); return err })
	}
	for _, m := range []string{``, `null`, `[]`, `"x"`, `{}`, `{"a":1`, `{"manifest":{"a":1}}`, `7`} {
		tests["manifest"] = append(tests["manifest"],
			func() error { _, err := c.Create(ctx, vendor, json.RawMessage(m)); return err },
			func() error {
				_, err := c.Update(ctx, UpdateParams{SkillID: skill, Stage: StageLive, Manifest: json.RawMessage(m)})
				return err
			})
	}
	for _, size := range []int{-1, 51} {
		tests["page_size"] = append(tests["page_size"], func() error { _, err := c.Page(ctx, PageParams{VendorID: vendor, Size: size}); return err })
	}
	tests["resource"] = []func() error{func() error { _, err := c.Status(ctx, skill, "model"); return err }}
	tests["etag"] = []func() error{func() error {
		_, err := c.Update(ctx, UpdateParams{SkillID: skill, Stage: StageLive, Manifest: small, ETag: "a\r\nX: y"})
		return err
	}}
	for field, calls := range tests {
		for _, call := range calls {
			var e *fleet.Error
			require.ErrorAs(t, call(), &e, field)
			require.Equal(t, fleet.CodeInvalid, e.Code)
			require.Equal(t, field, e.Field)
		}
	}
	none, err := c.Find(ctx, vendor)
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestAnAnswerWithoutWhatItIsForIsNoAnswer(t *testing.T) {
	t.Parallel()
	tests := map[string][]string{
		OpCreate: {``, `{}`, `null`, `{"skillId":""}`, `{"skillId":7}`, `{"skillId":"a b"}`},
		OpGet:    {``, `{}`, `null`, `{"manifest":null}`, `{"manifest":[]}`, `{"manifest":"x"}`, `{"manifest":{}`},
		OpStatus: {
			``, `null`, `[]`, `{"manifest":[]}`, `{"manifest":{}}`, `{"manifest":{"lastUpdateRequest":{}}}`, `{"manifest":{"lastUpdateRequest":{"status":"A B"}}}`,
			`{"manifest":{"lastUpdateRequest":{"status":"` + strings.Repeat("X", 65) + `"}}}`, `{"interactionModel":{"en-US":null}}`,
			`{"manifest":{"eTag":""}}`, `{"hostedSkillDeployment":{"lastUpdateRequest":{"status":"A B"}}}`, `{"manifest":{"lastUpdateRequest":{"status":7}}}`,
		},
		OpList: {
			``, `{}`, `null`, `{"skills":null}`, `{"skills":[{}]}`, `{"skills":[null]}`, `{"skills":[{"skillId":"a b"}]}`,
			`{"skills":[{"skillId":"a","stage":"li ve"}]}`, `{"skills":[{"skillId":"a","publicationStatus":"` + strings.Repeat("X", 65) + `"}]}`, `<html>`,
		},
	}
	for op, bodies := range tests {
		for _, body := range bodies {
			c, _ := answering(t, reply{status: 200, body: body})
			err := calls(t.Context(), c)[op]()
			require.ErrorIs(t, err, remote.ErrUnreadable, "%s %s", op, body)
			require.Equal(t, isWrite(op), asRemote(t, err).MaybeSent())
		}
	}
}
