package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
)

const shouting = `
shout = core exec { image: "busybox:stable"  command: ["tr", "a-z", "A-Z"]  to: out }
out = output console {}
`

// TestSendDuringUpdates: what is sent while containers are replaced is answered,
// and handled once.
func TestSendDuringUpdates(t *testing.T) {
	t.Parallel()
	s := newSystem(t, "sends", map[string]string{"main.ww": shouting})
	s.ww("compose", "up", "-d")
	updated := make(chan struct{})
	var mu sync.Mutex
	sent := map[string]bool{}
	var senders sync.WaitGroup
	for sender := range 3 {
		senders.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-updated:
					return
				default:
				}
				text := fmt.Sprintf("message %d of %d", i, sender)
				code, out := s.exit("send", "shout", text)
				if want := strings.ToUpper(text) + "\n"; code != exitOK || out != want {
					t.Errorf("%s: exit code %d\n%s", text, code, out)
				}
				mu.Lock()
				sent[strings.ToUpper(text)] = true
				mu.Unlock()
			}
		})
	}
	// The one that is sent to, and then all that there are.
	s.write("main.ww", strings.Replace(shouting, `"A-Z"]`, `"A-Z"]  concurrency: 4`, 1))
	first := s.ww("compose", "up", "-d")
	s.write("main.ww", strings.NewReplacer(`"A-Z"]`, `"A-Z"]  concurrency: 5`, "console {}", "console { concurrency: 3 }").Replace(shouting))
	second := s.ww("compose", "up", "-d")
	close(updated)
	senders.Wait()
	if !strings.Contains(first, "removed") || !strings.Contains(second, "removed") {
		t.Fatalf("nothing was replaced\n%s\n%s", first, second)
	}
	var l look
	if err := json.Unmarshal([]byte(s.ww("bus", "stats", "--format", "json")), &l); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"shout", "out"} {
		if got := l.Components[name]; got.Handled != int64(len(sent)) || got.Dead > 0 || got.Depth > 0 {
			t.Errorf("%s: %+v, want %d messages handled", name, got, len(sent))
		}
	}
	t.Logf("%d messages were sent", len(sent))
}
