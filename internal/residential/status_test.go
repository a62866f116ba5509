package residential

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/remote"
)

// scarce is a budget of one slot, and one more after a 401: refusals that would be
// sent again come back to the caller.
type scarce struct{ taken atomic.Int32 }

var errNoSlot = errors.New("no more slots")

func (s *scarce) Take(ctx context.Context, _ remote.Class) (remote.Slot, error) {
	if s.taken.Add(1) > 2 {
		return remote.Slot{}, errNoSlot
	}
	return remote.Slot{}, ctx.Err()
}
func (*scarce) Done(context.Context, remote.Slot, remote.Answer) {}

// Every operation of the reference with every status that it documents for it.
func TestEveryOperationAndStatusOfTheReference(t *testing.T) {
	t.Parallel()
	bad := []int{400, 401, 403, 404, 429, 500, 503}
	tests := map[string]struct {
		good     int
		body     string
		statuses []int
		call     func(ctx context.Context, c *Client) (fleet.Status, error)
		want     fleet.Status
	}{
		OpGet: {200, record("ENABLED", "LINKED"), bad, func(ctx context.Context, c *Client) (fleet.Status, error) {
			r, err := c.Get(ctx, unit, skill, fleet.StageLive)
			return r.Status, err
		}, fleet.StatusEnabled},
		OpList: {200, `{"items":[` + record("ENABLED", "") + `]}`, slices.DeleteFunc(slices.Clone(bad), func(s int) bool { return s == 404 }), func(ctx context.Context, c *Client) (fleet.Status, error) {
			l, err := c.List(ctx, unit, ListOpts{})
			if err != nil {
				return "", err
			}
			return l.Items[0].Status, nil
		}, fleet.StatusEnabled},
		OpEnable: {201, record("ENABLING", ""), bad, func(ctx context.Context, c *Client) (fleet.Status, error) {
			r, err := c.Enable(ctx, EnableParams{UnitID: unit, SkillID: skill, Stage: fleet.StageLive})
			return r.Status, err
		}, fleet.StatusEnabling},
		OpDisable: {204, "", bad, func(ctx context.Context, c *Client) (fleet.Status, error) {
			r, err := c.Disable(ctx, unit, skill, fleet.StageLive)
			return r.Status, err
		}, fleet.StatusAbsent},
	}
	for op, tt := range tests {
		for _, status := range append([]int{tt.good}, tt.statuses...) {
			t.Run(op+" "+strconv.Itoa(status), func(t *testing.T) {
				t.Parallel()
				body := tt.body
				if status != tt.good {
					body = `{"type":"T","message":"m"}`
				}
				srv := httptest.NewServer(always(status, body))
				t.Cleanup(srv.Close)
				base := remote.NewTransport(4)
				t.Cleanup(base.CloseIdleConnections)
				c, err := remote.NewClient(remote.Config{
					Account: "acme", BaseURL: srv.URL, Tokens: fixedToken{}, Limiter: &scarce{}, Base: base, Timeout: 5 * time.Second,
				})
				require.NoError(t, err)
				got, err := tt.call(t.Context(), New(c))
				switch {
				case status == tt.good:
					require.NoError(t, err)
					require.Equal(t, tt.want, got)
				case op == OpGet && status == http.StatusNotFound:
					require.NoError(t, err)
					require.Equal(t, fleet.StatusAbsent, got)
				default:
					e := asRemote(t, err)
					require.Equal(t, op, e.Operation)
					require.Equal(t, status, e.Status)
					require.Equal(t, status >= 500 && (op == OpEnable || op == OpDisable), e.MaybeSent())
					require.Equal(t, status == 429 || status == 503, e.Throttled())
				}
			})
		}
	}
}
