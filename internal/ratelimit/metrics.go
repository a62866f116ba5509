package ratelimit

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fleetd/internal/remote"
)

// Metrics counts for all budgets of a process.
type Metrics struct {
	rate *prometheus.GaugeVec
	wait *prometheus.HistogramVec
}

// NewMetrics registers the metrics of the budgets with reg; nil registers nowhere.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		rate: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "fleet_budget_rate",
			Help: "Requests a second the account's budget allows at present, over all processes.",
		}, []string{"account"}),
		wait: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "fleet_budget_wait_seconds",
			Help:    "How long requests waited for a slot of their account's budget.",
			Buckets: []float64{.001, .005, .01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"account", "class"}),
	}
	if reg != nil {
		reg.MustRegister(m.rate, m.wait)
	}
	return m
}

// budgetMetrics are the metrics of one budget, looked up once.
type budgetMetrics struct {
	rate prometheus.Gauge
	wait [classes]prometheus.Observer
}

func (m *Metrics) of(account string) budgetMetrics {
	if m == nil {
		return budgetMetrics{}
	}
	of := budgetMetrics{rate: m.rate.WithLabelValues(account)}
	for _, class := range remote.Classes() {
		of.wait[class] = m.wait.WithLabelValues(account, class.String())
	}
	return of
}

func (m budgetMetrics) waited(class remote.Class, d time.Duration) {
	if o := m.wait[class]; o != nil {
		o.Observe(d.Seconds())
	}
}

func (m budgetMetrics) sends(rate float64) {
	if m.rate != nil {
		m.rate.Set(rate)
	}
}
