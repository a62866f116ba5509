package demo

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"fleetd/internal/app"
	"fleetd/internal/fleet"
)

// TestMain lets the test binary be the worker of the demos that it runs.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		if err := serve(os.Args[2:]); err != nil {
			fmt.Fprintf(os.Stderr, "error: %s\n", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// serve is `fleetd serve`, as far as the demo needs it.
func serve(args []string) error {
	cfg := app.Config{Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	f := flag.NewFlagSet("serve", flag.ContinueOnError)
	f.StringVar(&cfg.DatabaseURL, "database-url", "", "")
	f.StringVar(&cfg.DataDir, "data-dir", "", "")
	f.StringVar(&cfg.Listen, "listen", "", "")
	f.DurationVar(&cfg.ShutdownTimeout, "shutdown-timeout", 0, "")
	if err := f.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	a, err := app.Start(ctx, cfg)
	if err != nil {
		return err
	}
	return errors.Join(a.Wait(ctx), a.Stop(context.WithoutCancel(ctx)))
}

// story takes what a demo prints, and looks for a word on the way.
type story struct {
	bytes.Buffer

	word string
	seen func()
}

func (s *story) Write(b []byte) (int, error) {
	n, err := s.Buffer.Write(b)
	if s.word != "" && strings.Contains(s.String(), s.word) {
		s.word = ""
		s.seen()
	}
	return n, err
}

// small is a demo of few homes that ends by itself.
func small(t *testing.T) (Config, *story) {
	t.Helper()
	program, err := os.Executable()
	require.NoError(t, err)
	out := &story{}
	return Config{Homes: 120, Listen: "127.0.0.1:0", ListenGiven: true, Exit: true, Program: []string{program}, Out: out}, out
}

// goneAll checks that neither folder nor workers of a demo are left.
func goneAll(t *testing.T, told string) {
	t.Helper()
	dir := regexp.MustCompile(`private, in (\S+),`).FindStringSubmatch(told)
	require.NotNil(t, dir, told)
	_, err := os.Stat(dir[1])
	require.ErrorIs(t, err, fs.ErrNotExist)
	workers := regexp.MustCompile(`process (\d+)`).FindAllStringSubmatch(told, -1)
	require.NotEmpty(t, workers)
	for _, w := range workers {
		pid, err := strconv.Atoi(w[1])
		require.NoError(t, err)
		require.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH, "worker %d lives", pid)
	}
}

func TestDemo(t *testing.T) {
	t.Parallel()

	t.Run("tells the whole story, and every step holds", func(t *testing.T) {
		t.Parallel()
		cfg, out := small(t)
		require.NoError(t, Run(t.Context(), cfg), "%s", out)
		told := out.String()
		for _, want := range []string{
			`(?m)^1\. Database`, `(?m)^11\. What came of it$`, `fleetctl rollout plan enable --account demo`,
			`allows only 10 requests a second`, `It allows 20 again. Meanwhile \d+ requests? answered 429`,
			`\$ kill -9 \d+`, `Counts: \d+ done \+ \d+ open = 120 of 120\.`, `(?m)^   all +120 +100%$`,
			`held +120 of 120 recorded outcomes agree`, `held +0 times a home was written twice`, `held +kill -9: \d+ homes? taken over`,
			`(?m)^   missing +2 homes of \S+ have lost the skill$`, `--select 'property in \(\S+,\S+\)'`,
			`\d+% changed_outside at \S+ since \d\d:\d\d:\d\d UTC \(\d findings?\)`, `rollout ro-\S+ proved it at .* UTC, changed before`,
			`Plan +disable amzn1.ask.skill.demo-legacy in 1 home, `, `(?m)^   unexpected +desired_changed +1 +1$`,
			`held +40 of 40 homes answered by two audits`, `held +(\d+) of \d+ findings are what there was to find`,
			`held +\d+ of \d+ differences are put right in truth, by 2 rollouts`, `held +the second audit is clean: 0 homes drifted, 0 findings open`,
			`Everything is stopped and removed\.\n$`,
		} {
			require.Regexp(t, want, told)
		}
		require.NotContains(t, told, "FAILED")
		require.NotContains(t, told, "fleet_", "a token is shown only where somebody can use it")
		goneAll(t, told)
	})

	t.Run("interrupted half-way leaves nothing behind", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		cfg, out := small(t)
		out.word, out.seen = "wave 2 of 4", cancel
		err := Run(ctx, cfg)
		require.EqualError(t, err, "the demo was interrupted before its end; everything is stopped and removed")
		goneAll(t, out.String())
	})

	t.Run("stays up until it is told to stop", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		cfg, out := small(t)
		cfg.Exit, cfg.NoKill = false, true
		out.word = "Ctrl-C stops everything"
		out.seen = func() {
			url := regexp.MustCompile(`FLEETCTL_SERVER=(\S+)`).FindStringSubmatch(out.String())
			token := regexp.MustCompile(`FLEETCTL_TOKEN=(\S+)`).FindStringSubmatch(out.String())
			if url == nil || token == nil || !ready(ctx, url[1], token[1]) {
				t.Errorf("fleetd does not answer at %v", url)
			}
			cancel()
		}
		require.NoError(t, Run(ctx, cfg), "%s", out)
		require.Regexp(t, `(?m)^   export FLEETCTL_TOKEN=fleet_\S+$`, out.String())
		require.NotContains(t, out.String(), "kill -9")
		goneAll(t, out.String())
	})
}

func TestDemoThatCannotStart(t *testing.T) {
	t.Parallel()

	t.Run("the worker's error is told, and its log kept", func(t *testing.T) {
		t.Parallel()
		cfg, _ := small(t)
		cfg.Program = []string{"/bin/sh", "-c", "echo 'error: no such thing' >&2; exit 3"}
		err := Run(t.Context(), cfg)
		require.ErrorContains(t, err, "ended by itself: exit status 3: no such thing")
		log := regexp.MustCompile(`log is kept: (\S+)/fleetd\.log`).FindStringSubmatch(err.Error())
		require.NotNil(t, log, err)
		entries, readErr := os.ReadDir(log[1])
		require.NoError(t, readErr)
		require.Len(t, entries, 1)
		require.NoError(t, os.RemoveAll(log[1]))
	})

	t.Run("an address that was asked for and is taken is an error at once", func(t *testing.T) {
		t.Parallel()
		ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer ln.Close()
		cfg, out := small(t)
		cfg.Listen = ln.Addr().String()
		require.ErrorContains(t, Run(t.Context(), cfg), "--listen: cannot listen on "+cfg.Listen)
		require.NotContains(t, out.String(), "Postgres", "nothing was begun")
	})

	for name, cfg := range map[string]Config{
		"too few homes":  {Homes: minHomes - 1, Listen: DefaultListen},
		"too many homes": {Homes: maxHomes + 1, Listen: DefaultListen},
		"no address":     {Homes: DefaultHomes, Listen: "8080"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var known *fleet.Error
			require.ErrorAs(t, Run(t.Context(), cfg), &known)
			require.Equal(t, fleet.CodeInvalid, known.Code)
		})
	}
}

func TestChooseListenTakesAnotherPortWhenNobodyInsists(t *testing.T) {
	t.Parallel()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	var out bytes.Buffer
	d := &demo{cfg: Config{Listen: ln.Addr().String()}, p: newPrinter(&out)}
	require.NoError(t, d.chooseListen(t.Context()))
	require.NotEqual(t, ln.Addr().String(), d.listen)
	require.Contains(t, out.String(), "is taken, so fleetd listens on "+d.listen)
}

// Another fleetd, on the port that was found free, is not taken for ours: its database
// does not know our token, and ours may not even be set up yet.
func TestAnotherFleetdTakesThePort(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer other.Close()
	cfg, out := small(t)
	d := &demo{cfg: cfg, p: newPrinter(out), began: time.Now(), listen: other.Listener.Addr().String()}
	defer func() { require.NoError(t, d.tearDown(context.WithoutCancel(t.Context()), false)) }()
	require.NoError(t, d.buildWorld(t.Context()), "%s", out)
	require.NotEqual(t, other.Listener.Addr().String(), d.listen)
	require.True(t, ready(t.Context(), serverURL(d.listen), d.token))
	require.False(t, ready(t.Context(), other.URL, d.token))
}

func TestServerURL(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]string{
		"127.0.0.1:8080": "http://127.0.0.1:8080",
		"0.0.0.0:8080":   "http://127.0.0.1:8080",
		":8080":          "http://127.0.0.1:8080",
		"[::]:8080":      "http://127.0.0.1:8080",
		"localhost:1":    "http://localhost:1",
	} {
		require.Equal(t, want, serverURL(listen))
	}
}

func TestEnvironmentHoldsNoSettingsOfFleetd(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"PATH=/bin", "FLEETCTL_TOKEN=x"},
		environment([]string{"PATH=/bin", "FLEETD_DATABASE_URL=postgres://prod", "FLEETCTL_TOKEN=x", "FLEETD_LISTEN=:1"}))
}

func TestWorkerStopsByForceWhenItMust(t *testing.T) {
	t.Parallel()
	log, err := os.Create(t.TempDir() + "/log")
	require.NoError(t, err)
	defer log.Close()
	w, err := startWorker([]string{"/bin/sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 1; done"}, log)
	require.NoError(t, err)
	require.Eventually(t, func() bool { b, _ := os.ReadFile(log.Name()); return len(b) > 0 }, 10*time.Second, 5*time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	w.stop(ctx)
	require.True(t, w.ended())
	w.stop(ctx) // once more does no harm
}
