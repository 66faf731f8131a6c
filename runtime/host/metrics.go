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

// metrics are what one instance of a component counts.
type metrics struct {
	*series
	inFlight atomic.Int64 // of this instance
	state    *state
	open     circuits
}

// series of one component, in a registry of its own: all of its instances in
// this process add to them. Where OpenTelemetry's conventions for messaging have
// a name, it is that one; the others begin with ww_.
type series struct {
	registry  *prometheus.Registry
	handled   prometheus.Counter
	failed    prometheus.Counter
	sent      prometheus.Counter
	process   *prometheus.HistogramVec // by error_type
	operation *prometheus.HistogramVec // by error_type

	mu        sync.Mutex
	instances map[*metrics]bool // that there are now
}

// circuits tells of each downstream whether calls to it fail at once.
type circuits func() map[string]bool

// newMetrics are those of an instance that has just begun; leave ends it.
func newMetrics(c component.Config, s *state, open circuits, usage func() (process.Usage, bool), shared *Metrics) *metrics {
	m := &metrics{state: s, open: open}
	if shared == nil {
		m.series = newSeries(c, usage)
		ofProcess(m.registry)
	} else {
		m.series = shared.of(c, usage)
	}
	m.series.mu.Lock()
	defer m.series.mu.Unlock()
	m.instances[m] = true
	return m
}

// leave takes the instance out of what is so now; what it has done stays counted.
func (m *metrics) leave() {
	m.series.mu.Lock()
	defer m.series.mu.Unlock()
	delete(m.instances, m)
}

// sum adds up what each instance has now.
func (s *series) sum(of func(*metrics) float64) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	total := 0.0
	for m := range s.instances {
		total += of(m)
	}
	return total
}

// circuits merges those of the instances.
func (s *series) circuits() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]bool{}
	for m := range s.instances {
		for name, open := range m.open() {
			all[name] = all[name] || open
		}
	}
	return all
}

func newSeries(c component.Config, usage func() (process.Usage, bool)) *series {
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
	s := &series{
		registry:  prometheus.NewRegistry(),
		instances: map[*metrics]bool{},
		handled:   counter("ww_messages_handled_total", "Messages that were handled."),
		failed:    counter("ww_messages_failed_total", "Attempts at handling a message that failed."),
		sent:      counter("messaging_client_sent_messages_total", "Messages that were sent, pieces of streams included."),
		process:   duration("messaging_process_duration_seconds", "Time of one attempt at handling a message.", "process"),
		operation: duration("messaging_client_operation_duration_seconds", "Time until the bus had what was published.", "publish"),
	}
	s.process.WithLabelValues("") // so that it is there before the first message
	s.registry.MustRegister(s.handled, s.failed, s.sent, s.process, s.operation,
		gauge("ww_in_flight", "Messages that are being handled.", func() float64 {
			return s.sum(func(m *metrics) float64 { return float64(m.inFlight.Load()) })
		}),
		gauge("ww_ready", "Instances in this process that are ready: 1 or 0 where there is one.", func() float64 {
			return s.sum(func(m *metrics) float64 { return number(m.state.view().Ready) })
		}),
		&circuitGauge{s.circuits, prometheus.NewDesc("ww_circuit_open", "1 if calls to the downstream fail at once, 0 if they are made.",
			[]string{"downstream"}, labels)})
	if usage != nil {
		s.registry.MustRegister(newUsage(usage, labels))
	}
	return s
}

func ofProcess(r *prometheus.Registry) {
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}

// Metrics are those of the components of one process, and of the process.
type Metrics struct {
	mu      sync.Mutex
	process *prometheus.Registry
	parts   map[string]*series // by component
}

// NewMetrics returns what Options.Metrics may share.
func NewMetrics() *Metrics {
	m := &Metrics{process: prometheus.NewRegistry(), parts: map[string]*series{}}
	ofProcess(m.process)
	return m
}

// of gives the series of a component.
func (m *Metrics) of(c component.Config, usage func() (process.Usage, bool)) *series {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.parts[c.Name] == nil {
		m.parts[c.Name] = newSeries(c, usage)
	}
	return m.parts[c.Name]
}

// ServeHTTP answers a scrape.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	all := prometheus.Gatherers{m.process}
	for _, s := range m.parts {
		all = append(all, s.registry)
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
