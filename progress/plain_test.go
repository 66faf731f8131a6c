package progress

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

// events are a run with one of each kind.
func events() []deploy.Progress {
	pull := plan.Step{ID: 1, Op: plan.Pull, Service: "bus", Name: "redis:7-alpine", Cause: "image not there"}
	network := plan.Step{ID: 2, Op: plan.CreateNetwork, Service: "default", Name: "demo_default", Cause: "not there"}
	create := plan.Step{ID: 3, Op: plan.Create, Service: "bus", Number: 1, Name: "demo-bus-1", Cause: "configuration changed"}
	start, ready, in := create, create, create
	start.Op, ready.Op, ready.Cause = plan.Start, plan.Ready, ""
	in.Op, in.Service, in.Name, in.Cause = plan.Ready, "in", "demo-in-1", ""
	there := ready
	there.Target = "0123456789ab"
	return []deploy.Progress{
		{Step: pull, Status: deploy.Running},
		{Step: pull, Status: deploy.Info, Text: " 42% Downloading 3b1c"},
		{Step: pull, Status: deploy.Done, Elapsed: 1234567 * time.Microsecond},
		{Step: network, Status: deploy.Running},
		{Step: network, Status: deploy.Done, Elapsed: 80 * time.Millisecond},
		{Step: create, Status: deploy.Done, Elapsed: 20 * time.Millisecond},
		{Step: start, Status: deploy.Done, Elapsed: 300 * time.Millisecond},
		{Step: there, Status: deploy.Done, Elapsed: 2 * time.Millisecond},
		{Step: ready, Status: deploy.Done, Elapsed: 100 * time.Millisecond},
		{Step: in, Status: deploy.Failed, Elapsed: time.Second, Err: errors.New("exited with code 3")},
		{Step: plan.Step{Op: plan.Stop, Service: "in", Name: "demo-in-1"}, Status: deploy.Done},
		{Step: plan.Step{Op: plan.Remove, Service: "in", Name: "demo-in-1", Cause: "not wanted"}, Status: deploy.Done},
	}
}

func TestPlain(t *testing.T) {
	var b bytes.Buffer
	c := &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	p := NewPlain(&b, phaseByName, uncoloured, c.now)
	for _, ev := range events() {
		c.pass(100 * time.Millisecond)
		p.Report(ev)
	}
	p.End()
	want := `  pulling   bus        redis:7-alpine  (image not there)
  pulled    bus        redis:7-alpine  (image not there)  0.3s
  network              demo_default  0.5s
  started   bus        demo-bus-1  (configuration changed)  0.7s
  ready     bus        demo-bus-1  0.9s
  failed    ingress    demo-in-1
  removed   ingress    demo-in-1  1.2s
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestJSON(t *testing.T) {
	var b bytes.Buffer
	j := NewJSON(&b, phaseByName)
	for _, ev := range events() {
		j.Report(ev)
	}
	j.End()
	want := `{"id":"pull redis:7-alpine","name":"redis:7-alpine","service":"bus","phase":"bus","op":"pull","status":"running","cause":"image not there"}
{"id":"pull redis:7-alpine","name":"redis:7-alpine","service":"bus","phase":"bus","op":"pull","status":"info","cause":"image not there","text":"42% Downloading 3b1c"}
{"id":"pull redis:7-alpine","name":"redis:7-alpine","service":"bus","phase":"bus","op":"pull","status":"done","elapsed":1.235,"cause":"image not there"}
{"id":"create network demo_default","name":"demo_default","service":"default","op":"create network","status":"running","cause":"not there"}
{"id":"create network demo_default","name":"demo_default","service":"default","op":"create network","status":"done","elapsed":0.08,"cause":"not there"}
{"id":"create demo-bus-1","name":"demo-bus-1","service":"bus","phase":"bus","op":"create","status":"done","elapsed":0.02,"cause":"configuration changed"}
{"id":"start demo-bus-1","name":"demo-bus-1","service":"bus","phase":"bus","op":"start","status":"done","elapsed":0.3,"cause":"configuration changed"}
{"id":"wait until ready demo-bus-1","name":"demo-bus-1","service":"bus","phase":"bus","op":"wait until ready","status":"done","elapsed":0.002}
{"id":"wait until ready demo-bus-1","name":"demo-bus-1","service":"bus","phase":"bus","op":"wait until ready","status":"done","elapsed":0.1}
{"id":"wait until ready demo-in-1","name":"demo-in-1","service":"in","phase":"ingress","op":"wait until ready","status":"failed","elapsed":1,"error":"exited with code 3"}
{"id":"stop demo-in-1","name":"demo-in-1","service":"in","phase":"ingress","op":"stop","status":"done"}
{"id":"remove demo-in-1","name":"demo-in-1","service":"in","phase":"ingress","op":"remove","status":"done","cause":"not wanted"}
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	for line := range strings.Lines(b.String()) {
		var r Record
		if err := json.Unmarshal([]byte(line), &r); err != nil || r.ID == "" || r.Status == "" {
			t.Errorf("%q: %v", line, err)
		}
	}
}

func TestTook(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0.0s", 1250 * time.Millisecond: "1.2s", 59 * time.Second: "59.0s", 61 * time.Second: "1m01s", 10 * time.Minute: "10m00s",
	} {
		if got := took(d); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}
