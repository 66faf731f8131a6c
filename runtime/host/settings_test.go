package host_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/bus/bustest"
	"woodwork.dev/ww/runtime/component"
	"woodwork.dev/ww/runtime/component/builtin"
	"woodwork.dev/ww/runtime/host"
)

func withSettings(settings string) (host.Options, error) {
	return withEnv(settings, map[string]string{})
}

func withEnv(settings string, env map[string]string) (host.Options, error) {
	env["WOODWORK_MESSAGE_BUS"] = "redis://message-bus:6379"
	env["COMPONENT_CONFIG"] = `{"name":"c","kind":"core","type":"template","settings":` + settings + `}`
	return host.FromEnv(func(name string) string { return env[name] }, builtin.Builders())
}

func TestQueueSettings(t *testing.T) {
	o, err := withSettings(`{"concurrency":3,"timeout":"1m30s","max_retries":5,"ttl":60,"max_queue_size":100,"overflow":"dead_letter","subscribe":["news.*","a.>"],"template":{"$secret":"NONE"}}`)
	if err != nil || o.Concurrency != 3 || o.Timeout != 90*time.Second || o.MaxRetries != 5 || o.TTL != time.Minute || o.QueueLimit != 100 ||
		o.Overflow != bus.Divert || !slices.Equal(o.Config.Subscribe, []string{"news.*", "a.>"}) {
		t.Errorf("%+v, %v", o, err)
	}
	o, err = withSettings(`{"max_retries":0,"ttl":"1500ms","timeout":0.5,"subscribe":"news"}`)
	if err != nil || o.MaxRetries != bus.NoRetries || o.TTL != 2*time.Second || o.Timeout != 500*time.Millisecond || !slices.Equal(o.Config.Subscribe, []string{"news"}) {
		t.Errorf("%+v, %v", o, err)
	}
	o, err = withSettings(`{}`)
	if err != nil || o.Concurrency != 0 || o.Timeout != 0 || o.MaxRetries != 0 || o.TTL != 0 || o.QueueLimit != 0 || o.Overflow != "" || o.Config.Subscribe != nil {
		t.Errorf("%+v, %v", o, err)
	}
	for settings, want := range map[string]string{
		`{"concurrency":0}`:          `setting "concurrency": want a whole number from 1`,
		`{"concurrency":"many"}`:     `setting "concurrency": want a whole number, got a string`,
		`{"timeout":"never"}`:        `setting "timeout": want a duration of more than zero`,
		`{"timeout":0}`:              `setting "timeout": want a duration of more than zero`,
		`{"max_retries":-1}`:         `setting "max_retries": want a whole number from 0`,
		`{"ttl":"0s"}`:               `setting "ttl": want a duration of more than zero`,
		`{"max_queue_size":0}`:       `setting "max_queue_size": want a whole number from 1`,
		`{"overflow":"drop"}`:        `setting "overflow": want "block" or "dead_letter"`,
		`{"subscribe":["a..b"]}`:     `setting "subscribe": topic pattern "a..b" has an empty segment`,
		`{"subscribe":{"a":"b"}}`:    `setting "subscribe": want a string or an array of strings, got an object`,
		`{"ttl":{"$secret":"GONE"}}`: `setting "ttl": secret GONE`,
	} {
		if _, err := withSettings(settings); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", settings, err)
		}
	}
}

func TestTracesFromEnv(t *testing.T) {
	for _, tt := range []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{}, ""},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/"}, "http://c:4318/v1/traces"},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://d/x"}, "http://d/x"},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}, ""},
	} {
		if o, err := withEnv(`{}`, tt.env); err != nil || o.Traces != tt.want {
			t.Errorf("%v: %q, %v", tt.env, o.Traces, err)
		}
	}
}

// TestTimeout: the host keeps to the timeout for a kind that doesn't.
func TestTimeout(t *testing.T) {
	for _, timed := range []bool{false, true} {
		s := newSystem(t)
		o := s.options(component.Config{Name: "c"}, func(context.Context, component.Env) (*component.Instance, error) {
			return &component.Instance{Timed: timed, Handle: func(ctx context.Context, _ bus.Message, _ component.Out) (json.RawMessage, error) {
				deadline, bound := ctx.Deadline()
				if timed {
					return nil, bus.Permanent(fmt.Errorf("bound: %t", bound))
				}
				<-ctx.Done()
				return nil, bus.Permanent(fmt.Errorf("%w %t", ctx.Err(), time.Now().After(deadline)))
			}}, nil
		})
		o.Timeout = 20 * time.Millisecond
		r := start(t, o)
		ask(t, s.bus, bus.Message{Payload: json.RawMessage(`1`), Target: "c"})
		if _, err := s.bus.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		dead, err := s.bus.DeadLetters(t.Context(), "c", 0)
		want := "handler took longer than 20ms: context deadline exceeded true"
		if timed {
			want = "bound: false"
		}
		if err != nil || len(dead) != 1 || dead[0].Error != want {
			t.Errorf("timed %t: %+v, %v", timed, dead, err)
		}
		if _, body := r.get("/metrics"); strings.Contains(body, `error_type="timeout"`) == timed {
			t.Errorf("timed %t: %s", timed, body)
		}
	}
}

// TestSettingsHold runs a component with settings, from its environment to
// what they do on Redis.
func TestSettingsHold(t *testing.T) {
	url := bustest.StartRedis(t)
	first := start(t, fromEnv(t, url, t.TempDir(), component.Config{Name: "first", Kind: "core", Type: "template", Topics: []string{"news.today"},
		Settings: json.RawMessage(`{"template":"{{.payload}}"}`)}))
	second := start(t, fromEnv(t, url, t.TempDir(), component.Config{Name: "second", Kind: "core", Type: "exec",
		Settings: json.RawMessage(`{"command":["sh","-c","read x; test $x = slow && sleep 20; echo got $x"],"timeout":"300ms","max_retries":0,"subscribe":["news.*"]}`)}))
	in := start(t, fromEnv(t, url, t.TempDir(), component.Config{Name: "in", Kind: "input", Type: "api", To: []string{"first"},
		Settings: json.RawMessage(`{"timeout":"20s"}`)}))
	// Only the topic leads to second, and nobody waits for it.
	if status, body := post(t, in.addr, "", `"quick"`); status != 200 {
		t.Fatalf("got %d %s", status, body)
	}
	second.eventually("/metrics", 200, `ww_messages_handled_total{component="second",kind="core",type="exec"} 1`)
	if status, body := post(t, in.addr, "", `"slow"`); status != 200 {
		t.Fatalf("got %d %s", status, body)
	}
	second.eventually("/metrics", 200, `ww_messages_failed_total{component="second",kind="core",type="exec"} 1`)
	second.eventually("/metrics", 200, `error_type="`)
	if log := second.log.String(); !strings.Contains(log, "sh ran for longer than 300ms and was killed") || !strings.Contains(log, `"attempt":1,"final":true`) {
		t.Errorf("log: %s", log)
	}
	for _, r := range []*running{in, first, second} {
		if strings.Contains(r.log.String(), "unknown setting") {
			t.Errorf("log: %s", r.log)
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	}
}
