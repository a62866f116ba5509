package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// tick is the unit of the processor times in /proc.
const tick = 10 * time.Millisecond

// database is the server under measurement, and a connection that looks at it.
type database struct {
	pool *pgxpool.Pool
	pid  int // of the postmaster
}

// openDatabase connects to the server whose folder is under dir.
func openDatabase(ctx context.Context, dir, url string) (*database, error) {
	text, err := os.ReadFile(filepath.Join(dir, "data", "postgres", "data", "postmaster.pid"))
	if err != nil {
		return nil, fmt.Errorf("find the server's process: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		return nil, fmt.Errorf("find the server's process: %w", err)
	}
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("connect to the server: %w", err)
	}
	cfg.MaxConns = 2
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to the server: %w", err)
	}
	return &database{pool: pool, pid: pid}, nil
}

// serverTime is processor time of the server's processes.
type serverTime struct {
	work   time.Duration
	vacuum time.Duration // of autovacuum, which comes by the clock
}

// serverTimes is what the server's processes have used at one moment.
type serverTimes struct {
	own    map[int]time.Duration // by process
	vacuum map[int]bool          // those that are autovacuum's
	ended  time.Duration         // of all that have ended
}

// since is what was used since before. What ends while fleetd keeps its connections is
// autovacuum's.
func (t serverTimes) since(before serverTimes) serverTime {
	used := serverTime{vacuum: t.ended - before.ended}
	for pid, own := range t.own {
		if t.vacuum[pid] {
			used.vacuum += own - before.own[pid]
		} else {
			used.work += own - before.own[pid]
		}
	}
	for pid, own := range before.own {
		if _, lives := t.own[pid]; !lives {
			used.vacuum -= own
		}
	}
	return used
}

// cpu is the processor time of all the server's processes (Linux only).
func (d *database) cpu() serverTimes {
	t := serverTimes{own: map[int]time.Duration{}, vacuum: map[int]bool{}}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return t
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		s, ok := processStat(pid)
		switch {
		case !ok:
		case pid == d.pid:
			t.own[pid], t.ended = s.own, s.ended
		case s.parent == d.pid:
			t.own[pid], t.vacuum[pid] = s.own, isVacuum(pid)
		}
	}
	return t
}

func isVacuum(pid int) bool {
	title, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && bytes.Contains(title, []byte("autovacuum worker"))
}

// stat is what /proc says of a process.
type stat struct {
	parent int
	own    time.Duration // processor time
	ended  time.Duration // that of its children that have ended
}

func processStat(pid int) (s stat, ok bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return s, false
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 15 {
		return s, false
	}
	s.parent, _ = strconv.Atoi(fields[1])
	n := make([]int, 4)
	for i := range n {
		n[i], _ = strconv.Atoi(fields[11+i])
	}
	s.own, s.ended = time.Duration(n[0]+n[1])*tick, time.Duration(n[2]+n[3])*tick
	return s, true
}

// written is what was written to the database since it was made.
type written struct {
	units int64 // rows inserted and updated in tables that have rows by unit
	ours  int64 // in the others of fleetd
	river int64 // in River's
	log   int64 // bytes of WAL
}

func (w written) since(before written) written {
	return written{units: w.units - before.units, ours: w.ours - before.ours, river: w.river - before.river, log: w.log - before.log}
}

// byUnit are the tables of what is known of units.
const byUnit = "('units', 'unit_sights', 'observed', 'desired', 'desired_history', 'drifts', 'targets')"

// written waits until the connections of fleetd have ended: then all that they wrote
// is counted.
func (d *database) written(ctx context.Context) (w written, err error) {
	const open = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name LIKE 'fleetd%'"
	for n := 1; n > 0; {
		if err := d.pool.QueryRow(ctx, open).Scan(&n); err != nil {
			return w, fmt.Errorf("look for open connections: %w", err)
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return w, err
		}
	}
	const place = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint"
	if err := d.pool.QueryRow(ctx, place).Scan(&w.log); err != nil {
		return w, fmt.Errorf("read the place in the WAL: %w", err)
	}
	const rows = `
		SELECT
			sum(n) FILTER (WHERE relname IN ` + byUnit + `)::bigint,
			sum(n) FILTER (WHERE relname NOT IN ` + byUnit + ` AND relname NOT LIKE 'river%')::bigint,
			sum(n) FILTER (WHERE relname LIKE 'river%')::bigint
		FROM (SELECT relname, n_tup_ins + n_tup_upd AS n FROM pg_stat_user_tables) AS t`
	if err := d.pool.QueryRow(ctx, rows).Scan(&w.units, &w.ours, &w.river); err != nil {
		return w, fmt.Errorf("read what was written: %w", err)
	}
	return w, nil
}

// settle does now what the server would do beside what is measured next, and makes
// it write whole pages again, as a night after a day does.
func (d *database) settle(ctx context.Context) error {
	for _, sql := range []string{"VACUUM (ANALYZE)", "CHECKPOINT"} {
		if _, err := d.pool.Exec(ctx, sql); err != nil {
			return fmt.Errorf("settle the database: %w", err)
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
