package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	fleetdAddr = "127.0.0.1:18080"
	simAddr    = "127.0.0.1:18090"
)

// bench is one run.
type bench struct {
	options

	dir         string
	databaseURL string
	url         string
	token       string
	db          *database
	fleetd      *program
	most        float64 // memory of any fleetd, in MiB
	stdout      interface{ Write(p []byte) (int, error) }
	stderr      interface{ Write(p []byte) (int, error) }
}

func (b *bench) all(ctx context.Context) error {
	b.url = "http://" + fleetdAddr
	made, err := b.command(ctx, "fleetd", "token", "create", "--database-url", b.databaseURL, "--name", "bench", "--role", "admin")
	if err != nil {
		return err
	}
	b.token = made.stdout
	parts := map[string]func(context.Context) error{"throughput": b.throughput, "audits": b.audits, "large": b.large}
	for name := range strings.SplitSeq(b.parts, ",") {
		part, ok := parts[name]
		if !ok {
			return fmt.Errorf("-parts: there is no part %q", name)
		}
		if err := part(ctx); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	b.report("fleetd's memory, at its most in all of this", fmt.Sprintf("%.0f MiB", b.most), "200 MiB")
	return nil
}

// serve runs fleetd while f lasts.
func (b *bench) serve(ctx context.Context, f func(ctx context.Context) error) (err error) {
	b.fleetd, err = b.start(ctx, b.url+"/readyz", "fleetd", "serve", "--database-url", b.databaseURL,
		"--data-dir", filepath.Join(b.dir, "fleetd"), "--listen", fleetdAddr, "--log-level", "warn", "--max-in-flight", strconv.Itoa(maxWorkers))
	if err != nil {
		return err
	}
	err = f(ctx)
	b.most = max(b.most, b.fleetd.peak())
	return errors.Join(err, b.fleetd.stop())
}

// account makes an account at the simulator, whether it runs or not.
func (b *bench) account(ctx context.Context, name string, args ...string) error {
	secret, refresh := filepath.Join(b.dir, "secret"), filepath.Join(b.dir, "refresh")
	if err := errors.Join(os.WriteFile(secret, []byte("sim-secret"), 0o600), os.WriteFile(refresh, []byte("Atzr|sim-refresh"), 0o600)); err != nil {
		return err
	}
	_, err := b.ctl(ctx, append([]string{
		"account", "create", name, "--client-id", "amzn1.application-oa2-client.sim",
		"--client-secret-file", secret, "--refresh-token-file", refresh,
		"--api-url", "http://" + simAddr, "--token-url", "http://" + simAddr + "/auth/o2/token",
	}, args...)...)
	return err
}

// large measures the operator's commands on a large fleet.
func (b *bench) large(ctx context.Context) error { return b.serve(ctx, b.onLarge) }

func (b *bench) onLarge(ctx context.Context) error {
	if err := b.account(ctx, "large", "--rate", "1"); err != nil {
		return err
	}
	csv := filepath.Join(b.dir, "large.csv")
	if err := writeFleet(csv, b.units, b.small); err != nil {
		return err
	}
	b.progress("importing %d units", b.units)
	done, err := b.ctl(ctx, "unit", "import", csv, "--account", "large")
	if err != nil {
		return err
	}
	b.report(fmt.Sprintf("`unit import` of %d rows", b.units), fmt.Sprintf("%.1f s, fleetctl %.0f MiB, fleetd %.0f MiB",
		done.wall.Seconds(), done.peak, b.fleetd.peak()), "60 s, 150 MiB")
	id := ""
	for _, r := range []struct {
		units    int
		selector string
		goal     string
	}{{b.small, "first=true", "5 s"}, {b.units, "all", "40 s"}} {
		skill := fmt.Sprintf("amzn1.ask.skill.bench-%d", r.units)
		done, err := b.ctl(ctx, "rollout", "create", "enable", "--account", "large", "--skill", skill, "--select", r.selector,
			"--start-at", "2099-01-01T00:00:00Z", "--yes", "-o", "json")
		if err != nil {
			return err
		}
		var made struct {
			ID      string `json:"id"`
			Targets int    `json:"targets"`
		}
		if err := json.Unmarshal([]byte(done.stdout), &made); err != nil {
			return fmt.Errorf("read the rollout: %w", err)
		}
		b.report(fmt.Sprintf("`rollout create` over %d units, plan included", made.Targets), fmt.Sprintf("%.1f s", done.wall.Seconds()), r.goal)
		id = made.ID
	}
	if err := b.show(ctx, id); err != nil {
		return err
	}
	return b.drift(ctx)
}

// show calls what `rollout show` calls.
func (b *bench) show(ctx context.Context, id string) error {
	figure, err := b.calls(ctx, b.shows, "/api/v1/rollouts/"+id, func(body []byte) error {
		var r struct {
			Targets int `json:"targets"`
		}
		if err := json.Unmarshal(body, &r); err != nil || r.Targets != b.units {
			return fmt.Errorf("%d targets: %w", r.Targets, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	b.report(fmt.Sprintf("`rollout show` at %d targets", b.units), figure, "p99 10 ms")
	return nil
}

// calls calls the HTTP API again and again over one connection, and tells how long it
// took to answer.
func (b *bench) calls(ctx context.Context, n int, path string, check func(body []byte) error) (figure string, err error) {
	times := make([]time.Duration, n)
	for i := range times {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+path, nil)
		if err != nil {
			return "", err
		}
		req.Header.Set("Authorization", "Bearer "+b.token)
		began := time.Now()
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return "", err
		}
		body, err := io.ReadAll(resp.Body)
		err = errors.Join(err, resp.Body.Close())
		times[i] = time.Since(began)
		if err == nil && resp.StatusCode != http.StatusOK {
			err = errors.New(resp.Status)
		}
		if err == nil {
			err = check(body)
		}
		if err != nil {
			return "", fmt.Errorf("GET %s: %w", path, err)
		}
	}
	slices.Sort(times)
	p := func(q float64) float64 { return float64(times[int(q*float64(len(times)-1))].Microseconds()) / 1000 }
	return fmt.Sprintf("p50 %.1f ms, p99 %.1f ms", p(0.5), p(0.99)), nil
}

// writeFleet writes an inventory with unit IDs as long as real ones. The first
// units, as many as the smaller rollout has, carry a label.
func writeFleet(file string, units, labeled int) (err error) {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	rnd := rand.New(rand.NewPCG(1, 2))
	fmt.Fprintln(w, "unit_id,property,name,occupancy,labels")
	id := make([]byte, 100)
	for i := range units {
		for j := range id {
			id[j] = letters[rnd.IntN(len(letters))]
		}
		first := ""
		if i < labeled {
			first = ";first=true"
		}
		fmt.Fprintf(w, "amzn1.alexa.unit.did.%s,property-%04d,unit %d,vacant,floor=%d%s\n", id, i/250, i, i%9, first)
	}
	return w.Flush()
}
