package host

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
	"woodwork.dev/ww/runtime/host/tracing"
	"woodwork.dev/ww/runtime/process"
)

// metrics of one component, in a registry of its own. Where OpenTelemetry's
// conventions for messaging have a name, it is that one; the others begin with
// ww_.
type metrics struct {
	registry  *prometheus.Registry
	handled   prometheus.Counter
	failed    prometheus.Counter
	sent      prometheus.Counter
	process   *prometheus.HistogramVec // by error_type
	operation *prometheus.HistogramVec // by error_type
	inFlight  atomic.Int64
}

// circuits tells of each downstream whether calls to it fail at once.
type circuits func() map[string]bool

func newMetrics(c component.Config, s *state, open circuits, usage func() (process.Usage, bool), shared *Metrics) *metrics {
	labels := prometheus.Labels{"component": c.Name, "kind": c.Kind, "type": c.Type}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels})
	}
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, f)
	}
	duration := func(name, help, operation string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help,
			ConstLabels: prometheus.Labels{"component": c.Name, "kind": c.Kind, "type": c.Type,
				"messaging_system": tracing.System, "messaging_operation_name": operation},
			Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 5, 10, 30, 60, 120}}, []string{"error_type"})
	}
	m := &metrics{
		registry:  prometheus.NewRegistry(),
		handled:   counter("ww_messages_handled_total", "Messages that were handled."),
		failed:    counter("ww_messages_failed_total", "Attempts at handling a message that failed."),
		sent:      counter("messaging_client_sent_messages_total", "Messages that were sent, pieces of streams included."),
		process:   duration("messaging_process_duration_seconds", "Time of one attempt at handling a message.", "process"),
		operation: duration("messaging_client_operation_duration_seconds", "Time until the bus had what was published.", "publish"),
	}
	m.process.WithLabelValues("") // so that it is there before the first message
	m.registry.MustRegister(m.handled, m.failed, m.sent, m.process, m.operation,
		gauge("ww_in_flight", "Messages that are being handled.", func() float64 { return float64(m.inFlight.Load()) }),
		gauge("ww_ready", "1 if the component is ready, 0 if not.", func() float64 { return number(s.view().Ready) }),
		&circuitGauge{open, prometheus.NewDesc("ww_circuit_open", "1 if calls to the downstream fail at once, 0 if they are made.",
			[]string{"downstream"}, labels)})
	if usage != nil {
		m.registry.MustRegister(newUsage(usage, labels))
	}
	if shared != nil {
		shared.add(c.Name, m.registry)
	} else {
		ofProcess(m.registry)
	}
	return m
}

func ofProcess(r *prometheus.Registry) {
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}

// Metrics are those of the components of one process, and of the process.
type Metrics struct {
	mu      sync.Mutex
	process *prometheus.Registry
	parts   map[string]prometheus.Gatherer // by component
}

// NewMetrics returns what Options.Metrics may share.
func NewMetrics() *Metrics {
	m := &Metrics{process: prometheus.NewRegistry(), parts: map[string]prometheus.Gatherer{}}
	ofProcess(m.process)
	return m
}

func (m *Metrics) add(component string, g prometheus.Gatherer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.parts[component] = g
}

// ServeHTTP answers a scrape.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	all := prometheus.Gatherers{m.process}
	for _, g := range m.parts {
		all = append(all, g)
	}
	m.mu.Unlock()
	promhttp.HandlerFor(all, promhttp.HandlerOpts{}).ServeHTTP(w, r)
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// processed counts one attempt at handling a message.
func (m *metrics) processed(took time.Duration, err error) {
	m.process.WithLabelValues(errorType(err)).Observe(took.Seconds())
	if err == nil {
		m.handled.Inc()
	} else {
		m.failed.Inc()
	}
}

// published counts one attempt at sending n messages.
func (m *metrics) published(n int, took time.Duration, err error) {
	m.operation.WithLabelValues(errorType(err)).Observe(took.Seconds())
	if err == nil {
		m.sent.Add(float64(n))
	}
}

// errorType is one of few words, as each makes a series of its own; empty for
// none.
func errorType(err error) string {
	var panicked *bus.PanicError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &panicked):
		return "panic"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, bus.ErrFull):
		return "full"
	case bus.IsPermanent(err):
		return "permanent"
	case postponed(err):
		return "postponed"
	}
	return "_OTHER"
}

func postponed(err error) bool {
	_, ok := bus.RetryDelay(err)
	return ok
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// circuitGauge has one series for each downstream that was called.
type circuitGauge struct {
	open circuits
	desc *prometheus.Desc
}

func (g *circuitGauge) Describe(c chan<- *prometheus.Desc) { c <- g.desc }

func (g *circuitGauge) Collect(c chan<- prometheus.Metric) {
	for name, open := range g.open() {
		c <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, number(open), name)
	}
}
