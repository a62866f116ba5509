package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// fewer is by how much the smaller fleet is smaller.
const fewer = 10

// auditCost is what an audit cost.
type auditCost struct {
	units       int
	wall        time.Duration
	fleetd, sim time.Duration // processor time
	pg          serverTime
	rows        written
	peak        float64 // of fleetd, in MiB
}

// audits measures what audits of a smaller and a larger fleet cost, with an API that
// never refuses and answers at once: the first ever, which has all to write down, and
// one that finds every home as it should be and as it was.
func (b *bench) audits(ctx context.Context) (err error) {
	sim, err := b.start(ctx, "http://"+simAddr+"/_sim/", "fleetsim", "--listen", simAddr, "--faults", "none", "--rps", "0",
		"--units", strconv.Itoa(b.audited), "--skills-per-unit", strconv.Itoa(b.skills), "--history", "1")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sim.stop()) }()
	all, err := b.fetch(ctx, "http://"+simAddr+"/_sim/inventory.csv", "inventory.csv")
	if err != nil {
		return err
	}
	var again [2]auditCost
	for i, units := range []int{max(1, b.audited/fewer), b.audited} {
		account, part := fmt.Sprintf("audited-%d", i), filepath.Join(b.dir, "part.csv")
		if err := copyLines(part, all, units+1); err != nil {
			return err
		}
		b.progress("auditing %d units", units)
		err := b.serve(ctx, func(ctx context.Context) error {
			if err := b.account(ctx, account, "--rate", "100000"); err != nil {
				return err
			}
			_, err := b.ctl(ctx, "unit", "import", part, "--account", account)
			return err
		})
		if err != nil {
			return err
		}
		first, err := b.audit(ctx, sim, account)
		if err != nil {
			return err
		}
		b.reportAudit(units, "the first", "", first)
		adopt := fmt.Sprintf(`{"account":%q,"selector":"all"}`, account)
		err = b.serve(ctx, func(ctx context.Context) error { return b.post(ctx, "/api/v1/desired/adopt", adopt) })
		if err != nil {
			return err
		}
		if again[i], err = b.audit(ctx, sim, account); err != nil {
			return err
		}
		b.reportAudit(units, "one that finds nothing new", "1 row a unit", again[i])
	}
	s, l := again[0], again[1]
	b.report(fmt.Sprintf("a unit of %d to one of %d: processor time of fleetd, of Postgres, WAL; fleetd's memory", b.audited, b.audited/fewer),
		fmt.Sprintf("%.2f, %.2f, %.2f; %+.0f MiB", l.each(l.fleetd)/s.each(s.fleetd), l.each(l.pg.work)/s.each(s.pg.work),
			(float64(l.rows.log)/float64(l.units))/(float64(s.rows.log)/float64(s.units)), l.peak-s.peak), "1; flat")
	return nil
}

// each is microseconds a unit.
func (c auditCost) each(d time.Duration) float64 { return float64(d.Microseconds()) / float64(c.units) }

func (b *bench) reportAudit(units int, which, goal string, c auditCost) {
	n := float64(c.units)
	b.progress("  %.0f units/s, %.0f us of fleetsim's processor time a unit", n/c.wall.Seconds(), c.each(c.sim))
	b.report(fmt.Sprintf("audit of %d units of %d skills, %s: processor time, rows and WAL a unit; fleetd's memory", units, b.skills, which),
		fmt.Sprintf("fleetd %.0f us, Postgres %.0f us (vacuum %.0f us besides); %.2f rows (and %.2f of counts and budgets, %.2f of River), %.0f bytes; %.0f MiB",
			c.each(c.fleetd), c.each(c.pg.work), c.each(c.pg.vacuum), float64(c.rows.units)/n, float64(c.rows.ours)/n, float64(c.rows.river)/n,
			float64(c.rows.log)/n, c.peak), goal)
}

// audit runs one audit to its end, in a fleetd of its own: when that has ended, all
// that its connections wrote is counted.
func (b *bench) audit(ctx context.Context, sim *program, account string) (c auditCost, err error) {
	if err := b.db.settle(ctx); err != nil {
		return c, err
	}
	before, err := b.db.written(ctx)
	if err != nil {
		return c, err
	}
	err = b.serve(ctx, func(ctx context.Context) error {
		fleetd, pg, simulated := b.fleetd.cpu(), b.db.cpu(), sim.cpu()
		done, err := b.ctl(ctx, "audit", "run", "--account", account, "--watch", "-o", "json")
		if err != nil {
			return err
		}
		c.fleetd, c.pg, c.sim, c.peak = b.fleetd.cpu()-fleetd, b.db.cpu().since(pg), sim.cpu()-simulated, b.fleetd.peak()
		c.units, c.wall, err = readAudit(done.stdout)
		return err
	})
	if err != nil {
		return c, err
	}
	after, err := b.db.written(ctx)
	c.rows = after.since(before)
	return c, err
}

// readAudit reads an audit as fleetctl prints it.
func readAudit(text string) (units int, wall time.Duration, err error) {
	var a struct {
		State   string    `json:"state"`
		Units   int       `json:"units"`
		InSync  int       `json:"in_sync"`
		Started time.Time `json:"started_at"`
		Ended   time.Time `json:"ended_at"`
	}
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		return 0, 0, fmt.Errorf("read the audit: %w", err)
	}
	if a.State != "succeeded" || a.InSync != a.Units {
		return 0, 0, fmt.Errorf("the audit ended %s, %d of %d units in sync", a.State, a.InSync, a.Units)
	}
	return a.Units, a.Ended.Sub(a.Started), nil
}

// post calls the HTTP API.
func (b *bench) post(ctx context.Context, path, body string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+b.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("POST %s: %s", path, resp.Status)
	}
	return nil
}

// copyLines copies the first lines of a file.
func copyLines(to, from string, lines int) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	w := bufio.NewWriter(out)
	scan := bufio.NewScanner(in)
	for range lines {
		if !scan.Scan() {
			break
		}
		fmt.Fprintln(w, scan.Text())
	}
	return errors.Join(scan.Err(), w.Flush())
}
