package simulator_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/fleet"
	"fleetd/internal/simulator"
)

func TestListenIsLoopbackOnly(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "example.com:0", "127.0.0.1", "127.0.0.1:99999"} {
		_, err := simulator.Listen(t.Context(), address)
		require.ErrorContains(t, err, address)
	}
	for _, address := range []string{"127.0.0.1:0", "localhost:0"} {
		ln, err := simulator.Listen(t.Context(), address)
		require.NoError(t, err)
		_, err = simulator.Listen(t.Context(), ln.Addr().String())
		require.ErrorContains(t, err, "choose another port")
		require.NoError(t, ln.Close())
	}
}

func TestServeFinishesWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	sim := simulator.New(simulator.Config{Units: 10, Properties: 1, Latency: 300 * time.Millisecond})
	ln, err := simulator.Listen(t.Context(), "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	served, asked := make(chan error, 1), make(chan int, 1)
	go func() { served <- sim.Serve(ctx, ln) }()
	go func() {
		resp, err := http.PostForm("http://"+ln.Addr().String()+"/auth/o2/token", refreshForm(simulator.DefaultRefreshToken))
		if err != nil {
			asked <- 0
			return
		}
		_ = resp.Body.Close()
		asked <- resp.StatusCode
	}()
	require.Eventually(t, func() bool { return sim.Stats().TokenRefreshes == 1 }, 5*time.Second, time.Millisecond)
	cancel()
	require.Equal(t, http.StatusOK, <-asked)
	require.NoError(t, <-served)
}

func TestServeTellsOfAListenerThatDies(t *testing.T) {
	t.Parallel()
	ln, err := simulator.Listen(t.Context(), "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	require.Error(t, simulator.New(simulator.Config{}).Serve(t.Context(), ln))
}

// TestCutsOnTheWire looks at cut connections as a client sees them.
func TestCutsOnTheWire(t *testing.T) {
	t.Parallel()
	c := start(t, simulator.Config{Units: 100})
	server := httptest.NewServer(c.sim)
	t.Cleanup(server.Close)
	enable := func(unit string) (*http.Response, error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/v1/skills/"+skillID+"/enablements", strings.NewReader(`{"unitId":"`+unit+`"}`))
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+c.token)
		return server.Client().Do(r)
	}
	require.NoError(t, c.sim.SetFaults(simulator.Faults{CutAfter: 1}))
	_, err := enable(c.sim.UnitID(0)) //nolint:bodyclose // there is none
	require.ErrorIs(t, err, io.EOF)
	require.Equal(t, fleet.StatusEnabled, c.sim.State(c.sim.UnitID(0), skillID).Status)

	require.NoError(t, c.sim.SetFaults(simulator.Faults{TruncatedBody: 1}))
	var short, whole int
	for i := range 40 {
		resp, err := enable(c.sim.UnitID(i + 1))
		require.NoError(t, err)
		require.Equal(t, http.StatusCreated, resp.StatusCode)
		if _, err := io.ReadAll(resp.Body); err != nil {
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			short++
		} else {
			whole++
		}
		require.NoError(t, resp.Body.Close())
	}
	require.Positive(t, short)
	require.Positive(t, whole, "a Content-Length that fits half a body")
}
