package progress

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

func phaseByName(service string) string {
	switch {
	case service == "bus":
		return "bus"
	case strings.HasPrefix(service, "db"):
		return "backing"
	case strings.HasPrefix(service, "in"):
		return "ingress"
	}
	return "components"
}

func TestTreeOfPhases(t *testing.T) {
	tr := newTrial(t, 80, 24, phaseByName)
	tr.tree.Report(deploy.Progress{Step: plan.Step{Op: plan.CreateNetwork, Service: "default", Name: "demo_default", Cause: "not there"}, Status: deploy.Done})
	for _, s := range []string{"in", "worker", "db", "bus"} {
		tr.report(plan.Create, s, deploy.Running)
	}
	tr.draw()
	tr.report(plan.Create, "bus", deploy.Done)
	tr.report(plan.Start, "bus", deploy.Running)
	tr.report(plan.Start, "bus", deploy.Done)
	tr.report(plan.Ready, "bus", deploy.Running)
	tr.report(plan.Create, "db", deploy.Done)
	got := tr.draw()
	want := strings.Split(`up demo  1/5  0.2s
 networks and volumes
  ✔ demo_default  created       0.0s
 bus
  ⠙ bus           waiting       0.2s
 backing
  · db            created       0.2s
 components
  ⠙ worker        creating      0.2s
 ingress
  ⠙ in            creating      0.2s`, "\n")
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, s := range []string{"worker", "in"} {
		tr.report(plan.Create, s, deploy.Done)
	}
	for _, s := range []string{"bus", "db", "worker", "in"} {
		tr.report(plan.Ready, s, deploy.Done)
	}
	last := tr.end()
	if len(last) != 10 || strings.Count(strings.Join(last, "\n"), "✔") != 5 {
		t.Errorf("in the end\n%s", strings.Join(last, "\n"))
	}
}

// Sixty services have no room at 80x24: what is urgent is seen, the rest is
// counted, and in the end each has its line.
func TestMoreServicesThanRows(t *testing.T) {
	tr := newTrial(t, 80, 24, phaseByName)
	var all []string
	for i := range 60 {
		all = append(all, fmt.Sprintf("worker-%02d", i))
		tr.report(plan.Create, all[i], deploy.Running)
		if i%7 == 0 {
			tr.draw()
		}
	}
	for i, s := range all {
		tr.report(plan.Create, s, deploy.Done)
		if i%10 == 0 {
			tr.say(fmt.Sprintf("warning %d: something else, in a line that is by far longer than the terminal, has to be said", i))
			tr.above = append(tr.above[:len(tr.above)-1], wrapped(tr.above[len(tr.above)-1], 80)...)
			tr.draw()
		}
	}
	for i, s := range all {
		tr.report(plan.Start, s, deploy.Running)
		tr.report(plan.Start, s, deploy.Done)
		tr.report(plan.Ready, s, deploy.Running)
		if i >= 5 {
			tr.report(plan.Ready, all[i-5], deploy.Done)
		}
		got := tr.draw()
		if len(got) != 23 {
			t.Fatalf("the frame has %d lines of 23:\n%s", len(got), strings.Join(got, "\n"))
		}
		shown := strings.Join(got, "\n")
		for _, under := range all[max(0, i-4) : i+1] {
			if !strings.Contains(shown, under+"  waiting") {
				t.Fatalf("%s is under way and isn't seen:\n%s", under, shown)
			}
		}
		if !strings.Contains(shown, "… 40 more: ") {
			t.Fatalf("it isn't said that there are more:\n%s", shown)
		}
	}
	for _, s := range all[55:] {
		tr.report(plan.Ready, s, deploy.Done)
	}
	tr.draw()
	if last := tr.end(); len(last) != 61 {
		t.Errorf("%d lines stay, want one for each service and a heading:\n%s", len(last), strings.Join(last, "\n"))
	}
}

func wrapped(s string, cols int) []string {
	var out []string
	for len(s) > cols {
		out, s = append(out, strings.TrimRight(s[:cols], " ")), s[cols:]
	}
	return append(out, s)
}

// Only what changes is written again.
func TestFramesAreSmall(t *testing.T) {
	tr := newTrial(t, 80, 24, nil)
	for i := range 20 {
		tr.report(plan.Ready, fmt.Sprintf("worker-%02d", i), deploy.Done)
	}
	tr.draw()
	whole := tr.term.bytes
	tr.report(plan.Stop, "worker-07", deploy.Running)
	tr.draw()
	// The title, with its time, and one line.
	if one := tr.term.bytes - whole; one > whole/4 {
		t.Errorf("one line has changed: %d bytes; all of it: %d", one, whole)
	}
	tr.report(plan.Stop, "worker-07", deploy.Done)
	tr.draw()
	before := tr.term.writes
	tr.tree.draw() // at the same time, with nothing that moves
	if tr.term.writes != before {
		t.Error("nothing has changed, and it was written")
	}
}

func TestFailure(t *testing.T) {
	tr := newTrial(t, 80, 24, phaseByName)
	tr.report(plan.Start, "bus", deploy.Done)
	tr.report(plan.Ready, "worker", deploy.Running)
	tr.report(plan.Create, "in", deploy.Done)
	tr.draw()
	tr.tree.Report(deploy.Progress{
		Step:   plan.Step{Op: plan.Ready, Service: "worker", Name: "demo-worker-1", Number: 1},
		Status: deploy.Failed, Err: errors.New("exited with code 3\nand \x1b[31mmore\x1b[2J of the same, over and over again"),
	})
	tr.draw()
	last := strings.Join(tr.end(), "\n")
	for _, want := range []string{"✔ bus     started", "✘ worker  failed        0.1s  exited with code 3 and more of", "…", "· in      created"} {
		if !strings.Contains(last, want) {
			t.Errorf("%q is missing in\n%s", want, last)
		}
	}
}

// What is under way when the run is cancelled was interrupted, and the
// terminal is as it was.
func TestCancelled(t *testing.T) {
	tr := newTrial(t, 80, 24, phaseByName)
	tr.report(plan.Ready, "bus", deploy.Done)
	tr.report(plan.Ready, "worker", deploy.Running)
	tr.draw()
	_, _ = tr.term.Emulator.WriteString("^C") // as the terminal echoes it
	tr.draw()
	tr.say("ww: cancelled")
	if last := strings.Join(tr.end(), "\n"); !strings.Contains(last, "■ worker  interrupted") {
		t.Errorf("in the end\n%s", last)
	}
	tr.term.line("$ next")
	if got := tr.term.screen(); got[len(got)-1] != "$ next" {
		t.Errorf("what comes after doesn't stand below:\n%s", strings.Join(got, "\n"))
	}
}

func TestResize(t *testing.T) {
	tr := newTrial(t, 100, 30, phaseByName)
	for i := range 20 {
		tr.report(plan.Ready, fmt.Sprintf("worker-%02d", i), deploy.Running)
	}
	tr.draw()
	for _, size := range [][2]int{{120, 30}, {120, 40}, {80, 40}, {60, 40}, {100, 40}} {
		tr.term.Resize(size[0], size[1])
		tr.draw()
		tr.report(plan.Ready, fmt.Sprintf("worker-%02d", size[0]%20), deploy.Done)
		tr.draw()
	}
	// With fewer rows, a terminal may lose the upper ones: what is seen is the
	// newest frame, as far as it has room.
	tr.term.Resize(40, 12)
	tr.tree.draw()
	want := trimmed(tr.tree.frame(40, 11))
	tr.tree.draw()
	got := tr.term.screen()
	if len(want) != 11 || !slices.Equal(got[len(got)-11:], clipped(want, 39)) {
		t.Errorf("after the terminal has shrunk\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, size := range [][2]int{{3, 2}, {1, 1}, {2, 30}} {
		tr.term.Resize(size[0], size[1])
		tr.tree.draw() // nothing to be seen, and no crash
	}
	tr.tree.End()
}

func clipped(lines []string, cols int) []string {
	var out []string
	for _, l := range lines {
		out = append(out, ansi.Truncate(l, cols, "…"))
	}
	return out
}

func TestNamesOfAnyWidth(t *testing.T) {
	tr := newTrial(t, 80, 24, nil)
	long := strings.Repeat("a-very-long-name-", 8)
	for _, s := range []string{"日本語のサービス", "é́moji-👩‍👩‍👧", long, "plain", "esc\x1b[2Jape\r\n"} {
		tr.report(plan.Start, s, deploy.Done)
		tr.draw()
	}
	last := tr.end()
	var columns []int
	for _, l := range last {
		before, _, ok := strings.Cut(l, "started")
		if !ok {
			t.Fatalf("%q", l)
		}
		columns = append(columns, ansi.StringWidth(before))
	}
	if slices.Max(columns) != slices.Min(columns) {
		t.Errorf("the states don't stand below each other: %v\n%s", columns, strings.Join(last, "\n"))
	}
	if !strings.Contains(last[2], "-very-long-name-a-very-l") || !strings.Contains(last[2], "… ") {
		t.Errorf("a long name isn't cut: %q", last[2])
	}
}

func TestBuildsAndPulls(t *testing.T) {
	tr := newTrial(t, 80, 24, nil)
	pull := plan.Step{Op: plan.Pull, Service: "db", Name: "postgres:16", Cause: "image not there"}
	build := plan.Step{Op: plan.Build, Service: "web", Name: "demo-web", Cause: "image not there"}
	for _, s := range []plan.Step{pull, build} {
		tr.tree.Report(deploy.Progress{Step: s, Status: deploy.Running})
	}
	tr.tree.Report(deploy.Progress{Step: pull, Status: deploy.Info, Text: " 50% Downloading 3b1c"})
	tr.tree.Report(deploy.Progress{Step: build, Status: deploy.Info, Text: "Step 2/3 :\tRUN \x1b[1mmake\x1b[0m"})
	got := tr.draw()
	want := strings.Split(`up demo  0/2  0.1s
  ⠋ postgres:16  pulling       0.1s  ━━━━━━━━━━──────────  50% Downloading 3b1c
  ⠋ demo-web     building      0.1s  Step 2/3 : RUN make`, "\n")
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, s := range []plan.Step{pull, build} {
		tr.tree.Report(deploy.Progress{Step: s, Status: deploy.Done})
	}
	tr.end()
}

func TestReplicasAreOneLine(t *testing.T) {
	tr := newTrial(t, 80, 24, nil)
	for n := range 3 {
		name := fmt.Sprintf("demo-web-%d", n+1)
		tr.tree.Report(deploy.Progress{Step: plan.Step{Op: plan.Ready, Service: "web", Number: n + 1, Name: name}, Status: deploy.Running})
		if n == 1 {
			tr.tree.Report(deploy.Progress{Step: plan.Step{Op: plan.Ready, Service: "web", Number: n + 1, Name: name}, Status: deploy.Done})
		}
	}
	if got := tr.draw(); len(got) != 2 || !strings.Contains(got[1], "web  waiting       0.1s  1/3") {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}

// A container that takes another one's place is what its line is about in the
// end, whichever of the two goes first.
func TestReplacement(t *testing.T) {
	do := func(tr *trial, op plan.Op, name string, status deploy.Status) {
		tr.tree.Report(deploy.Progress{Step: plan.Step{Op: op, Service: "web", Number: 1, Name: name}, Status: status})
	}
	const now, soon = "demo-web-1", "0123456789ab_demo-web-1"
	for name, ops := range map[string][]plan.Op{
		"new one first": {plan.Create, plan.Start, plan.Ready, plan.Stop, plan.Remove, plan.Rename},
		"old one first": {plan.Stop, plan.Create, plan.Start, plan.Remove, plan.Ready, plan.Rename},
	} {
		tr := newTrial(t, 80, 24, nil)
		for _, op := range ops {
			which := soon
			if op == plan.Stop || op == plan.Remove {
				which = now
			}
			do(tr, op, which, deploy.Running)
			doing, _ := words(op)
			if got := tr.draw(); len(got) != 2 || !strings.Contains(got[1], "web  "+doing) {
				t.Errorf("%s, %s:\n%s", name, op, strings.Join(got, "\n"))
			}
			do(tr, op, which, deploy.Done)
		}
		if last := tr.end(); len(last) != 1 || !strings.Contains(last[0], "✔ web  ready") {
			t.Errorf("%s: in the end\n%s", name, strings.Join(last, "\n"))
		}
	}
	tr := newTrial(t, 80, 24, nil)
	do(tr, plan.Ready, soon, deploy.Running)
	do(tr, plan.Remove, now, deploy.Running)
	do(tr, plan.Remove, now, deploy.Done)
	if got := tr.draw(); !strings.Contains(got[1], "web  waiting") {
		t.Errorf("it isn't ready yet:\n%s", strings.Join(got, "\n"))
	}
}

// A question has the terminal for itself.
func TestPause(t *testing.T) {
	tr := newTrial(t, 80, 24, nil)
	tr.report(plan.Build, "web", deploy.Running)
	tr.draw()
	tr.tree.Pause()
	tr.tree.draw()
	tr.check(tr.above)
	tr.term.line("sure? [y/N] y")
	tr.above = append(tr.above, "sure? [y/N] y")
	tr.tree.Resume()
	tr.draw()
	tr.end()
}

func TestDrain(t *testing.T) {
	tr := newTrial(t, 80, 24, phaseByName)
	drain := plan.Step{Op: plan.Drain, Name: "message bus", Optional: true}
	tr.tree.Report(deploy.Progress{Step: drain, Status: deploy.Running})
	tr.tree.Report(deploy.Progress{Step: drain, Status: deploy.Info, Text: "worker 3"})
	if got := tr.draw(); len(got) != 3 || !strings.Contains(got[2], "message bus  draining      0.1s  worker 3") {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	tr.tree.Report(deploy.Progress{Step: drain, Status: deploy.Done})
	if last := tr.end(); !strings.Contains(last[1], "✔ message bus  drained") {
		t.Errorf("in the end\n%s", strings.Join(last, "\n"))
	}
}

// Whatever happens in whatever order, the terminal shows the frame and all
// that was printed, and nothing else.
func TestAnyOrder(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		tr := newTrial(t, 80, 10+r.IntN(20), phaseByName)
		ops := []plan.Op{plan.Create, plan.Start, plan.Ready, plan.Stop, plan.Remove}
		statuses := []deploy.Status{deploy.Running, deploy.Running, deploy.Done, deploy.Done, deploy.Done, deploy.Failed}
		for i := range 150 {
			service := []string{"bus", "db", "in", "worker"}[r.IntN(4)] + fmt.Sprint(r.IntN(1+i/10))
			tr.report(ops[r.IntN(len(ops))], service, statuses[r.IntN(len(statuses))])
			if r.IntN(9) == 0 {
				tr.say(fmt.Sprintf("note %d", i))
			}
			if r.IntN(3) == 0 {
				tr.draw()
			}
		}
		tr.end()
	}
}

// A tree that draws itself ends its goroutine, and shows the end at once.
func TestLive(t *testing.T) {
	term := newTerminal(80, 24)
	tree := NewTree("down demo", term, nil, uncoloured)
	tree.Report(deploy.Progress{Step: plan.Step{Op: plan.Remove, Service: "web", Name: "demo-web-1"}, Status: deploy.Done})
	tree.End()
	if got := term.screen(); len(got) != 1 || !strings.Contains(got[0], "✔ web  removed") {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	if interval < time.Second/15 {
		t.Error("more than 15 frames a second")
	}
}
