package plan

import (
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
)

// shop is a project as its labels tell: web (two containers) needs api ready and
// follows its restarts, api needs db ready and migrate done.
func shop(state State) []Container {
	c := func(service string, n int, deps ...Dependency) Container {
		name := service + "-" + string(rune('0'+n))
		return Container{ID: "id-" + name, Name: name, Service: service, Number: n, State: state, DependsOn: deps}
	}
	dep := func(service, condition string, restart bool) Dependency {
		return Dependency{Service: service, Condition: condition, Restart: restart}
	}
	job := c("migrate", 1, dep("db", types.ServiceConditionHealthy, false))
	job.State = Exited
	once := c("web", 0)
	once.OneOff = true
	return []Container{
		c("db", 1), job,
		c("api", 1, dep("db", types.ServiceConditionHealthy, true), dep("migrate", types.ServiceConditionCompletedSuccessfully, false)),
		c("web", 1, dep("api", types.ServiceConditionStarted, true)),
		c("web", 2, dep("api", types.ServiceConditionStarted, true)), once,
	}
}

func all(Container) bool { return true }

func only(services ...string) func(Container) bool {
	return func(c Container) bool { return strings.Contains(strings.Join(services, " "), c.Service) }
}

func TestOperate(t *testing.T) {
	circle := []Container{
		{ID: "a", Name: "a", Service: "a", State: Running, DependsOn: []Dependency{{Service: "b", Restart: true}}},
		{ID: "b", Name: "b", Service: "b", State: Running, DependsOn: []Dependency{{Service: "a", Restart: true}}},
	}
	starting := shop(Exited)
	starting[0].State, starting[0].Health = Running, Starting
	failed := shop(Exited)
	failed[1].ExitCode = 1
	for name, tt := range map[string]struct {
		plan Plan
		want string
	}{
		"stop": {StopAll(shop(Running), all), `
  1  stop             web-2
  2  stop             web-1
  3  stop             api-1  after 1 2
  4  stop             db-1  after 3
`},
		"stop what is far apart": {StopAll(shop(Running), only("db", "web")), `
  1  stop             web-2
  2  stop             web-1
  3  stop             db-1  after 1 2
`},
		"stop nothing": {StopAll(shop(Exited), all), "\n"},
		"remove": {RemoveAll(shop(Running), all, false), `
  1  remove           migrate-1
`},
		"remove after a stop": {RemoveAll(shop(Running), only("migrate", "db"), true), `
  1  stop             db-1
  2  remove           migrate-1
  3  remove           db-1  after 1
`},
		"start": {StartAll(shop(Exited), nil, false), `
  1  start            db-1
  2  wait until ready db-1  after 1
  3  start            api-1  after 2
  4  start            web-1  after 3
  5  start            web-2  after 3
`},
		"start with what it needs": {StartAll(starting, []string{"api"}, false), `
  1  wait until ready db-1
  2  start            api-1  after 1
`},
		"start what nobody waits for": {StartAll(starting, []string{"db"}, false), "\n"},
		"start a job that failed": {StartAll(failed, []string{"api"}, false), `
  1  start            db-1
  2  wait until ready db-1  after 1
  3  start            migrate-1  after 2
  4  wait until completed migrate-1  (others need its result)  after 3
  5  start            api-1  after 2 4
`},
		"start a job by name": {StartAll(shop(Running), []string{"migrate"}, false), `
  1  start            migrate-1
`},
		"start and wait": {StartAll(shop(Exited), []string{"db"}, true), `
  1  start            db-1
  2  wait until ready db-1  after 1
`},
		"restart": {RestartAll(shop(Running), []string{"db"}, false), `
  1  stop             web-2
  2  stop             web-1
  3  stop             api-1  after 1 2
  4  stop             db-1  after 3
  5  start            db-1  after 4
  6  wait until ready db-1  after 5
  7  start            api-1  after 3 6
  8  start            web-1  after 2 7
  9  start            web-2  after 1 7
`},
		"restart alone": {RestartAll(shop(Running), []string{"db"}, true), `
  1  stop             db-1
  2  start            db-1  after 1
`},
		"a circle": {RestartAll(circle, []string{"a"}, false), `
  1  stop             a
  2  stop             b  after 1
  3  start            b  after 2
  4  start            a  after 1
`},
	} {
		if got := "\n" + tt.plan.String(); got != tt.want {
			t.Errorf("%s: got%s\nwant%s", name, got, tt.want)
		}
	}
}

// TestOneOff: what a service needs comes up, its own containers are no part of it.
func TestOneOff(t *testing.T) {
	p := &types.Project{
		Name: "p", Networks: types.Networks{"default": {Name: "p_default"}},
		Services: types.Services{
			"db": {Name: "db", Image: "db", Networks: map[string]*types.ServiceNetworkConfig{"default": nil}},
			"web": {Name: "web", Image: "web", DependsOn: types.DependsOnConfig{
				"db": {Condition: types.ServiceConditionHealthy, Required: true},
			}},
		},
	}
	have := Observed{
		Images:     map[string]string{"db": "1"},
		Containers: []Container{{ID: "w", Name: "p-web-1", Service: "web", Number: 1, State: Running, ConfigHash: "old"}},
	}
	got, err := OneOff(Wanted{Project: p, Hashes: map[string]string{"web": "new", "db": "x"}}, have, "web", Options{ForceRecreate: true})
	if err != nil {
		t.Fatal(err)
	}
	want := `
  1  create network   p_default  (not there)
  2  pull             web  (image not there)
  3  create           p-db-1  (not there)  after 1
  4  start            p-db-1  (not there)  after 3
  5  wait until ready p-db-1  after 4
`
	if "\n"+got.String() != want {
		t.Errorf("got\n%s\nwant%s", got, want)
	}
}
