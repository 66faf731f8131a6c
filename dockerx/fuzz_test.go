package dockerx

import (
	"bytes"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"

	"woodwork.dev/ww/runtime/plan"
)

func TestParseStatus(t *testing.T) {
	for status, want := range map[string]struct {
		health plan.Health
		code   int
	}{
		"Up 3 seconds":                          {},
		"Up 3 seconds (healthy)":                {health: plan.Healthy},
		"Up 3 seconds (unhealthy)":              {health: plan.Unhealthy},
		"Up 1 second (health: starting)":        {health: plan.Starting},
		"Up 2 minutes (Paused)":                 {},
		"Exited (3) 5 minutes ago":              {code: 3},
		"Exited (255) 2 hours ago":              {code: 255},
		"Restarting (1) Less than a second ago": {code: 1},
		"Created":                               {},
		"Dead":                                  {},
		"":                                      {},
	} {
		if health, code := parseStatus(status); health != want.health || code != want.code {
			t.Errorf("%q: %q, %d", status, health, code)
		}
	}
}

func TestCanonicalName(t *testing.T) {
	if got := canonicalName([]string{"/other/alias", "/p-a-1"}); got != "p-a-1" {
		t.Errorf("%q", got)
	}
}

func FuzzParseStatus(f *testing.F) {
	f.Add("Exited (3) 5 minutes ago", "a:service_healthy:true,b:x", "/a")
	f.Add("Up 3 seconds (healthy)", "", "")
	f.Fuzz(func(t *testing.T, status, depends, name string) {
		c := fromSummary(container.Summary{Status: status, Names: []string{name}, Labels: map[string]string{labelDependsOn: depends}})
		for _, d := range c.DependsOn {
			if d.Service == "" || strings.ContainsAny(d.Service, ",:") {
				t.Errorf("service %q of %q", d.Service, depends)
			}
		}
		if strings.Contains(c.Name, "/") {
			t.Errorf("name %q", c.Name)
		}
	})
}

func FuzzMessages(f *testing.F) {
	f.Add([]byte(`{"stream":"Step 1/2 : FROM x\n"}{"error":"e","errorDetail":{"message":"m"}}`))
	f.Add([]byte(`{"status":"Downloading","id":"a","progressDetail":{"current":5,"total":-1}}`))
	f.Add([]byte(`{"aux":{"ID":"sha256:1"}}{"stream":"no end`))
	f.Fuzz(func(t *testing.T, data []byte) {
		log := buildLog{out: func(l string) {
			if strings.Contains(l, "\n") {
				t.Errorf("%q is more than a line", l)
			}
		}}
		last := 0.0
		pull := pullProgress{layers: map[string]float64{}, report: func(done float64, _ string) {
			if done < last || done > 1 {
				t.Errorf("%v after %v", done, last)
			}
			last = done
		}}
		_ = readMessages(bytes.NewReader(data), func(m message) { log.add(m); pull.add(m) })
		log.flush()
		if len(log.tail) > tailLines {
			t.Errorf("%d lines", len(log.tail))
		}
	})
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"auths":{"r":{"auth":"dXNlcjpwYXNz"}},"currentContext":"c"}`), "r")
	f.Add([]byte(`{"Endpoints":{"docker":{"Host":"tcp://h:1"}}}`), "unix:///x")
	f.Fuzz(func(t *testing.T, data []byte, host string) {
		if cfg, err := parseConfigFile(data); err == nil && cfg.CredsStore == "" && len(cfg.CredHelpers) == 0 {
			_, _ = cfg.lookUp(t.Context(), serverName(host))
		}
		_, _, _ = parseContextMeta(data)
		if ep, err := parseHost(host); err == nil && (ep.network == "" || ep.address == "") {
			t.Errorf("%q: %+v", host, ep)
		}
	})
}

func TestFromMessage(t *testing.T) {
	if _, ok := fromMessage(events.Message{Type: "network", Action: "create"}); ok {
		t.Error("an event of a network is reported")
	}
	if _, ok := fromMessage(events.Message{Type: "container", Action: "exec_die"}); ok {
		t.Error("an event of a command is reported")
	}
}
