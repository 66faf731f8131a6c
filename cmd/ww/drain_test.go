package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"woodwork.dev/ww/chaos"
)

// clients post numbers, each client those of its own session, until stop is
// closed, and keep what they have been told.
type clients struct {
	url  string
	stop chan struct{}
	end  func() // stops them and waits
	wg   sync.WaitGroup

	accepted chan struct{} // one for each number that is
	mu       sync.Mutex
	records  []chaos.Record
}

func startClients(t *testing.T, url string, n int) *clients {
	t.Helper()
	c := &clients{url: url, stop: make(chan struct{}), accepted: make(chan struct{}, 10_000)}
	for i := range n {
		c.wg.Go(func() { c.post(fmt.Sprintf("http-%d", i)) })
	}
	c.end = sync.OnceFunc(func() {
		close(c.stop)
		c.wg.Wait()
	})
	t.Cleanup(c.end)
	return c
}

func (c *clients) record(n chaos.Number, e chaos.Event, err error) {
	r := chaos.Record{Number: n, Event: e, At: time.Now()}
	if err != nil {
		r.Error = err.Error()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.records = append(c.records, r)
}

func (c *clients) post(session string) {
	client := &http.Client{Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	for n := 1; ; {
		select {
		case <-c.stop:
			return
		default:
		}
		number := chaos.Number{Session: session, N: n}
		c.record(number, chaos.Called, nil)
		refused, err := post(client, c.url, number)
		switch {
		case err == nil:
			c.record(number, chaos.Acknowledged, nil)
			c.accepted <- struct{}{}
			n++
			continue
		case !refused: // it may have been taken
			n++
		}
		c.record(number, chaos.Unknown, err)
		select {
		case <-c.stop:
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// await returns when n numbers more have been accepted.
func (c *clients) await(t *testing.T, n int) {
	t.Helper()
	deadline := time.After(time.Minute)
	for range n {
		select {
		case <-c.accepted:
		case <-deadline:
			t.Fatalf("clients aren't served: not %d numbers in a minute", n)
		}
	}
}

// post reports whether a number that isn't accepted is known not to have been
// taken: nobody listens, or the answer says so.
func post(client *http.Client, url string, n chaos.Number) (refused bool, err error) {
	body, err := json.Marshal(map[string]any{"value": n, "session": n.Session})
	if err != nil {
		return true, err
	}
	res, err := client.Post(url, "application/json", bytes.NewReader(body))
	var dial *net.OpError
	if err != nil {
		return errors.As(err, &dial) && dial.Op == "dial", err
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusOK {
		return false, nil
	}
	return res.StatusCode == http.StatusServiceUnavailable, errors.New(res.Status)
}

// TestDrainUnderLoad: a down in the middle of work and an up later lose
// nothing and do nothing twice, neither of what clients were told is done, nor
// of what only the bus has.
func TestDrainUnderLoad(t *testing.T) {
	t.Parallel()
	c := newTurmoil(t, "drain", turmoilOptions{
		bus: "redis", replicas: 1, messages: 4000, sessions: 50, window: 3000, work: 100 * time.Millisecond,
	})
	c.ww("compose", "up", "-d", "--quiet")
	out, stop := c.follow("collected 400.")
	web := startClients(t, "http://127.0.0.1:"+c.port()+"/", 4)
	out.wait(t, "nothing comes out", out.seen)
	web.await(t, 8)
	begin := time.Now()
	code, told := c.exit("compose", "down", "--quiet", "--drain", "200ms")
	down := time.Since(begin)
	stop()
	if code != exitDrain || !strings.Contains(told, "it waits on the bus's volume") {
		t.Errorf("a down that can't wait: exit code %d\n%s", code, told)
	}
	records, err := chaos.ReadJournal(c.out(chaos.LoadJournal))
	if err != nil {
		t.Fatal(err)
	}
	waiting := chaos.Count(records).Lost
	if waiting == 0 {
		t.Error("nothing was under way when it went down: that proves nothing")
	}
	c.ww("compose", "up", "-d", "--quiet")
	out, _ = c.follow("all sent.")
	out.wait(t, "not everything is sent after the second up", out.seen)
	web.await(t, len(web.accepted)+20)
	web.end()
	// All is sent: now a down waits until all is handled.
	c.ww("compose", "down", "--quiet", "--drain", "1m")
	if records, err = chaos.ReadJournal(c.out(chaos.LoadJournal)); err != nil {
		t.Fatal(err)
	}
	if left := chaos.Count(records).Lost; left > 0 {
		t.Errorf("down left %d messages though it had the time", left)
	}
	c.ww("compose", "up", "-d", "--quiet")
	out, _ = c.follow("all sent.")
	out.wait(t, "not everything comes out", out.expect("finished."))
	report, _ := c.count(web.records...)
	t.Logf("%s\ndown took %.1f s and left %d messages to the next up", report, down.Seconds(), waiting)
	c.ww("compose", "down", "-v", "--quiet")
}
