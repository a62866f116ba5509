package lwa

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// The values of the result label: one for each token request that was made.
const (
	resultSuccess      = "success"
	resultUnauthorized = "unauthorized"
	resultError        = "error"
)

// Metrics counts token requests. One is shared between all accounts.
type Metrics struct{ refreshes *prometheus.CounterVec }

// NewMetrics registers the metrics with reg; nil registers them nowhere. It
// panics when they are registered already.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	return &Metrics{refreshes: promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
		Name: "fleet_token_refreshes_total",
		Help: "Requests to the Login with Amazon token endpoint by result: success, unauthorized or error.",
	}, []string{"account", "result"})}
}
