package deploy_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/dockerx/enginetest"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

// never is a health check that doesn't succeed when it is run by hand.
func never(enginetest.Exec) int { return 1 }

func TestOrder(t *testing.T) {
	w := newWorld(t, enginetest.Options{Services: map[string]enginetest.Behaviour{"migrate": {Exits: true}}},
		"db+:", "cache:", "migrate: db+", "web: migrate! cache db+ ?absent+", "tail: web")
	w.mustUp()
	for _, edge := range []struct {
		op     plan.Op
		before string
		after  string
	}{
		{plan.Ready, "db", "migrate"}, {plan.Completed, "migrate", "web"}, {plan.Start, "cache", "web"}, {plan.Start, "web", "tail"},
	} {
		if w.moment(edge.op, edge.before, deploy.Done) > w.moment(plan.Start, edge.after, deploy.Running) {
			t.Errorf("%s starts before: %s %s", edge.after, edge.op, edge.before)
		}
	}
	if c := w.container("migrate"); c.State != plan.Exited {
		t.Errorf("the job: %+v", c)
	}
	if again, err := deploy.Preview(w.ctx, w.driver, w.request()); err != nil || !again.Empty() {
		t.Errorf("what is up needs nothing, not even a job again: %v\n%s", err, again)
	}
}

// TestCreateWhileTheBusStarts: everything is created while the bus isn't ready
// yet, and nothing is started before it is.
func TestCreateWhileTheBusStarts(t *testing.T) {
	w := newWorld(t, enginetest.Options{Exec: never, Services: map[string]enginetest.Behaviour{"bus": {Health: enginetest.HealthWhenAsked}}},
		"bus+:", "a: bus+", "b: bus+", "c: bus+")
	_, err := w.upMeanwhile(func() {
		w.await(4, "container.create")
		w.await(1, "container.start")
		w.await(3, "exec.create")
		if n := len(w.fake.Calls("container.start")); n != 1 {
			t.Errorf("%d containers are started while the bus isn't ready", n)
		}
		w.fake.SetHealth("bus", true)
	})
	if err != nil {
		t.Fatal(err)
	}
	calls := w.fake.Calls("container.create", "container.start")
	if got := opsOf(calls[5:]); len(calls) != 8 || strings.Contains(got, "create") {
		t.Errorf("after the bus: %s", got)
	}
}

// TestQuiet: a check that the engine runs soon, and that nothing waits for, isn't run
// by hand while there is something to start.
func TestQuiet(t *testing.T) {
	var mu sync.Mutex
	checked := map[string]int{}
	count := func(service string) int {
		mu.Lock()
		defer mu.Unlock()
		return checked[service]
	}
	w := newWorld(t, enginetest.Options{
		Exec: func(x enginetest.Exec) int {
			mu.Lock()
			defer mu.Unlock()
			checked[x.Service]++
			if x.Service == "slow" {
				return 1
			}
			return 0
		},
		Services: map[string]enginetest.Behaviour{"slow": {Health: enginetest.HealthWhenAsked}, "a": {Health: enginetest.HealthWhenAsked}, "rare": {Health: enginetest.HealthWhenAsked}},
	}, "slow+:", "b: slow+", "a+:", "rare+:")
	often := types.Duration(2 * time.Second)
	for _, name := range []string{"slow", "a"} {
		w.change(name, func(s *types.ServiceConfig) { s.HealthCheck.Interval = &often })
	}
	_, err := w.upMeanwhile(func() {
		w.await(6, "exec.create")
		if count("a") > 0 || count("slow") < 2 || count("rare") != 1 {
			t.Errorf("checks while something is to be started: %v", checked)
		}
		w.fake.SetHealth("slow", true)
	})
	if err != nil {
		t.Fatal(err)
	}
	if count("a") != 1 {
		t.Errorf("checks in the end: %v", checked)
	}
}

func TestReadyBy(t *testing.T) {
	t.Run("probe", func(t *testing.T) { // the engine never looks
		w := newWorld(t, enginetest.Options{Services: map[string]enginetest.Behaviour{"a": {Health: enginetest.HealthWhenAsked}}}, "a+:")
		w.mustUp()
		if h := w.container("a").Health; h != plan.Starting {
			t.Errorf("the engine's verdict: %s", h)
		}
	})
	t.Run("probe that comes right", func(t *testing.T) {
		var n int
		var mu sync.Mutex
		w := newWorld(t, enginetest.Options{
			Services: map[string]enginetest.Behaviour{"a": {Health: enginetest.HealthWhenAsked}},
			Exec: func(x enginetest.Exec) int {
				mu.Lock()
				defer mu.Unlock()
				if n++; n < 3 || strings.Join(x.Cmd, " ") != "check" {
					return 1
				}
				return 0
			},
		}, "a+:")
		w.mustUp()
	})
	t.Run("event", func(t *testing.T) { // the probe never succeeds
		w := newWorld(t, enginetest.Options{Exec: never, Services: map[string]enginetest.Behaviour{"a": {Health: enginetest.HealthWhenAsked}}}, "a+:")
		if _, err := w.upMeanwhile(func() { w.await(1, "exec.create"); w.fake.SetHealth("a", true) }); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("running for a while", func(t *testing.T) {
		w := newWorld(t, enginetest.Options{}, "a:")
		begin := time.Now()
		w.mustUp()
		if d := time.Since(begin); d < time.Second || d > 10*time.Second {
			t.Errorf("it settles for %v", d)
		}
	})
}

// TestWaitForJobs: a job that ends well is a success, though nobody needs it.
func TestWaitForJobs(t *testing.T) {
	for _, policy := range []string{"", "no", "on-failure"} {
		w := newWorld(t, enginetest.Options{Services: map[string]enginetest.Behaviour{"a": {Exits: true}}}, "a:")
		w.change("a", func(s *types.ServiceConfig) { s.Restart = policy })
		w.mustUp()
	}
}

// TestJobIsRetried: a job whose policy is to be started again after a failure
// gets that, as often as the policy says.
func TestJobIsRetried(t *testing.T) {
	fails := enginetest.Behaviour{Exits: true, ExitCode: 3}
	t.Run("and succeeds", func(t *testing.T) {
		w := newWorld(t, enginetest.Options{Services: map[string]enginetest.Behaviour{"job": fails}}, "job:", "web: job!")
		w.change("job", func(s *types.ServiceConfig) { s.Restart = "on-failure" })
		_, err := w.upMeanwhile(func() {
			w.await(1, "container.start")
			w.fake.SetBehaviour("job", enginetest.Behaviour{Exits: true})
		})
		if err != nil {
			t.Error(err)
		}
	})
	t.Run("in vain", func(t *testing.T) {
		w := newWorld(t, enginetest.Options{Services: map[string]enginetest.Behaviour{"job": fails}}, "job:", "web: job!")
		w.change("job", func(s *types.ServiceConfig) { s.Restart = "on-failure:2" })
		_, err := w.up(w.ctx)
		wantComponentError(t, err, "job", "exited with code 3")
		if started := w.begun(plan.Start); started != "job" {
			t.Errorf("started: %s", started)
		}
	})
	t.Run("until it has taken too long", func(t *testing.T) {
		w := newWorld(t, enginetest.Options{Services: map[string]enginetest.Behaviour{"job": fails}}, "job:", "web: job!")
		w.change("job", func(s *types.ServiceConfig) { s.Restart = "on-failure" })
		_, err := w.up(w.ctx, func(r *deploy.UpRequest) { r.Timeout = 300 * time.Millisecond })
		wantComponentError(t, err, "job", "exited with code 3")
	})
}

// TestOptional: what isn't required is waited for, and its failure is not that
// of those who can do without.
func TestOptional(t *testing.T) {
	behaviour := map[string]enginetest.Behaviour{
		"sick": {Health: enginetest.NeverHealthy}, "job": {Exits: true, ExitCode: 2},
	}
	for lines, want := range map[string]string{
		"sick+:|web: ?sick+":               "",
		"job:|web: ?job!":                  "",
		"sick+:|web: sick+":                "sick is unhealthy",
		"job:|web: job!":                   "job exited with code 2",
		"sick+:|web: ?sick+|other: sick+":  "sick is unhealthy",
		"web: ?absent+ ?gone!":             "",
		"job:|sick+:|web: ?job! ?sick+":    "",
		"job:|sick+:|web: ?job!|b: sick+ ": "sick is unhealthy",
	} {
		for _, wait := range []bool{false, true} {
			w := newWorld(t, enginetest.Options{Exec: never, Services: behaviour}, strings.Split(lines, "|")...)
			_, err := w.up(w.ctx, func(r *deploy.UpRequest) { r.Options.Wait = wait })
			if got := fmt.Sprint(err); err != nil && got != want || err == nil && want != "" {
				t.Errorf("%s, wait %v: %v, want %q", lines, wait, err, want)
			}
			if started := strings.Contains(w.begun(plan.Start), "web"); want == "" && !started {
				t.Errorf("%s, wait %v: web isn't started", lines, wait)
			}
		}
	}
}

// TestConditionsAreMixed: one waits for a job to be healthy, another for its
// result.
func TestConditionsAreMixed(t *testing.T) {
	w := newWorld(t, enginetest.Options{}, "job+:", "during: job+", "after: job!")
	_, err := w.upMeanwhile(func() {
		w.await(2, "container.start")
		if started := w.begun(plan.Start); started != "during job" {
			t.Errorf("started while the job is under way: %s", started)
		}
		w.fake.Exit("job", 0)
	})
	if err != nil {
		t.Fatal(err)
	}
	if w.moment(plan.Ready, "job", deploy.Done) > w.moment(plan.Start, "during", deploy.Running) {
		t.Error("it is started before the job is healthy")
	}
}

// counted counts the calls that are under way at once.
type counted struct {
	deploy.Driver
	mu        sync.Mutex
	now, most int
}

func (c *counted) call() func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now++
	c.most = max(c.most, c.now)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.now--
	}
}

func (c *counted) Create(ctx context.Context, p *types.Project, s deploy.ContainerSpec) (string, error) {
	defer c.call()()
	return c.Driver.Create(ctx, p, s)
}

func (c *counted) Start(ctx context.Context, id string) error {
	defer c.call()()
	return c.Driver.Start(ctx, id)
}

func (c *counted) Stop(ctx context.Context, id string, grace *time.Duration) error {
	defer c.call()()
	return c.Driver.Stop(ctx, id, grace)
}

func (c *counted) Remove(ctx context.Context, id string, volumes bool) error {
	defer c.call()()
	return c.Driver.Remove(ctx, id, volumes)
}

func TestParallel(t *testing.T) {
	var lines []string
	for i := range 12 {
		lines = append(lines, fmt.Sprintf("s%d+:", i))
	}
	for _, parallel := range []int{1, 3} {
		w := newWorld(t, enginetest.Options{}, lines...)
		for _, op := range []string{"container.create", "container.start", "container.remove"} {
			w.fake.Inject(enginetest.Fault{Op: op, Kind: enginetest.Late, Delay: 10 * time.Millisecond})
		}
		c := &counted{Driver: w.driver}
		w.driver = c
		w.mustUp(func(r *deploy.UpRequest) { r.Parallel = parallel })
		if c.most != parallel {
			t.Errorf("up: %d calls at once, want %d", c.most, parallel)
		}
		c.most = 0
		_, err := deploy.Down(w.ctx, c, deploy.DownRequest{Name: "p", Have: w.observe(), Parallel: parallel})
		if err != nil || c.most != parallel {
			t.Errorf("down: %v, %d calls at once, want %d", err, c.most, parallel)
		}
	}
}

func TestDownOrder(t *testing.T) {
	w := newWorld(t, enginetest.Options{}, "bus+:", "a+: bus+", "b+: a")
	w.withVolume("bus")
	w.mustUp()
	id := map[string]string{}
	for _, c := range w.observe().Containers {
		id[c.ID] = c.Service
	}
	if err := w.down(w.ctx); err != nil {
		t.Fatal(err)
	}
	var stops []string
	for _, c := range w.fake.Calls("container.stop") {
		stops = append(stops, id[c.Target])
	}
	if !slices.Equal(stops, []string{"b", "a", "bus"}) || w.left() != "" {
		t.Errorf("stopped: %v, left: %s", stops, w.left())
	}
}

// TestDownGoesOn: what fails keeps what it depends on, and nothing else.
func TestDownGoesOn(t *testing.T) {
	w := newWorld(t, enginetest.Options{}, "bus+:", "a+: bus+", "b+: bus+")
	w.mustUp()
	a := w.container("a")
	w.fake.Inject(enginetest.Fault{Op: "container.stop", Target: a.ID, N: 1, Kind: enginetest.Fail, Message: "broken"})
	err := w.down(w.ctx)
	wantEngineError(t, err, deploy.Other, "stop container p-a-1")
	if left := w.left(); left != "p-a-1 p-bus-1 p_default" {
		t.Errorf("left: %s", left)
	}
	if err := w.down(w.ctx); err != nil || w.left() != "" {
		t.Errorf("again: %v, left: %s", err, w.left())
	}
}
