package inproc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
	"woodwork.dev/ww/runtime/deploy/inproc"
)

func needBench(t *testing.T) {
	if os.Getenv("WW_BENCH") == "" {
		t.Skip("WW_BENCH is not set: this prints figures, and takes its time")
	}
}

// TestBenchStart: a component costs less than a millisecond to start, however
// many there are.
func TestBenchStart(t *testing.T) {
	needBench(t)
	for _, n := range []int{10, 100} {
		var took []time.Duration
		for range 5 {
			w := newWorld(t)
			w.opts.Components, w.opts.Servers = nil, nil
			for i := range n {
				w.opts.Components = append(w.opts.Components, inproc.Component{Config: component.Config{Name: fmt.Sprint("c", i), Kind: "core", Type: "test"}})
			}
			begin := time.Now()
			s := w.start()
			took = append(took, time.Since(begin))
			w.stop(s)
		}
		slices.Sort(took)
		each := took[2] / time.Duration(n)
		t.Logf("%d components: ready after %s, %s each (limit 1 ms)", n, took[2].Round(time.Microsecond), each)
		if each > time.Millisecond {
			t.Errorf("%d components: %s each", n, each)
		}
	}
}

// TestBenchInput: what a server makes of requests, with 64 connections, beside a
// bare HTTP server that reads and writes the same JSON.
func TestBenchInput(t *testing.T) {
	needBench(t)
	w := newWorld(t)
	w.handle = func(_ context.Context, _ string, m bus.Message) (json.RawMessage, error) { return m.Payload, nil }
	s := w.start()
	defer w.stop(s)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	bare := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Value json.RawMessage }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"value": in.Value})
	})}
	go func() { _ = bare.Serve(l) }()
	defer func() { _ = bare.Close() }()
	var rates [2][]float64
	var p99 []time.Duration
	for range 3 { // in turn, as the machine isn't ours alone
		for i, url := range []string{"http://" + l.Addr().String() + "/", "http://" + s.Addresses()["edge"] + "/b/input"} {
			rate, last := load(t, url, 64, 3*time.Second)
			rates[i] = append(rates[i], rate)
			if i == 1 {
				p99 = append(p99, last)
			}
		}
	}
	for i := range rates {
		slices.Sort(rates[i])
	}
	slices.Sort(p99)
	ratio := rates[1][1] / rates[0][1]
	t.Logf("POST /NAME/input: %.0f/s (wanted 20,000), p99 %s (limit 20 ms), %.2f of bare net/http's %.0f/s (limit 0.5); client and server share the machine",
		rates[1][1], p99[1].Round(100*time.Microsecond), ratio, rates[0][1])
	if ratio < 0.5 || p99[1] > 20*time.Millisecond {
		t.Errorf("beyond its limit")
	}
}

// load posts over so many connections, and gives requests a second and the time
// that 99 of 100 take at the most.
func load(t *testing.T, url string, connections int, d time.Duration) (float64, time.Duration) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections}}
	defer client.CloseIdleConnections()
	var wg sync.WaitGroup
	var failed atomic.Int64
	times := make([][]time.Duration, connections)
	end := time.Now().Add(d)
	begin := time.Now()
	for i := range connections {
		wg.Go(func() {
			for time.Now().Before(end) {
				at := time.Now()
				res, err := client.Post(url, "application/json", strings.NewReader(`{"value":"hello"}`))
				if err != nil || res.StatusCode != http.StatusOK {
					failed.Add(1)
				}
				if err == nil {
					_, _ = io.Copy(io.Discard, res.Body)
					_ = res.Body.Close()
				}
				times[i] = append(times[i], time.Since(at))
			}
		})
	}
	wg.Wait()
	took := time.Since(begin)
	if n := failed.Load(); n > 0 {
		t.Errorf("%s: %d requests failed", url, n)
	}
	all := slices.Concat(times...)
	slices.Sort(all)
	return float64(len(all)) / took.Seconds(), all[len(all)*99/100]
}
