package host

import (
	"github.com/prometheus/client_golang/prometheus"

	"woodwork.dev/ww/runtime/process"
)

// usage shows what a component's processes take of the machine.
type usage struct {
	of          func() (process.Usage, bool)
	cpu, memory *prometheus.Desc
}

func newUsage(of func() (process.Usage, bool), labels prometheus.Labels) *usage {
	return &usage{
		of:     of,
		cpu:    prometheus.NewDesc("ww_process_cpu_seconds_total", "Processor time of the component's processes.", nil, labels),
		memory: prometheus.NewDesc("ww_process_resident_memory_bytes", "Resident memory of the component's processes.", nil, labels),
	}
}

// Describe implements prometheus.Collector.
func (u *usage) Describe(c chan<- *prometheus.Desc) {
	c <- u.cpu
	c <- u.memory
}

// Collect implements prometheus.Collector.
func (u *usage) Collect(c chan<- prometheus.Metric) {
	now, ok := u.of()
	if !ok {
		return
	}
	c <- prometheus.MustNewConstMetric(u.cpu, prometheus.CounterValue, now.CPU.Seconds())
	c <- prometheus.MustNewConstMetric(u.memory, prometheus.GaugeValue, float64(now.Memory))
}
