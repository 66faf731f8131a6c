package inproc_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
	cexec "woodwork.dev/ww/runtime/component/exec"
	"woodwork.dev/ww/runtime/scale"
)

// TestScaleCPU: the processor's load has a say for components with processes of
// their own, and none for those that share that of the system.
func TestScaleCPU(t *testing.T) {
	policy := func() *scale.Policy {
		return &scale.Policy{Min: 1, Max: 2, CPU: 5, Concurrency: 1, DownAfter: 100 * time.Millisecond, CoolDown: 50 * time.Millisecond}
	}
	// more keeps it busy until there are two instances: whatever waits has no say.
	more := func(t *testing.T, w *pooled, payload string) {
		s := w.start()
		next := 0
		eventually(t, "two are ready", func() bool {
			for ; w.stats().Depth < 3; next++ {
				m := bus.Message{Pattern: bus.PointToPoint, Target: "b", Sender: "test", SessionID: fmt.Sprint(next), Payload: component.JSONString(payload)}
				if err := w.bus.Publish(t.Context(), m); err != nil {
					t.Fatal(err)
				}
			}
			return w.instances() == 2
		})
		eventually(t, "one is gone", func() bool { return w.instances() == 1 })
		w.stop(s)
		if len(w.scales) != 2 || !strings.Contains(w.scales[0], "the load of an instance is") || !strings.Contains(w.scales[0], " 5 % is wanted") {
			t.Errorf("%q", w.scales)
		}
	}
	t.Run("isolated", func(t *testing.T) {
		w := newPooled(t, 1, policy())
		w.opts.Isolate, w.opts.Guard = itself("isolated"), itself("guard")
		w.opts.Components[0].Config.Type, w.opts.Components[0].Isolated = "mortal", true
		more(t, w, "burn")
	})
	t.Run("program", func(t *testing.T) {
		w := newPooled(t, 1, policy())
		w.opts.Guard = itself("guard")
		w.opts.Builders["core exec"] = cexec.Build
		c := &w.opts.Components[0]
		c.Programs, c.Config.Type = true, "exec"
		c.Config.Settings = json.RawMessage(`{"command":["sh","-c","i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; cat"],"mode":"message","concurrency":1}`)
		more(t, w, "x")
	})
	// Without processes of its own ten messages per instance may wait, as ever.
	t.Run("inline", func(t *testing.T) {
		w := newPooled(t, 1, policy())
		s := w.start()
		w.publish(0, 25)
		eventually(t, "two are ready", func() bool { return w.instances() == 2 })
		close(w.gate)
		w.stop(s)
		if !strings.Contains(w.scales[0], "messages wait, 10 per instance are wanted") {
			t.Errorf("%q", w.scales)
		}
	})
}
