package main

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/deploy/inproc"
	"woodwork.dev/ww/runtime/host"
	"woodwork.dev/ww/runtime/process"
)

// glanceAt is a system some seconds after its start: b has processes, and a has none.
func glanceAt(seconds int64, ofSelf, ofB time.Duration, handled int64) glance {
	ready := host.State{Phase: "ready", Ready: true}
	return glance{
		Bus: look{Time: time.Unix(seconds, 0), Components: map[string]bus.Stats{"a": {Handled: handled, Depth: 3, InFlight: 2}}},
		Parts: []inproc.PartState{
			{Name: "a", Deployment: "edge", State: ready, Instances: 2},
			{Name: "b", Deployment: "local", State: host.State{Phase: "building"}, Usage: &process.Usage{CPU: ofB, Memory: 2 << 20}},
		},
		Self: &process.Usage{CPU: ofSelf, Memory: 9 << 20},
	}
}

// TestTopOfProcess: what isn't known is absent, and what was counted is told by the
// second.
func TestTopOfProcess(t *testing.T) {
	show := func(rows []topRow) string {
		var out strings.Builder
		if err := (&tool{out: &out, err: &out}).showTop(topView{Components: rows}); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	got := show(processRows(7, glanceAt(1, time.Second, time.Second, 10), glanceAt(3, 2*time.Second, 4*time.Second, 40)))
	want := `COMPONENT     DEPLOYMENT   STATE      INSTANCES   CPU      MEMORY   NET I/O   QUEUE   IN FLIGHT   HANDLED/S
ww up (7)     -            running    1           50.0%    9MiB     -         -       -           -
a             edge         ready      2           -        -        -         3       2           15.0
b             local        building   0           150.0%   2MiB     -         -       -           -
`
	if squeeze(got) != squeeze(want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}

	// A bus that is away hides no component.
	away := glanceAt(3, 2*time.Second, 4*time.Second, 0)
	away.Bus = look{Time: away.Bus.Time, Error: "refused"}
	a := processRows(7, glanceAt(1, 0, 0, 10), away)[1]
	if want := (topRow{Component: "a", Deployment: "edge", State: "ready", Instances: 2}); !reflect.DeepEqual(a, want) {
		t.Errorf("%+v", a)
	}

	// Where a system doesn't tell, nothing is made up.
	mute := glanceAt(3, 0, 0, 10)
	mute.Self, mute.Parts[1].Usage = nil, nil
	for _, row := range processRows(7, mute, mute) {
		if row.CPU != nil || row.Memory != nil {
			t.Errorf("%+v", row)
		}
	}
}

func squeeze(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.Join(strings.Fields(lines[i]), " ")
	}
	return strings.Join(lines, "\n")
}
