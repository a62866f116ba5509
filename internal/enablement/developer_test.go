package enablement

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/remote"
)

// operations are the developer's three; the answer of a write stands as true.
func operations(d *Developer) map[string]func(ctx context.Context) (bool, error) {
	return map[string]func(ctx context.Context) (bool, error){
		OpEnable:  func(ctx context.Context) (bool, error) { return true, d.Enable(ctx, skill, fleet.StageLive) },
		OpDisable: func(ctx context.Context) (bool, error) { return true, d.Disable(ctx, skill, fleet.StageLive) },
		OpStatus:  func(ctx context.Context) (bool, error) { return d.Status(ctx, skill, fleet.StageLive) },
	}
}

// Every status of the reference for each of the three operations, which have the same
// list, and 409, which SMAPI's own description adds (facts 7).
func TestDeveloperEveryStatusOfTheReference(t *testing.T) {
	t.Parallel()
	const refused = `{"message":"Incorrect endpoint for customer.","code":"incorrectEndpoint"}`
	tests := []struct {
		status    int
		body      string
		ok        bool // of a write; of a status: enabled
		temporary bool
		inDoubt   bool // of a write
		says      string
	}{
		{status: 204, ok: true},
		{status: 200, ok: true},
		{status: 200, body: `{}`, ok: true},
		{status: 400, body: refused, says: "code incorrectEndpoint, request ID req-1); check the skill ID and the stage"},
		{status: 401, body: refused, says: "fleetctl account check acme"},
		{status: 403, body: refused, says: "alexa::ask:skills:readwrite"},
		{status: 404, body: refused, says: "there is no such skill"},
		{status: 409, body: refused, says: "another change of the skill is under way"},
		{status: 429, body: refused, temporary: true, says: "429"},
		{status: 500, body: refused, temporary: true, inDoubt: true, says: "500"},
		{status: 503, body: refused, temporary: true, inDoubt: true, says: "503"},
	}
	for _, tt := range tests {
		for name := range operations(nil) {
			t.Run(name+" "+strconv.Itoa(tt.status)+" "+tt.body, func(t *testing.T) {
				t.Parallel()
				n := &network{serves: map[string]http.HandlerFunc{home: always(tt.status, tt.body)}}
				if tt.status == 429 || tt.status == 503 {
					n.slots = 1 // else a refusal is sent again until the caller gives up
				}
				got, err := operations(developer(t, n))[name](t.Context())
				if tt.ok || name == OpStatus && tt.status == 404 {
					require.NoError(t, err)
					require.Equal(t, tt.ok, got)
					return
				}
				e := asRemote(t, err)
				require.Equal(t, name, e.Operation)
				require.Equal(t, tt.status, e.Status)
				require.Equal(t, "req-1", e.RequestID)
				require.Equal(t, "incorrectEndpoint", e.ErrCode)
				require.Equal(t, tt.temporary, e.Temporary())
				require.Equal(t, tt.inDoubt && name != OpStatus, e.MaybeSent())
				require.Contains(t, e.Error(), tt.says)
				require.NotContains(t, e.Error(), "Incorrect endpoint for customer")
			})
		}
	}
}

// No other good status proves anything: 202 least of all, which says that it is yet to be done.
func TestDeveloperTakesNoOtherGoodStatusForDone(t *testing.T) {
	t.Parallel()
	for _, status := range []int{201, 202, 203, 205, 206, 299} {
		for name := range operations(nil) {
			t.Run(name+" "+strconv.Itoa(status), func(t *testing.T) {
				t.Parallel()
				n := &network{serves: map[string]http.HandlerFunc{home: always(status, "")}}
				done, err := operations(developer(t, n))[name](t.Context())
				e := asRemote(t, err)
				require.False(t, name == OpStatus && done)
				require.ErrorIs(t, e, remote.ErrUnreadable)
				require.Equal(t, status, e.Status)
				require.Equal(t, "req-1", e.RequestID)
				require.True(t, e.Temporary())
				require.Equal(t, name != OpStatus, e.MaybeSent())
				if name != OpStatus {
					require.Contains(t, e.Error(), "fleetctl skill enablement "+skill+" --stage live")
				}
				require.Len(t, n.log(), 1)
			})
		}
	}
}

func TestDeveloperWhatIsSent(t *testing.T) {
	t.Parallel()
	n := &network{serves: map[string]http.HandlerFunc{home: always(204, "")}}
	d := developer(t, n)
	require.NoError(t, d.Enable(t.Context(), skill, fleet.StageDevelopment))
	require.NoError(t, d.Disable(t.Context(), "a/b?#%", fleet.StageLive))
	enabled, err := d.Status(t.Context(), skill, fleet.StageLive)
	require.NoError(t, err)
	require.True(t, enabled)
	require.Equal(t, []string{
		"PUT " + home + " /v1/skills/amzn1.ask.skill.S1/stages/development/enablement",
		"DELETE " + home + " /v1/skills/a%2Fb%3F%23%25/stages/live/enablement",
		"GET " + home + " /v1/skills/amzn1.ask.skill.S1/stages/live/enablement",
	}, n.log())
	require.Equal(t, []string{"", "", ""}, n.bodies)
}

func TestDeveloperTakesNoPageForAnAnswer(t *testing.T) {
	t.Parallel()
	const page = "<html>Website Temporarily Unavailable</html>"
	for _, status := range []int{200, 404} {
		n := &network{serves: map[string]http.HandlerFunc{home: always(status, page)}}
		_, err := developer(t, n).Status(t.Context(), skill, fleet.StageLive)
		e := asRemote(t, err)
		require.ErrorIs(t, e, remote.ErrUnreadable)
		require.True(t, e.Temporary())
	}
	n := &network{serves: map[string]http.HandlerFunc{home: always(200, page)}}
	require.True(t, asRemote(t, developer(t, n).Enable(t.Context(), skill, fleet.StageLive)).MaybeSent())
}

func TestDeveloperSendsNothingThatCannotBe(t *testing.T) {
	t.Parallel()
	n := &network{}
	d := developer(t, n)
	for _, id := range []string{"", "..", "a b", "a\x00", strings.Repeat("x", 256)} {
		require.Equal(t, "skill_id", field(t, d.Enable(t.Context(), id, fleet.StageLive)))
	}
	for _, stage := range []fleet.Stage{"", fleet.StageCertification, "LIVE", "live/../x"} {
		require.Equal(t, "stage", field(t, d.Disable(t.Context(), skill, stage)))
		_, err := d.Status(t.Context(), skill, stage)
		require.Equal(t, "stage", field(t, err))
	}
	require.Empty(t, n.log())
}

// field is the field that an invalid input names.
func field(t *testing.T, err error) string {
	t.Helper()
	var e *fleet.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, fleet.CodeInvalid, e.Code)
	return e.Field
}
