package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// Options of an up.
type Options struct {
	ForceRecreate bool // also what hasn't changed
	NoRecreate    bool // not even what has
	// Targets are the services that ForceRecreate is for, where it isn't for
	// all of them; RecreateDeps has it for what they depend on as well.
	Targets          []string
	RecreateDeps     bool
	RecreateVolumes  bool   // volumes whose configuration changed: what they hold is lost
	RenewAnonVolumes bool   // a replaced container's anonymous volumes go with it
	RemoveOrphans    bool   // containers of services that aren't wanted any more
	Build            bool   // build what can be built, though it is there
	NoBuild          bool   // build nothing
	Pull             string // "always", "missing", "never", or "" for each service's own policy
	NoStart          bool   // create only
	Wait             bool   // until everything is ready, not only what others need
	// Scaled are the services whose number of containers was asked for: it holds
	// even where their number follows their load.
	Scaled []string
}

// Wanted is a project with the digests by which it is compared with what is
// there. A digest that is missing is not compared.
type Wanted struct {
	Project  *types.Project
	Hashes   map[string]string // of services: the one of docker compose
	Effects  map[string]string // of services, without what has no effect on a container
	Contents map[string]string // of the configs and secrets of services
	Networks map[string]string // by key
	Volumes  map[string]string // by key
}

// Up plans the way from have to want. It fails where something is needed that
// no step can bring, and where two containers would publish one host port.
func Up(want Wanted, have Observed, opts Options) (Plan, error) {
	u := &up{
		Wanted: want, want: want.Project, have: have, opts: opts,
		images: map[string]*node{}, networks: map[string]*node{}, volumes: map[string]*node{},
		unmake: map[string]*node{}, anew: map[string]string{},
		existing: map[string][]*Container{}, slots: map[string][]*slot{},
		started: map[string][]*node{}, ready: map[string][]*node{}, completed: map[string][]*node{},
		awaited: map[string]map[string]bool{}, disrupted: map[string]bool{}, taken: map[string]bool{}, shared: map[string]bool{},
		claimed: map[string][]string{},
	}
	u.order = order(u.want)
	for i := range have.Containers {
		c := &have.Containers[i]
		u.taken[c.Name] = true
		if !c.OneOff {
			u.existing[c.Service] = append(u.existing[c.Service], c)
		}
	}
	for _, name := range u.order {
		for _, other := range containersOf(u.want.Services[name]) {
			u.shared[other] = true
		}
		for _, what := range u.claims(u.want.Services[name]) {
			u.claimed[what] = append(u.claimed[what], name)
		}
		for dep, d := range u.want.Services[name].DependsOn {
			if u.awaited[dep] == nil {
				u.awaited[dep] = map[string]bool{}
			}
			u.awaited[dep][d.Condition] = u.awaited[dep][d.Condition] || d.Required
		}
	}
	if !opts.NoStart {
		if err := clashes(u.want); err != nil {
			return Plan{}, err
		}
	}
	if err := u.resources(); err != nil {
		return Plan{}, err
	}
	if err := u.allImages(); err != nil {
		return Plan{}, err
	}
	u.decide()
	u.spread()
	u.goingAway()
	for _, name := range u.order {
		u.bringUp(u.want.Services[name])
	}
	if err := u.makeRoom(); err != nil {
		return Plan{}, err
	}
	u.stopOrder()
	u.noReturn()
	u.drainOrphans()
	var err error
	u.plan.Steps, err = u.graph.steps()
	return u.plan, err
}

type up struct {
	Wanted
	want  *types.Project
	have  Observed
	opts  Options
	order []string // services, dependencies first

	plan     Plan
	graph    graph
	existing map[string][]*Container // by service
	slots    map[string][]*slot      // by service
	orphans  []*slot
	taken    map[string]bool // container names that are in use

	images, networks, volumes map[string]*node  // step that brings it
	unmake                    map[string]*node  // network or volume name → step that removes it
	anew                      map[string]string // network or volume name → why it is made anew
	started, ready, completed map[string][]*node
	disrupted                 map[string]bool     // services that stop for a while
	shared                    map[string]bool     // services that others share a container with
	claimed                   map[string][]string // host ports and addresses → services that are to have them
	// awaited has, for a service, the conditions that others have for it, and
	// whether one of them can't do without.
	awaited map[string]map[string]bool
	mark    int // the last one that was given to waitsFor
}

func (u *up) nextMark() int {
	u.mark++
	return u.mark
}

// order lists the services so that each comes after what it depends on.
func order(p *types.Project) []string {
	var out []string
	seen := map[string]bool{}
	var visit func(string)
	visit = func(name string) {
		s, ok := p.Services[name]
		if !ok || seen[name] {
			return
		}
		seen[name] = true
		for _, dep := range slices.Sorted(maps.Keys(s.DependsOn)) {
			visit(dep)
		}
		out = append(out, name)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		visit(name)
	}
	return out
}

// bringUp plans the containers of one service: replicas that are replaced go
// one after the other, as many at a time as the service says.
func (u *up) bringUp(s types.ServiceConfig) {
	var replaced []*slot
	parallel := 1
	if s.Deploy != nil && s.Deploy.UpdateConfig != nil && s.Deploy.UpdateConfig.Parallelism != nil {
		parallel = int(*s.Deploy.UpdateConfig.Parallelism) // 0: all at once
	}
	for _, sl := range u.slots[s.Name] {
		switch {
		case sl.gone:
			continue
		case sl.old != nil && sl.cause != "":
			u.replace(s, sl)
			if i := len(replaced); parallel > 0 && i >= parallel && !u.held(s) && sl.how != removeFirst {
				first := sl.start
				if sl.how == stopFirst && sl.stop != nil {
					first = sl.stop
				}
				if first != nil {
					first.after(replaced[i-parallel].remove)
				}
			}
			replaced = append(replaced, sl)
		default:
			u.container(s, sl)
		}
	}
}

// container plans a container that is new, or that stays.
func (u *up) container(s types.ServiceConfig, sl *slot) {
	step := Step{Service: s.Name, Number: sl.number, Name: ContainerName(u.want, s, sl.number), Cause: sl.cause}
	if sl.cause != "" {
		sl.create = u.create(s, sl, step)
	} else {
		step.Target, step.Name = sl.old.ID, sl.old.Name
	}
	if !u.opts.NoStart {
		switch {
		case sl.restart != "":
			u.restart(s, sl, step)
		case sl.create != nil:
			sl.start = u.startStep(s, sl, step)
		case sl.old.State == Paused:
			step.Op, step.Cause = Unpause, "it is paused"
			sl.start = u.graph.add(step)
			u.started[s.Name] = append(u.started[s.Name], sl.start)
		case !sl.old.running() && !u.finished(s, sl.old):
			step.Cause = "it is " + string(sl.old.State)
			if sl.old.State == Exited {
				step.Cause = fmt.Sprintf("it exited with code %d", sl.old.ExitCode)
				step.Again = sl.old.ExitCode == 0 && ends(s)
			}
			sl.start = u.startStep(s, sl, step)
			step.Again = false
		}
		u.waits(s, sl, step)
	}
	if name := ContainerName(u.want, s, sl.number); sl.cause == "" && strings.HasSuffix(sl.old.Name, "_"+name) {
		sl.rename = u.graph.add(Step{
			Op: Rename, Service: s.Name, Number: sl.number, Name: name, Target: sl.old.ID,
			Cause: "its name is left over from an interrupted update: " + sl.old.Name,
		})
	}
	u.leftovers(sl)
}

func (u *up) create(s types.ServiceConfig, sl *slot, step Step, needs ...*node) *node {
	step.Op = Create
	if sl.old != nil {
		if sl.old.serves() {
			step.Replaces = sl.old.ID // what never served isn't missed
		}
		if !u.opts.RenewAnonVolumes {
			step.Inherit = anonymous(sl.old)
		}
	}
	n := u.graph.add(step, needs...)
	n.after(u.images[ImageOf(u.want, s)])
	for _, left := range sl.cleared {
		n.after(left.remove)
	}
	for key := range s.Networks {
		n.after(u.networks[key])
	}
	for _, v := range s.Volumes {
		if v.Type == types.VolumeTypeVolume {
			n.after(u.volumes[v.Source])
		}
	}
	for _, other := range containersOf(s) {
		for _, o := range u.slots[other] {
			n.after(o.create, o.start)
		}
	}
	return n
}

func (u *up) startStep(s types.ServiceConfig, sl *slot, step Step) *node {
	step.Op = Start
	n := u.graph.add(step, sl.create, sl.stop)
	n.of = sl.create
	n.after(u.startNeeds(s)...)
	u.started[s.Name] = append(u.started[s.Name], n)
	return n
}

// waits adds what others, or the person who asked, have to wait for, and gives
// the step after which the container serves.
func (u *up) waits(s types.ServiceConfig, sl *slot, step Step) *node {
	step.Cause = ""
	replaces := sl.old != nil && sl.cause != "" && sl.how != removeFirst
	add := func(required bool) *node {
		step.Optional = !required && !replaces
		n := u.graph.add(step, sl.start)
		n.of = sl.create
		return n
	}
	required, job := u.awaited[s.Name][types.ServiceConditionCompletedSuccessfully]
	if job && (sl.old == nil || sl.cause != "" || !u.finished(s, sl.old) || sl.start != nil) {
		step.Op, step.Cause = Completed, "others need its result"
		sl.completed = add(required)
		u.completed[s.Name] = append(u.completed[s.Name], sl.completed)
		step.Cause = ""
	}
	required, healthy := u.awaited[s.Name][types.ServiceConditionHealthy]
	if !healthy && (job || !u.opts.Wait && !replaces) {
		return sl.done()
	}
	if sl.start == nil && (sl.old.Health == Healthy || sl.old.Health == "" && sl.old.State != Restarting) {
		return sl.done()
	}
	step.Op = Ready
	if sl.start == nil {
		step.Cause = "it isn't ready yet"
	}
	sl.ready = add(required || !healthy)
	u.ready[s.Name] = append(u.ready[s.Name], sl.ready)
	return sl.done()
}

func (c *Container) running() bool {
	return c.State == Running || c.State == Restarting || c.State == Paused
}

// serves reports whether a container runs, or has run and can do so again.
func (c *Container) serves() bool {
	return c.State != Created && c.State != Dead && c.State != Removing
}

// finished reports whether a container is a job that has done its work.
func (u *up) finished(s types.ServiceConfig, c *Container) bool {
	return c.State == Exited && c.ExitCode == 0 && u.job(s.Name)
}

// ends reports whether a service is a job by the looks of it: the engine doesn't
// start it again when it is done, and nobody is to reach it, or to look whether
// it is well.
func ends(s types.ServiceConfig) bool {
	if d := s.Deploy; d != nil && d.RestartPolicy != nil && d.RestartPolicy.Condition != "none" && d.RestartPolicy.Condition != types.RestartPolicyOnFailure {
		return false
	}
	policy, _, _ := strings.Cut(s.Restart, ":")
	return (policy == "" || policy == types.RestartPolicyNo || policy == types.RestartPolicyOnFailure) &&
		len(s.Ports) == 0 && len(s.Expose) == 0 && (s.HealthCheck == nil || s.HealthCheck.Disable)
}

// job reports whether others need a service's result.
func (u *up) job(service string) bool {
	_, ok := u.awaited[service][types.ServiceConditionCompletedSuccessfully]
	return ok
}

// containersOf lists the services whose containers this one shares something
// with: they have to be there when it is created.
func containersOf(s types.ServiceConfig) []string {
	var names []string
	for _, mode := range []string{s.NetworkMode, s.Ipc, s.Pid} {
		if name, ok := strings.CutPrefix(mode, types.ServicePrefix); ok {
			names = append(names, name)
		}
	}
	for _, from := range s.VolumesFrom {
		if !strings.HasPrefix(from, types.ContainerPrefix) {
			name, _, _ := strings.Cut(from, ":")
			names = append(names, name)
		}
	}
	return names
}

// SharesContainers reports whether a service is made of parts of other
// services' containers, which its digest names by their ids.
func SharesContainers(s types.ServiceConfig) bool { return len(containersOf(s)) > 0 }

func (u *up) startNeeds(s types.ServiceConfig) []*node {
	var needs []*node
	for _, dep := range slices.Sorted(maps.Keys(s.DependsOn)) {
		switch s.DependsOn[dep].Condition {
		case types.ServiceConditionHealthy:
			needs = append(needs, u.ready[dep]...)
		case types.ServiceConditionCompletedSuccessfully:
			needs = append(needs, u.completed[dep]...)
		default:
			needs = append(needs, u.started[dep]...)
		}
	}
	return needs
}

// ContainerName gives the name of a service's container.
func ContainerName(p *types.Project, s types.ServiceConfig, number int) string {
	if s.ContainerName != "" {
		return s.ContainerName
	}
	return fmt.Sprintf("%s-%s-%d", p.Name, s.Name, number)
}
