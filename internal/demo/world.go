package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"fleetd/internal/app"
	"fleetd/internal/client"
	"fleetd/internal/fleet"
	"fleetd/internal/postgres"
	"fleetd/internal/simulator"
	"fleetd/internal/store"
)

// readyTimeout bounds the start of a worker on a machine that is busy.
const readyTimeout = 60 * time.Second

// seed decides which homes fail and how. A test shows that with this one the
// failures stay within the guardrail for any number of homes.
const seed = 7

// properties is how many properties the homes are in.
const properties = 12

// world is the API that the demo meets: a true limit, and every kind of fault that
// a rollout must come through.
func world(homes int) simulator.Config {
	return simulator.Config{
		Units: homes, Properties: properties, Occupied: homes / 50,
		RPS: trueRate(homes), Burst: trueBurst, RetryAfter: simulator.RetryAfterSeconds,
		LinkingSkills: []string{skill}, DelegatedLinking: true,
		Latency: 20 * time.Millisecond, TokenTTL: 30 * time.Second, Seed: seed,
		Faults: simulator.Faults{
			Jitter:      20 * time.Millisecond,
			ErrorBefore: 0.01, CutBefore: 0.005, ErrorAfter: 0.01, CutAfter: 0.015,
			TruncatedBody: 0.005, EmptyBody: 0.005, HTMLError: 0.3, EmptyError: 0.2, RespelledUnit: 0.3,
			SlowEnabling: 0.1, SlowFor: time.Second,
			NotFoundHome: 0.005, ForbiddenHome: 0.005, FailedEnabling: 0.003,
		},
	}
}

// buildWorld starts Postgres, the simulator and the worker, and makes a token.
func (d *demo) buildWorld(ctx context.Context) error {
	d.p.step("Database, simulated API, worker")
	var err error
	if d.dir, err = os.MkdirTemp("", "fleetd-demo-"); err != nil {
		return fmt.Errorf("make a folder for the demo: %w", err)
	}
	began := time.Now()
	if d.database, err = postgres.Start(ctx, postgres.Config{DataDir: d.dir}); err != nil {
		return fmt.Errorf("start the private Postgres: %w", err)
	}
	d.p.fact("Postgres", "private, in %s, up in %s", d.dir, seconds(time.Since(began)))
	if err := d.startSimulator(ctx); err != nil {
		return err
	}
	d.p.fact("API", "simulated, %s: %.0f requests a second, bursts of %d; then 429 with Retry-After", d.simURL, trueRate(d.cfg.Homes), trueBurst)
	d.p.fact("", "it loses answers, answers 5xx, says ENABLING, and does not know or forbids some homes")
	path := filepath.Join(d.dir, "fleetd.log")
	if d.logFile, err = os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		return fmt.Errorf("open the worker's log: %w", err)
	}
	if d.token, err = d.createToken(ctx); err != nil {
		return err
	}
	began = time.Now()
	if err := d.firstServe(ctx); err != nil {
		return err
	}
	d.p.fact("fleetd", "%s, process %d, up in %s; log %s", serverURL(d.listen), d.worker.pid(), seconds(time.Since(began)), path)
	d.p.fact("Token", "made as `fleetd token create --name demo --role admin` does")
	d.api, err = client.New(client.Config{Server: serverURL(d.listen), Token: d.token, UserAgent: "fleetd-demo"})
	return err
}

// startSimulator serves the simulated API on a free loopback port.
func (d *demo) startSimulator(ctx context.Context) error {
	d.sim = simulator.New(world(d.cfg.Homes))
	for i := 5; i < d.cfg.Homes; i += 13 { // somebody was there before us
		id := d.sim.UnitID(i)
		if d.sim.Truth(id, skill) != simulator.ClassOK || d.sim.Home(i).Occupancy != fleet.OccupancyVacant {
			continue
		}
		if err := d.sim.ChangeUnit(id, simulator.Change{Action: simulator.ChangeEnable, SkillID: skill}); err != nil {
			return fmt.Errorf("enable a home beforehand: %w", err)
		}
	}
	ln, err := simulator.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		return err //nolint:wrapcheck // says it all
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	d.simURL, d.simStop, d.simDone = "http://"+ln.Addr().String(), stop, make(chan error, 1)
	go func() { d.simDone <- d.sim.Serve(serving, ln) }()
	return nil
}

// chooseListen finds the address of the HTTP API: the one asked for or, when it is
// taken and nobody insisted on it, another.
func (d *demo) chooseListen(ctx context.Context) error {
	var err error
	if d.listen, err = free(ctx, d.cfg.Listen); err == nil {
		return nil
	}
	if d.cfg.ListenGiven || !errors.Is(err, syscall.EADDRINUSE) {
		return &fleet.Error{
			Code: fleet.CodeUnavailable, Field: "--listen", Err: err,
			Message: fmt.Sprintf("cannot listen on %s: stop what does, or use another address", d.cfg.Listen),
		}
	}
	host, _, _ := net.SplitHostPort(d.cfg.Listen) // Validate has split it
	for _, port := range []string{"8081", "8082", "8083", "8088", "8888", "0"} {
		if d.listen, err = free(ctx, net.JoinHostPort(host, port)); err == nil {
			d.p.text("%s is taken, so fleetd listens on %s; --listen chooses another.", d.cfg.Listen, d.listen)
			return nil
		}
	}
	return fmt.Errorf("find a free port for fleetd: %w", err)
}

// free returns the address with its port chosen if nobody listens there.
func free(ctx context.Context, address string) (string, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return "", err //nolint:wrapcheck // the callers do
	}
	host, _, _ := net.SplitHostPort(address)
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return net.JoinHostPort(host, port), ln.Close()
}

// serverURL is where to reach what listens on an address.
func serverURL(listen string) string {
	host, port, _ := net.SplitHostPort(listen)
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// otherPorts is how often the worker is started on another port because somebody took
// the one that was found free.
const otherPorts = 3

// firstServe starts the worker. The port was free a while ago, and nobody kept it so.
func (d *demo) firstServe(ctx context.Context) error {
	for n := 1; ; n++ {
		err := d.startServe(ctx)
		if err == nil || n == otherPorts || !d.worker.ended() {
			return err
		}
		if _, taken := free(ctx, d.listen); !errors.Is(taken, syscall.EADDRINUSE) {
			return err
		}
		if err := d.chooseListen(ctx); err != nil {
			return err
		}
	}
}

// startServe starts the worker and waits until it is ready.
func (d *demo) startServe(ctx context.Context) error {
	argv := append(append([]string{}, d.cfg.Program...), "serve",
		"--database-url", d.database.URL(), "--data-dir", d.dir, "--listen", d.listen, "--shutdown-timeout", "5s")
	w, err := startWorker(argv, d.logFile)
	if err != nil {
		return err
	}
	d.worker = w
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout,
		fmt.Errorf("fleetd was not ready after %v: see %s", readyTimeout, d.logFile.Name()))
	defer cancel()
	for !ready(ctx, serverURL(d.listen), d.token) {
		if w.ended() {
			return d.workerEnded()
		}
		if err := wait(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// ready reports whether the fleetd of the token's database serves requests at url. That
// some fleetd is ready there does not tell: on a port that was free a moment ago it may
// be another's, while ours is still to find that the port is taken.
func ready(ctx context.Context, url, token string) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/v1/accounts?limit=1", nil)
	if err != nil {
		return false
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// workerEnded is the error of a worker that ended when nobody killed it.
func (d *demo) workerEnded() error {
	how := "exit status 0"
	if d.worker.err != nil {
		how = d.worker.err.Error()
	}
	return fmt.Errorf("fleetd (process %d) ended by itself: %s%s", d.worker.pid(), how, lastError(d.logFile.Name()))
}

// lastError is the error that a log ends with, if it does, with a colon before it.
func lastError(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if last, ok := strings.CutPrefix(lines[len(lines)-1], "error: "); ok {
		return ": " + last
	}
	return ""
}

// createToken migrates the database and makes an admin's token in it, as
// `fleetd token create` does. The worker comes later, and is known by the token.
func (d *demo) createToken(ctx context.Context) (string, error) {
	db, err := app.OpenDatabase(ctx, app.Config{DatabaseURL: d.database.URL()})
	if err != nil {
		return "", fmt.Errorf("make a token: %w", err)
	}
	if err := db.Migrate(ctx, false); err != nil {
		return "", fmt.Errorf("make a token: %w", err)
	}
	pool, err := db.Pool(ctx, "fleetd demo", 2, nil)
	if err != nil {
		return "", fmt.Errorf("make a token: %w", err)
	}
	defer pool.Close()
	_, secret, err := store.New(pool, nil).CreateToken(ctx, store.TokenParams{Name: "demo", Role: fleet.RoleAdmin, Reason: "fleetd demo"},
		fleet.Actor{Name: "fleetd demo", Role: fleet.RoleAdmin}, store.Idempotency{})
	if err != nil {
		return "", fmt.Errorf("make a token: %w", err)
	}
	return secret, nil
}

// wait waits, unless ctx ends before.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
