package host_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/component"
)

// TestStopUnderLoad: clients that keep their connections open get an answer to
// each request that they sent, also while the component stops.
func TestStopUnderLoad(t *testing.T) {
	s := newSystem(t)
	for range 10 {
		o := s.options(component.Config{Name: "c"}, func(context.Context, component.Env) (*component.Instance, error) {
			return &component.Instance{Routes: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(w, r.Body)
			})}, nil
		})
		o.Grace = patience
		r := start(t, o)
		var clients sync.WaitGroup
		var answered, closed atomic.Int64
		busy := make(chan struct{})
		for range 8 {
			clients.Go(func() {
				c := &http.Client{Transport: &http.Transport{}}
				defer c.CloseIdleConnections()
				for {
					res, err := c.Post("http://"+r.addr+"/", "text/plain", strings.NewReader("x"))
					if err != nil {
						// Only that it isn't there any more, which another one then is.
						if !strings.Contains(err.Error(), "connection refused") {
							t.Error(err)
						}
						return
					}
					body, err := io.ReadAll(res.Body)
					_ = res.Body.Close()
					if err != nil || res.StatusCode == http.StatusOK && string(body) != "x" {
						t.Errorf("%d %q, %v", res.StatusCode, body, err)
					}
					if answered.Add(1) == 100 {
						close(busy)
					}
					if res.Close {
						closed.Add(1)
						return // to where the new one is
					}
				}
			})
		}
		<-busy
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		clients.Wait()
		if closed.Load() == 0 {
			t.Errorf("of %d answers none says that the connection is closed", answered.Load())
		}
	}
}

// TestStopTurnsAway: clients that make a connection for each request are told
// that the component goes, before it refuses connections: who then looks for
// another one has no request broken off.
func TestStopTurnsAway(t *testing.T) {
	s := newSystem(t)
	o := s.options(component.Config{Name: "c"}, func(context.Context, component.Env) (*component.Instance, error) {
		return &component.Instance{Routes: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(w, r.Body)
		})}, nil
	})
	o.Grace = patience
	r := start(t, o)
	const number = 60 // as many as a busy processor answers within the moment that they have
	var clients sync.WaitGroup
	var answered, told atomic.Int64
	busy := make(chan struct{})
	for range number {
		clients.Go(func() {
			c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			for {
				res, err := c.Post("http://"+r.addr+"/", "text/plain", strings.NewReader("x"))
				if err != nil {
					t.Error(err)
					return
				}
				_, err = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
				switch {
				case err != nil:
					t.Error(err)
				case res.StatusCode == http.StatusServiceUnavailable:
					if res.Header.Get("Retry-After") == "" {
						t.Error("it doesn't say when to come again")
					}
					told.Add(1)
					return
				case answered.Add(1) == 3*number:
					close(busy)
				}
			}
		})
	}
	<-busy
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	clients.Wait()
	if told.Load() != number {
		t.Errorf("%d of %d clients were told", told.Load(), number)
	}
}

// What has no connection stops at once, and one that says nothing is waited for
// for a moment only.
func TestStopIsQuick(t *testing.T) {
	s := newSystem(t)
	for _, silent := range []bool{false, true} {
		o := s.options(component.Config{Name: "c"}, func(context.Context, component.Env) (*component.Instance, error) {
			return &component.Instance{Routes: http.NotFoundHandler()}, nil
		})
		o.Grace = patience
		r := start(t, o)
		c := &http.Client{Transport: &http.Transport{DisableKeepAlives: !silent}}
		res, err := c.Post("http://"+r.addr+"/", "text/plain", nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		begin := time.Now()
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); silent && took > patience/4 || !silent && took > 400*time.Millisecond {
			t.Errorf("silent %t: it took %s", silent, took)
		}
		c.CloseIdleConnections()
	}
}
