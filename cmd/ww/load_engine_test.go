package main

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestInputUnderLoad: clients that make a connection for each request, and look
// for the input again where it says that it goes, have none broken off while an
// update replaces it.
func TestInputUnderLoad(t *testing.T) {
	const number = 240
	file := `
in = input api { max_body: 1000  to: shout }
shout = core template { template: "{{ .payload }}"  concurrency: 64 }
`
	s := newSystem(t, "load", map[string]string{
		// The engine picks the port, so that the new one can start first.
		"main.ww": file, "port.yaml": `services: { in: { ports: !override ["127.0.0.1::8080"] } }`,
	})
	s.env = append(s.env, "COMPOSE_FILE=main.ww:port.yaml")
	s.ww("compose", "up", "-d", "--quiet")
	port := func() string { return strings.TrimSpace(s.ww("compose", "port", "in", "8080")) }
	address := port()
	updated := make(chan struct{})
	var answered, turned, refused, broken atomic.Int64
	var clients sync.WaitGroup
	busy := make(chan struct{})
	for range number {
		clients.Go(func() {
			c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
			for {
				select {
				case <-updated:
					return
				default:
				}
				res, err := c.Post("http://"+address+"/", "text/plain", strings.NewReader("x"))
				if err == nil {
					_, err = io.Copy(io.Discard, res.Body)
					_ = res.Body.Close()
				}
				switch {
				case errors.Is(err, syscall.ECONNREFUSED):
					refused.Add(1)
				case err != nil:
					if broken.Add(1) <= 3 {
						t.Log(err)
					}
				case res.StatusCode == http.StatusServiceUnavailable:
					turned.Add(1)
				default:
					if answered.Add(1) == number {
						close(busy)
					}
					continue
				}
				return // to the new one
			}
		})
	}
	<-busy
	s.write("main.ww", strings.Replace(file, "1000", "1001", 1))
	out := s.ww("compose", "up", "-d")
	if port() == address {
		t.Errorf("it wasn't replaced\n%s", out)
	}
	close(updated)
	clients.Wait()
	t.Logf("%d requests were answered, %d turned away, %d refused, %d broken off", answered.Load(), turned.Load(), refused.Load(), broken.Load())
	if turned.Load() == 0 {
		t.Error("nobody was told that it goes")
	}
	if n := broken.Load(); n > 0 {
		t.Errorf("%d requests were broken off", n)
	}
}
