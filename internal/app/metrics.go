package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"fleetd/internal/jobs"
	"fleetd/internal/store"
)

// scrapeTimeout bounds what a scrape asks of the database.
const scrapeTimeout = 5 * time.Second

// fleetCollector shows what the database knows: a restart of fleetd loses none of
// it, and every process of a fleet shows the same.
type fleetCollector struct {
	store  *store.Store
	logger *slog.Logger

	targets  *prometheus.Desc
	rollouts *prometheus.Desc
	open     *prometheus.Desc
	queue    *prometheus.Desc
	units    *prometheus.Desc
	coverage *prometheus.Desc
	success  *prometheus.Desc
	drift    *prometheus.Desc
	events   *prometheus.Desc
}

func newFleetCollector(st *store.Store, logger *slog.Logger) *fleetCollector {
	return &fleetCollector{
		store: st, logger: logger,
		targets: prometheus.NewDesc("fleet_targets_total",
			"Outcomes of targets ever recorded, by account, action, state and reason.",
			[]string{"account", "action", "state", "reason"}, nil),
		rollouts: prometheus.NewDesc("fleet_rollouts", "Rollouts by state.", []string{"state"}, nil),
		open: prometheus.NewDesc("fleet_rollout_targets",
			"Targets of rollouts that have not ended, by account and state.", []string{"account", "state"}, nil),
		queue: prometheus.NewDesc("fleet_queue_jobs",
			"River jobs that have not ended, by queue and state.", []string{"queue", "state"}, nil),
		units: prometheus.NewDesc("fleet_audit_units",
			"Units of the last audit of the whole account or its schedule that came to its end, by account and result.", []string{"account", "result"}, nil),
		coverage: prometheus.NewDesc("fleet_audit_coverage_ratio",
			"Share of the units of the last audit of the whole account or its schedule that were seen, by account.", []string{"account"}, nil),
		success: prometheus.NewDesc("fleet_audit_last_success_timestamp_seconds",
			"When an audit of the whole account or its schedule last saw every unit it was to see.", []string{"account"}, nil),
		drift: prometheus.NewDesc("fleet_drift",
			"Open findings that are not ignored, by account and kind.", []string{"account", "kind"}, nil),
		events: prometheus.NewDesc("fleet_events_total",
			"Skill development events ever taken, each once however often it was told, by account, event and status.",
			[]string{"account", "event", "status"}, nil),
	}
}

func (c *fleetCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.targets, c.rollouts, c.open, c.queue, c.units, c.coverage, c.success, c.drift, c.events} {
		ch <- d
	}
}

func (c *fleetCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	m, err := c.store.Metrics(ctx)
	if err != nil {
		c.logger.LogAttrs(ctx, slog.LevelWarn, "metrics of the database not read", slog.Any("error", err))
		ch <- prometheus.NewInvalidMetric(c.targets, err)
		return
	}
	for _, t := range m.Targets {
		ch <- prometheus.MustNewConstMetric(c.targets, prometheus.CounterValue, float64(t.N), t.Account, t.Action, t.State, t.Reason)
	}
	for _, r := range m.Rollouts {
		ch <- prometheus.MustNewConstMetric(c.rollouts, prometheus.GaugeValue, float64(r.N), r.State)
	}
	for _, o := range m.Open {
		ch <- prometheus.MustNewConstMetric(c.open, prometheus.GaugeValue, float64(o.N), o.Account, o.State)
	}
	for place, n := range queueJobs(m) {
		ch <- prometheus.MustNewConstMetric(c.queue, prometheus.GaugeValue, float64(n), place.queue, place.state)
	}
	for _, d := range m.Drift {
		ch <- prometheus.MustNewConstMetric(c.drift, prometheus.GaugeValue, float64(d.N), d.Account, string(d.Kind))
	}
	for _, e := range m.Events {
		ch <- prometheus.MustNewConstMetric(c.events, prometheus.CounterValue, float64(e.N), e.Account, e.Event, e.Status)
	}
	for _, a := range m.Audits {
		for result, n := range a.Units {
			ch <- prometheus.MustNewConstMetric(c.units, prometheus.GaugeValue, float64(n), a.Account, string(result))
		}
		ch <- prometheus.MustNewConstMetric(c.coverage, prometheus.GaugeValue, a.Coverage, a.Account)
		if !a.LastSuccess.IsZero() {
			ch <- prometheus.MustNewConstMetric(c.success, prometheus.GaugeValue, float64(a.LastSuccess.UnixMilli())/1000, a.Account)
		}
	}
}

// queueState is one queue in one state.
type queueState struct{ queue, state string }

// queueJobs counts the jobs that have not ended. The queue of every account is there
// in every state, also at zero: a metric that comes and goes cannot be alerted on.
func queueJobs(m store.Metrics) map[queueState]int64 {
	jobsOf := map[queueState]int64{}
	for _, id := range m.Accounts {
		for _, state := range store.OpenJobStates() {
			jobsOf[queueState{jobs.QueueName(id), state}] = 0
		}
	}
	for _, q := range m.Queue {
		jobsOf[queueState{q.Queue, q.State}] = q.N
	}
	return jobsOf
}

// poolCollector shows the connection pool.
type poolCollector struct {
	pool  *pgxpool.Pool
	conns *prometheus.Desc
	most  *prometheus.Desc
	waits *prometheus.Desc
	waitS *prometheus.Desc
}

func newPoolCollector(pool *pgxpool.Pool) *poolCollector {
	return &poolCollector{
		pool:  pool,
		conns: prometheus.NewDesc("pgxpool_connections", "Connections of the pool by state.", []string{"state"}, nil),
		most:  prometheus.NewDesc("pgxpool_max_connections", "Connections that the pool may have.", nil, nil),
		waits: prometheus.NewDesc("pgxpool_empty_acquires_total", "Acquires that waited for a connection.", nil, nil),
		waitS: prometheus.NewDesc("pgxpool_acquire_seconds_total", "Time spent acquiring connections.", nil, nil),
	}
}

func (c *poolCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.conns, c.most, c.waits, c.waitS} {
		ch <- d
	}
}

func (c *poolCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.pool.Stat()
	for state, n := range map[string]int32{
		"acquired": s.AcquiredConns(), "idle": s.IdleConns(), "constructing": s.ConstructingConns(),
	} {
		ch <- prometheus.MustNewConstMetric(c.conns, prometheus.GaugeValue, float64(n), state)
	}
	ch <- prometheus.MustNewConstMetric(c.most, prometheus.GaugeValue, float64(s.MaxConns()))
	ch <- prometheus.MustNewConstMetric(c.waits, prometheus.CounterValue, float64(s.EmptyAcquireCount()))
	ch <- prometheus.MustNewConstMetric(c.waitS, prometheus.CounterValue, s.AcquireDuration().Seconds())
}
