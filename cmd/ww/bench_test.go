package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/compose"
	"woodwork.dev/ww/dockerx"
	"woodwork.dev/ww/runtime/deploy"
)

// TestBenchUp compares `ww compose up` of ten independent components with the
// engine calls that it can't do without, made as fast as the engine takes them
// and with nothing between; and, where COMPOSE names one, with docker compose
// on the exported file. Rounds alternate, medians count.
func TestBenchUp(t *testing.T) {
	if os.Getenv("WW_BENCH") == "" {
		t.Skip("`make bench` runs it")
	}
	const components, rounds = 10, 5
	var src strings.Builder
	for i := range components {
		fmt.Fprintf(&src, "c%d = output console {}\n", i)
	}
	s := newSystem(t, "bench", map[string]string{"main.ww": src.String()})
	s.ww("compose", "build", "--missing")
	s.ww("compose", "export", "-o", "docker-compose.yml")

	down := func() { s.ww("compose", "down", "-v", "-t", "0", "--quiet") }
	timed := func(f func()) time.Duration {
		begin := time.Now()
		f()
		d := time.Since(begin)
		down()
		return d
	}
	other := os.Getenv("COMPOSE")
	var up, bare, theirs []time.Duration
	parallel := []int{2, 4, 8, 16}
	best := map[int][]time.Duration{}
	for range rounds {
		up = append(up, timed(func() { s.ww("compose", "up", "-d", "--quiet") }))
		for _, n := range parallel {
			best[n] = append(best[n], timed(func() { bareUp(t, s, n) }))
		}
		if other != "" {
			theirs = append(theirs, timed(func() {
				c := exec.Command(other, "up", "-d", "--wait")
				c.Dir, c.Env = s.dir, s.env
				if out, err := c.CombinedOutput(); err != nil {
					t.Fatalf("docker compose: %v\n%s", err, out)
				}
			}))
		}
	}
	at := 0
	for _, n := range parallel {
		if d := best[n]; bare == nil || median(d) < median(bare) {
			bare, at = d, n
		}
	}
	ratio := median(up).Seconds() / median(bare).Seconds()
	fmt.Printf("up of %d components: %.2f s; bare calls, %d at a time: %.2f s; ratio %.2f (at most 1.50)\n",
		components, median(up).Seconds(), at, median(bare).Seconds(), ratio)
	if other != "" {
		fmt.Printf("docker compose up --wait on the exported file: %.2f s; ww is at %.2f of it\n",
			median(theirs).Seconds(), median(up).Seconds()/median(theirs).Seconds())
	} else {
		fmt.Println("docker compose: not compared, COMPOSE names none")
	}
	if ratio > 1.5 {
		t.Errorf("up takes %.2f times what the engine needs", ratio)
	}
}

func median(ds []time.Duration) time.Duration {
	ds = slices.Sorted(slices.Values(ds))
	return ds[len(ds)/2]
}

// bareUp makes the calls of an up, n at a time, and waits for nothing.
func bareUp(t *testing.T, s *system, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	e, err := dockerx.Open(ctx, dockerx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	l, err := compose.Load(ctx, compose.Request{Files: []string{filepath.Join(s.dir, "docker-compose.yml")}, Name: s.name})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.CreateNetwork(ctx, l.Project, "default"); err != nil {
		t.Fatal(err)
	}
	if err := e.CreateVolume(ctx, l.Project, "bus-data"); err != nil {
		t.Fatal(err)
	}
	work := make(chan types.ServiceConfig)
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for svc := range work {
				name := s.name + "-" + svc.Name + "-1"
				id, err := e.Create(ctx, l.Project, deploy.ContainerSpec{Service: svc, Number: 1, Name: name, Labels: map[string]string{
					"com.docker.compose.project": s.name, "com.docker.compose.service": svc.Name, "com.docker.compose.container-number": "1",
					"com.docker.compose.oneoff": "False",
				}})
				if err == nil {
					err = e.Start(ctx, id)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, name := range l.Project.ServiceNames() {
		work <- l.Project.Services[name]
	}
	close(work)
	wg.Wait()
}
