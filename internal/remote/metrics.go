package remote

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics counts and times what leaves for the APIs. One is shared between all
// accounts. No label takes an ID: api and operation come from the clients' closed
// sets, code is a status or "error".
type Metrics struct {
	requests  *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	throttled *prometheus.CounterVec
}

// NewMetrics registers the metrics with reg; nil registers them nowhere. It
// panics when they are registered already.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	f := promauto.With(reg)
	return &Metrics{
		requests: f.NewCounterVec(prometheus.CounterOpts{
			Name: "fleet_api_requests_total",
			Help: "Requests sent to the remote APIs, resends included, by HTTP status or \"error\" where no answer came.",
		}, []string{"account", "api", "operation", "code"}),
		duration: f.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "fleet_api_request_duration_seconds",
			Help:    "Time from asking for a connection to the last byte of the answer, without the wait for a slot.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"api", "operation"}),
		throttled: f.NewCounterVec(prometheus.CounterOpts{
			Name: "fleet_api_throttled_total",
			Help: "Requests that the remote APIs refused with 429 or 503.",
		}, []string{"account", "api"}),
	}
}

// meter counts each send, in the metrics and in the caller's Counter.
func meter(next http.RoundTripper, m *Metrics, account string) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		k, began := callFrom(req.Context()), time.Now()
		resp, err := next.RoundTrip(req)
		sent, code := true, "error"
		if err != nil {
			if a, ok := errors.AsType[*attemptError](err); ok {
				if a.refused {
					return nil, err
				}
				sent = a.sent
			}
		} else {
			code = strconv.Itoa(resp.StatusCode)
		}
		k.tokens = append(k.tokens, k.token)
		m.requests.WithLabelValues(account, k.req.API, k.req.Operation, code).Inc()
		m.duration.WithLabelValues(k.req.API, k.req.Operation).Observe(time.Since(began).Seconds())
		throttled := resp != nil && throttledStatus(resp.StatusCode)
		if throttled {
			m.throttled.WithLabelValues(account, k.req.API).Inc()
		}
		if k.counter != nil && sent {
			k.counter.Requests++
			if throttled {
				k.counter.Throttled++
			}
		}
		return resp, err
	})
}
