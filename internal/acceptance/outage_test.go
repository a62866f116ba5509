package acceptance_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/client"
	"fleetd/internal/fleet"
	"fleetd/internal/postgres/pgtest"
	"fleetd/internal/simulator"
)

// gateway is the network between fleetd and its database.
type gateway struct {
	network, address string // of the database

	mu      sync.Mutex
	cut     bool
	stalled chan struct{} // closed: bytes pass
	conns   map[net.Conn]bool
}

// newGateway puts a gateway before a database and returns the URL to use instead.
func newGateway(t *testing.T, database string) (*gateway, string) {
	t.Helper()
	u, err := url.Parse(database)
	require.NoError(t, err)
	g := &gateway{network: "tcp", address: u.Host, stalled: make(chan struct{}), conns: map[net.Conn]bool{}}
	close(g.stalled)
	q := u.Query()
	if dir := q.Get("host"); dir != "" {
		g.network, g.address = "unix", dir+"/.s.PGSQL."+q.Get("port")
	}
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	go g.accept(ln)
	q.Del("host")
	q.Del("port")
	u.Host, u.RawQuery = ln.Addr().String(), q.Encode()
	return g, u.String()
}

func (g *gateway) accept(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		go g.pass(conn)
	}
}

func (g *gateway) pass(near net.Conn) {
	g.mu.Lock()
	if g.cut {
		g.mu.Unlock()
		_ = near.Close()
		return
	}
	far, err := new(net.Dialer).DialContext(context.Background(), g.network, g.address)
	if err != nil {
		g.mu.Unlock()
		_ = near.Close()
		return
	}
	g.conns[near], g.conns[far] = true, true
	g.mu.Unlock()
	var done sync.WaitGroup
	done.Go(func() { g.copy(far, near) })
	done.Go(func() { g.copy(near, far) })
	done.Wait()
	g.mu.Lock()
	delete(g.conns, near)
	delete(g.conns, far)
	g.mu.Unlock()
}

// copy passes bytes on, for as long as they pass.
func (g *gateway) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		g.mu.Lock()
		stalled := g.stalled
		g.mu.Unlock()
		<-stalled
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// setCut takes the database away: connections break and new ones are refused.
func (g *gateway) setCut(cut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cut = cut
	for conn := range g.conns {
		if cut {
			_ = conn.Close()
		}
	}
}

// setStalled lets no byte pass, and says nothing: a network that swallows.
func (g *gateway) setStalled(stalled bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if stalled {
		g.stalled = make(chan struct{})
	} else {
		close(g.stalled)
	}
}

// readyStatus is what a fleetd answers to whoever asks whether it is ready.
func (f *fleetd) readyStatus(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url+"/readyz", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, errors.Join(err, resp.Body.Close())
}

// TestDatabaseAway takes the database from one of two fleetds, and from a lone one,
// for some seconds in the middle of a rollout.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		take   func(g *gateway, away bool)
		beside bool // another fleetd goes on meanwhile
	}{
		{"refused", (*gateway).setCut, false},
		{"swallowed", (*gateway).setStalled, false},
		{"swallowed for one of two", (*gateway).setStalled, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			homes := size(400, 1500)
			direct := pgtest.New(t)
			w := newWorldOn(t, simulator.Config{Units: homes, Latency: 100 * time.Millisecond, Seed: 41}, direct)
			w.expectErrors = true
			g, through := newGateway(t, direct)
			w.database = through
			cutOff := w.serve()
			w.settle("50")
			if c.beside {
				w.database = direct
				w.serve() // is the one that is looked at from here on
			}
			id := w.create("enable", "acme", skillMain, "--observation-max-age", "any")
			w.await(id, time.Minute, "it is at work", func(r client.Rollout) bool { return ended(r) > 50 })

			c.take(g, true)
			taken := time.Now()
			status := 0
			eventually(t, 20*time.Second, "fleetd says that it is not ready", func() bool {
				var err error
				status, err = cutOff.readyStatus(t.Context())
				return err == nil && status != http.StatusOK
			})
			require.Equal(t, http.StatusServiceUnavailable, status)
			away := time.NewTimer(time.Until(taken.Add(4 * time.Second)))
			<-away.C
			if !c.beside {
				require.Empty(t, w.writesAfter(skillMain, taken.Add(1500*time.Millisecond)), "no database, no write")
			}
			c.take(g, false)

			require.False(t, cutOff.ended())
			eventually(t, 30*time.Second, "fleetd is ready again", func() bool {
				status, err := cutOff.readyStatus(t.Context())
				return err == nil && status == http.StatusOK
			})
			// A job whose end could not be written down is taken for stuck a minute later.
			r := w.awaitEnd(id, 3*time.Minute)
			require.EqualValues(t, fleet.RolloutSucceeded, r.State)
			stats := w.sim.Stats()
			require.Zero(t, stats.DoubleWrites)
			require.Equal(t, 1, stats.MaxWrites)
			require.LessOrEqual(t, stats.MaxRequestsIn1s, 55)
			w.requireTruth(id)
		})
	}
}
