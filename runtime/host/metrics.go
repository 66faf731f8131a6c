package host

import (
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"woodwork.dev/ww/runtime/component"
)

// metrics of one component, in a registry of its own.
type metrics struct {
	registry *prometheus.Registry
	handled  prometheus.Counter
	failed   prometheus.Counter
	seconds  prometheus.Histogram
	inFlight atomic.Int64
}

func newMetrics(c component.Config, s *state) *metrics {
	labels := prometheus.Labels{"component": c.Name, "kind": c.Kind, "type": c.Type}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		handled: prometheus.NewCounter(prometheus.CounterOpts{Name: "ww_messages_handled_total",
			Help: "Messages that were handled.", ConstLabels: labels}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{Name: "ww_messages_failed_total",
			Help: "Attempts at handling a message that failed.", ConstLabels: labels}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "ww_handler_seconds",
			Help: "Time of one attempt at handling a message.", ConstLabels: labels,
			Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 5, 10, 30, 60, 120}}),
	}
	inFlight := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "ww_in_flight",
		Help: "Messages that are being handled.", ConstLabels: labels}, func() float64 { return float64(m.inFlight.Load()) })
	isReady := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "ww_ready",
		Help: "1 if the component is ready, 0 if not.", ConstLabels: labels}, func() float64 {
		if s.view().Ready {
			return 1
		}
		return 0
	})
	m.registry.MustRegister(m.handled, m.failed, m.seconds, inFlight, isReady,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
