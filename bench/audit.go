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

// auditCost is what one audit cost.
type auditCost struct {
	units           int
	wall            time.Duration
	fleetd, pg, sim time.Duration // processor time
	rows            written
	peak            float64 // of fleetd, in MiB
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
	for i, units := range []int{max(1, b.audited/10), b.audited} {
		account := fmt.Sprintf("audited-%d", i)
		if err := b.account(ctx, account, "--rate", "100000"); err != nil {
			return err
		}
		part := filepath.Join(b.dir, account+".csv")
		if err := copyLines(part, all, units+1); err != nil {
			return err
		}
		if _, err := b.ctl(ctx, "unit", "import", part, "--account", account); err != nil {
			return err
		}
		b.progress("auditing %d units, twice", units)
		first, err := b.audit(ctx, sim, account)
		if err != nil {
			return err
		}
		b.reportAudit("the first", "", first)
		adopt := fmt.Sprintf(`{"account":%q,"selector":"all"}`, account)
		if err := b.post(ctx, "/api/v1/desired/adopt", adopt); err != nil {
			return err
		}
		if again[i], err = b.audit(ctx, sim, account); err != nil {
			return err
		}
		b.reportAudit("one that finds nothing new", "1 row a unit", again[i])
	}
	s, l := again[0], again[1]
	b.report(fmt.Sprintf("a unit of %d to one of %d: processor time of fleetd, of Postgres, WAL; fleetd's memory", l.units, s.units),
		fmt.Sprintf("%.2f, %.2f, %.2f; %+.0f MiB", l.each(l.fleetd)/s.each(s.fleetd), l.each(l.pg)/s.each(s.pg),
			(float64(l.rows.log)/float64(l.units))/(float64(s.rows.log)/float64(s.units)), l.peak-s.peak), "1; flat")
	return nil
}

// each is microseconds a unit.
func (c auditCost) each(d time.Duration) float64 { return float64(d.Microseconds()) / float64(c.units) }

func (b *bench) reportAudit(which, goal string, c auditCost) {
	n := float64(c.units)
	b.progress("  %.0f units/s, %.0f us of fleetsim's processor time a unit", n/c.wall.Seconds(), c.each(c.sim))
	b.report(fmt.Sprintf("audit of %d units of %d skills, %s: processor time, rows and WAL a unit; fleetd's memory", c.units, b.skills, which),
		fmt.Sprintf("fleetd %.0f us, Postgres %.0f us; %.2f rows (and %.2f of counts and budgets, %.2f of River), %.0f bytes; %.0f MiB",
			c.each(c.fleetd), c.each(c.pg), float64(c.rows.units)/n, float64(c.rows.ours)/n, float64(c.rows.river)/n,
			float64(c.rows.log)/n, c.peak), goal)
}

// audit runs one audit to its end.
func (b *bench) audit(ctx context.Context, sim *program, account string) (c auditCost, err error) {
	if err := b.db.settle(ctx); err != nil {
		return c, err
	}
	before, err := b.db.written(ctx)
	if err != nil {
		return c, err
	}
	b.fleetd.resetPeak()
	c.fleetd, c.pg, c.sim = b.fleetd.cpu(), b.db.cpu(), sim.cpu()
	done, err := b.ctl(ctx, "audit", "run", "--account", account, "--watch", "-o", "json")
	if err != nil {
		return c, err
	}
	c.fleetd, c.pg, c.sim, c.peak = b.fleetd.cpu()-c.fleetd, b.db.cpu()-c.pg, sim.cpu()-c.sim, b.fleetd.peak()
	var a struct {
		State   string    `json:"state"`
		Units   int       `json:"units"`
		InSync  int       `json:"in_sync"`
		Started time.Time `json:"started_at"`
		Ended   time.Time `json:"ended_at"`
	}
	if err := json.Unmarshal([]byte(done.stdout), &a); err != nil {
		return c, fmt.Errorf("read the audit: %w", err)
	}
	if a.State != "succeeded" || a.InSync != a.Units {
		return c, fmt.Errorf("the audit ended %s, %d of %d units in sync", a.State, a.InSync, a.Units)
	}
	c.units, c.wall = a.Units, a.Ended.Sub(a.Started)
	after, err := b.db.written(ctx)
	c.rows = after.since(before)
	return c, err
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
