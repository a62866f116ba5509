package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vbauerster/mpb/v8"

	"fleetd/internal/client"
)

func TestWatchToTheEnd(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		looks []string
		code  int
		want  string
	}{
		"succeeded":  {[]string{"rollout_scheduled", "rollout", "rollout_waiting", "rollout", "rollout_succeeded"}, exitDone, ""},
		"paused":     {[]string{"rollout_paused", "rollout", "rollout_succeeded"}, exitDone, ""},
		"failures":   {[]string{"rollout", "rollout_failed"}, exitShort, "error: rollout r7k2 completed with 10 failures"},
		"canceled":   {[]string{"rollout", "rollout_draining", "rollout_canceled"}, exitShort, "error: rollout r7k2 was canceled"},
		"halted":     {[]string{"rollout", "rollout_halted"}, exitShort, "error: rollout r7k2 halted: 101 failures, 100 allowed"},
		"over by it": {[]string{"rollout_succeeded"}, exitDone, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			looks := make([]reply, len(tt.looks))
			for i, l := range tt.looks {
				looks[i] = ok(t, l)
			}
			f := newFake(t, map[string][]reply{"GET /rollouts/r7k2": looks, "GET /accounts/acme": {ok(t, "account")}})
			c := newConsole(t, f)
			require.Equal(t, tt.code, c.do(t, "rollout", "watch", "r7k2", "-o", "json"), c.err)
			require.Equal(t, ok(t, tt.looks[len(tt.looks)-1]).body, c.out.String(), "the final state goes to stdout")
			require.Contains(t, c.err.String(), tt.want)
			require.Equal(t, len(tt.looks), f.count(http.MethodGet, "/rollouts/r7k2"), "a settled rollout is not looked at again")
			if len(tt.looks) > 1 {
				golden(t, "watch_"+strings.ReplaceAll(name, " ", "_")+".lines", c.err.String())
			}
		})
	}
}

func look(r client.Rollout) watched { return rolloutLook{&client.Response[client.Rollout]{Value: r}} }

func TestWatchPrintsTheRolloutForPeople(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"GET /rollouts/r7k2": {ok(t, "rollout_failed")}})
	stdout, _ := fleetctl(t, f, exitShort, "rollout", "watch", "r7k2")
	require.Contains(t, stdout, "fleetctl rollout retry r7k2")
}

func TestCreateAndWatch(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{
		"POST /rollouts": {ok(t, "rollout_scheduled")}, "GET /rollouts/r7k2": {ok(t, "rollout"), ok(t, "rollout_failed")},
	})
	stdout, stderr := fleetctl(t, f, exitShort, createArgs("--yes", "--watch", "-o", "json")...)
	require.Equal(t, ok(t, "rollout_failed").body, stdout)
	require.Contains(t, stderr, "rollout r7k2 created\n")
}

// counts that move print a line in a while only; a state that changes prints at once.
func TestWatchLinesAreFew(t *testing.T) {
	t.Parallel()
	c := newConsole(t, nil)
	d := &lineDisplay{p: c.program}
	var r client.Rollout
	require.NoError(t, json.Unmarshal([]byte(ok(t, "rollout").body), &r))
	for i := range 100 {
		r.Counts.Succeeded++
		r.Counts.Pending--
		d.show(sight{watched: look(r), now: noon.Add(time.Duration(i) * time.Second)})
	}
	require.Equal(t, 10, strings.Count(c.err.String(), "\n"))
	r.State = "paused"
	d.show(sight{watched: look(r), now: noon.Add(100 * time.Second)})
	d.show(sight{watched: look(r), now: noon.Add(200 * time.Second)})
	require.Equal(t, 11, strings.Count(c.err.String(), "\n"))
}

func TestWatchTimesOut(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"GET /rollouts/r7k2": {ok(t, "rollout")}})
	stdout, stderr := fleetctl(t, f, exitRunning, "rollout", "watch", "r7k2", "--timeout", "50ms", "-o", "json")
	require.Equal(t, ok(t, "rollout").body, stdout)
	require.Contains(t, stderr, "error: the timeout of 50ms passed and rollout r7k2 goes on: it is running, 39.5% of its homes have an outcome")

	f.srv.Close()
	_, stderr = fleetctl(t, f, exitRunning, "rollout", "watch", "r7k2", "--timeout", "50ms")
	require.Contains(t, stderr, "its state is not known: fleetd did not answer")
}

func TestWatchDetaches(t *testing.T) {
	t.Parallel()
	looked := make(chan struct{}, 100)
	running := ok(t, "rollout")
	f := newFake(t, nil)
	f.routes = map[string][]reply{"GET /rollouts/r7k2": {{next: func(w http.ResponseWriter, _ *http.Request) {
		f.write(w, running)
		looked <- struct{}{}
	}}}}
	c := newConsole(t, f)
	interrupt, wait := c.background(t, "rollout", "watch", "r7k2")
	<-looked
	<-looked
	interrupt()
	require.Equal(t, exitDone, wait(), c.err)
	require.Contains(t, c.err.String(), "Stopped watching; rollout r7k2 goes on. Watch it again: fleetctl rollout watch r7k2")
	require.Empty(t, c.out.String())
}

// A server that restarts is waited for, and said to be away once.
func TestWatchSurvivesARestart(t *testing.T) {
	t.Parallel()
	lost := reply{next: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }}
	stopping := problem(http.StatusServiceUnavailable, `{"title":"x","detail":"fleetd is stopping"}`)
	proxy := reply{next: func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "bad gateway", http.StatusBadGateway) }}
	f := newFake(t, map[string][]reply{
		"GET /rollouts/r7k2": {ok(t, "rollout"), lost, stopping, proxy, lost, ok(t, "rollout"), stopping, ok(t, "rollout_succeeded")},
	})
	_, stderr := fleetctl(t, f, exitDone, "rollout", "watch", "r7k2")
	require.Equal(t, 2, strings.Count(stderr, "trying again until it answers"), stderr)
	require.Equal(t, 2, strings.Count(stderr, "fleetd answers again"), stderr)
}

// What will not get better by waiting ends the watch.
func TestWatchEndsOnErrors(t *testing.T) {
	t.Parallel()
	f := newFake(t, map[string][]reply{"GET /rollouts/r7k2": {ok(t, "rollout"), problem(http.StatusNotFound, `{"title":"x","detail":"there is no rollout r7k2"}`)}})
	_, stderr := fleetctl(t, f, exitError, "rollout", "watch", "r7k2")
	require.Contains(t, stderr, "error: there is no rollout r7k2")
	_, stderr = fleetctl(t, f, exitDenied, "rollout", "watch", "r7k2", "--token", "bad")
	require.Contains(t, stderr, "this token is not known")
}

// A server that takes calls and never answers them is as good as away.
func TestWatchOfAServerThatHangs(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	f := newFake(t, nil)
	f.routes = map[string][]reply{"GET /rollouts/r7k2": {{next: func(_ http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		<-r.Context().Done()
	}}}}
	_, stderr := fleetctl(t, f, exitRunning, "rollout", "watch", "r7k2", "--timeout", "30ms")
	require.Contains(t, stderr, "goes on: its state is not known")
	require.EqualValues(t, 1, calls.Load())
}

func TestSpeedometer(t *testing.T) {
	t.Parallel()
	var s speedometer
	look := func(second int, ended, requests int64) {
		s.add(noon.Add(time.Duration(second)*time.Second), look(client.Rollout{Counts: client.Counts{Succeeded: ended}, Requests: requests}))
	}
	look(0, 0, 0)
	targets, sent := s.rates()
	require.Zero(t, targets+sent)
	for i := range 60 {
		look(i, int64(i)*10, int64(i)*20)
	}
	targets, sent = s.rates()
	require.InDelta(t, 10, targets, 0.001)
	require.InDelta(t, 20, sent, 0.001)
	require.Less(t, len(s.looks), 20, "old looks are forgotten")
	look(61, 0, 1300)
	targets, _ = s.rates()
	require.Zero(t, targets, "a retry is not a speed")
}

// The live bar shows the numbers, the line under it the rest, and notes go above.
func TestBarDisplay(t *testing.T) {
	t.Parallel()
	c := newConsole(t, nil)
	c.env["NO_COLOR"] = "1"
	d := newBarDisplay(c.program, mpb.WithOutput(c.err), mpb.WithAutoRefresh(), mpb.WithWidth(140))
	d.note("before the bar")
	var r client.Rollout
	require.NoError(t, json.Unmarshal([]byte(ok(t, "rollout_waiting").body), &r))
	blocked := noon.Add(20 * time.Second)
	d.show(sight{watched: look(r), now: noon, targets: 46.04, sent: 47.2, budget: client.AccountBudget{Rate: 50, BlockedUntil: &blocked}})
	require.Eventually(t, func() bool { return strings.Contains(c.err.String(), "soaking") }, 10*time.Second, 5*time.Millisecond)
	d.note("fleetd does not answer")
	d.close()
	text := c.err.String()
	require.Contains(t, text, "before the bar\n")
	require.Contains(t, text, "2,000/5,000  [###############...")
	require.Contains(t, text, "40%  46/s  ETA 16m")
	require.Contains(t, text, "waiting  wave 2/4, 3 of 100 failures, 47.2/s requests, budget 50/s, refused (429), sends again in 20s: soaking until 12:10 UTC")
	require.Contains(t, text, "fleetd does not answer")
}

// A display that never saw anything closes as well.
func TestBarDisplayWithoutALook(t *testing.T) {
	t.Parallel()
	c := newConsole(t, nil)
	d := newBarDisplay(c.program, mpb.WithOutput(c.err), mpb.WithAutoRefresh())
	d.close()
	require.Empty(t, c.err.String())
}
