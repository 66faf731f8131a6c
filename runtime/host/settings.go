package host

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
)

// queueSettings reads those settings that every component has and that speak
// of its queue: see component.OfHost.
func (o *Options) queueSettings() error {
	s := struct {
		Concurrency  *int               `json:"concurrency"`
		Timeout      component.Duration `json:"timeout"`
		MaxRetries   *int               `json:"max_retries"`
		TTL          component.Duration `json:"ttl"`
		MaxQueueSize *int               `json:"max_queue_size"`
		Overflow     bus.Overflow       `json:"overflow"`
		Subscribe    component.Strings  `json:"subscribe"`
	}{}
	env := component.Env{Config: o.Config, Log: slog.New(slog.DiscardHandler), Secret: o.secrets.Lookup}
	if err := env.Decode(&s); err != nil {
		return err
	}
	// A message's own TTL is in seconds, and 0 stands for none.
	ttl := (time.Duration(s.TTL) + time.Second - 1).Truncate(time.Second)
	switch {
	case s.Concurrency != nil && *s.Concurrency < 1:
		return errors.New(`setting "concurrency": want a whole number from 1`)
	case s.MaxRetries != nil && *s.MaxRetries < 0:
		return errors.New(`setting "max_retries": want a whole number from 0`)
	case s.MaxQueueSize != nil && *s.MaxQueueSize < 1:
		return errors.New(`setting "max_queue_size": want a whole number from 1`)
	case s.Overflow != "" && s.Overflow != bus.Block && s.Overflow != bus.Divert:
		return fmt.Errorf(`setting "overflow": want %q or %q`, bus.Block, bus.Divert)
	}
	for _, p := range s.Subscribe {
		if err := bus.CheckPattern(p); err != nil {
			return fmt.Errorf(`setting "subscribe": %w`, err)
		}
	}
	o.Concurrency, o.QueueLimit = value(s.Concurrency), value(s.MaxQueueSize)
	o.Timeout, o.TTL, o.Overflow = time.Duration(s.Timeout), ttl, s.Overflow
	if o.MaxRetries = value(s.MaxRetries); s.MaxRetries != nil && *s.MaxRetries == 0 {
		o.MaxRetries = bus.NoRetries
	}
	o.Config.Subscribe = append(o.Config.Subscribe, s.Subscribe...)
	return nil
}

func value(n *int) int {
	if n == nil {
		return 0
	}
	return *n
}

// tracesFromEnv returns where to send traces, by OpenTelemetry's variables.
func tracesFromEnv(getenv func(string) string) string {
	if url := getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"); url != "" {
		return url
	}
	url := getenv("OTEL_EXPORTER_OTLP_ENDPOINT")
	if url == "" || strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") {
		return ""
	}
	return strings.TrimRight(url, "/") + "/v1/traces"
}
