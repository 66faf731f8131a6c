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
	ForceRecreate bool   // also what hasn't changed
	NoRecreate    bool   // not even what has
	RemoveOrphans bool   // containers of services that aren't wanted any more
	Build         bool   // build what can be built, though it is there
	Pull          string // "always", "missing", "never", or "" for each service's own policy
	NoStart       bool   // create only
	Wait          bool   // until everything is ready, not only what others need
}

// Up plans the way from have to want. hashes are the digests of the services'
// configurations. It fails where something is needed that no step can bring.
func Up(want *types.Project, hashes map[string]string, have Observed, opts Options) (Plan, error) {
	u := &up{
		want: want, hashes: hashes, have: have, opts: opts,
		images: map[string]int{}, networks: map[string]int{}, volumes: map[string]int{},
		existing: map[string][]Container{}, gone: map[string]int{}, stops: map[string][]int{},
		created: map[string][]int{}, started: map[string][]int{}, ready: map[string][]int{}, completed: map[string][]int{},
		awaited: map[string]map[string]bool{},
	}
	u.order = order(want)
	for _, c := range have.Containers {
		if !c.OneOff {
			u.existing[c.Service] = append(u.existing[c.Service], c)
		}
	}
	for _, name := range u.order {
		for dep, d := range want.Services[name].DependsOn {
			if u.awaited[dep] == nil {
				u.awaited[dep] = map[string]bool{}
			}
			u.awaited[dep][d.Condition] = u.awaited[dep][d.Condition] || d.Required
		}
	}
	if err := u.resources(); err != nil {
		return Plan{}, err
	}
	if err := u.allImages(); err != nil {
		return Plan{}, err
	}
	u.decide()
	u.stopAndRemove()
	for _, name := range u.order {
		u.bringUp(want.Services[name])
	}
	return u.plan, nil
}

type up struct {
	want   *types.Project
	hashes map[string]string
	have   Observed
	opts   Options
	order  []string // services, dependencies first

	plan     Plan
	existing map[string][]Container // by service
	verdicts []verdict

	images, networks, volumes map[string]int   // step that brings it
	gone                      map[string]int   // container name → step that removes it
	stops                     map[string][]int // service → steps that stop its old containers
	created, started          map[string][]int // by service
	ready, completed          map[string][]int
	// awaited has, for a service, the conditions that others have for it, and
	// whether one of them can't do without.
	awaited map[string]map[string]bool
}

// verdict is what becomes of one container.
type verdict struct {
	service string
	number  int
	old     *Container // nil: there is none
	cause   string     // why it is replaced or created; empty: it stays
	remove  bool       // it goes, and nothing takes its place
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

// decide compares every container with what is wanted.
func (u *up) decide() {
	for _, name := range u.order {
		s := u.want.Services[name]
		scale := s.GetScale()
		byNumber := map[int]*Container{}
		for i := range u.existing[name] {
			c := &u.existing[name][i]
			if prev := byNumber[c.Number]; c.Number < 1 || c.Number > scale || prev != nil {
				cause := fmt.Sprintf("scaled %d → %d", len(u.existing[name]), scale)
				u.verdicts = append(u.verdicts, verdict{service: name, number: c.Number, old: c, remove: true, cause: cause})
				continue
			}
			byNumber[c.Number] = c
		}
		changed := false
		for n := 1; n <= scale; n++ {
			v := verdict{service: name, number: n, old: byNumber[n]}
			v.cause = u.causeOf(s, v.old)
			changed = changed || v.cause != "" || v.old.State != Running
			u.verdicts = append(u.verdicts, v)
		}
		if !changed && scale > 0 {
			u.plan.Unchanged = append(u.plan.Unchanged, name)
		}
	}
	for _, service := range slices.Sorted(maps.Keys(u.existing)) {
		if _, wanted := u.want.Services[service]; wanted || u.disabled(service) {
			continue
		}
		for i := range u.existing[service] {
			c := &u.existing[service][i]
			u.plan.Orphans = append(u.plan.Orphans, *c)
			if u.opts.RemoveOrphans {
				u.verdicts = append(u.verdicts, verdict{service: service, number: c.Number, old: c, remove: true, cause: "orphan: no service of that name any more"})
			}
		}
	}
}

// disabled reports whether a service is part of the file, though not of what
// is wanted now: its profile isn't active, or others were asked for.
func (u *up) disabled(service string) bool {
	_, ok := u.want.DisabledServices[service]
	return ok
}

// causeOf says why a container has to be made anew; empty: it can stay.
func (u *up) causeOf(s types.ServiceConfig, c *Container) string {
	switch {
	case c == nil:
		return "not there"
	case c.State == Dead || c.State == Removing:
		return "it is " + string(c.State)
	case c.State == Created:
		// Whoever made it may not have got as far as copying its secrets.
		return "it was created and never started"
	case u.opts.NoRecreate:
		return ""
	case u.opts.ForceRecreate:
		return "asked for"
	case c.ConfigHash != u.hashes[s.Name]:
		if was := c.Image; s.Image != "" && was != s.Image {
			return fmt.Sprintf("image changed: %s → %s", was, s.Image)
		}
		return "configuration changed"
	}
	if id, ok := u.have.Images[ImageOf(u.want, s)]; ok && c.ImageID != "" && c.ImageID != id {
		return "image changed under the same tag"
	}
	return ""
}

// stopAndRemove plans what goes, dependents first.
func (u *up) stopAndRemove() {
	dependents := map[string][]string{}
	for _, name := range u.order {
		for dep := range u.want.Services[name].DependsOn {
			dependents[dep] = append(dependents[dep], name)
		}
	}
	for _, v := range slices.Backward(u.verdicts) {
		if v.old == nil || v.cause == "" {
			continue
		}
		var needs []int
		for _, d := range dependents[v.service] {
			needs = append(needs, u.stops[d]...)
		}
		if !v.remove {
			// The old one serves until the new one's image is there.
			needs = append(needs, one(u.images[ImageOf(u.want, u.want.Services[v.service])])...)
		}
		step := Step{Service: v.service, Number: v.number, Name: v.old.Name, Target: v.old.ID, Cause: v.cause}
		step.Op, step.Needs = Stop, unique(needs)
		if v.old.State == Running || v.old.State == Restarting || v.old.State == Paused {
			id := u.plan.add(step)
			u.stops[v.service] = append(u.stops[v.service], id)
			step.Needs = []int{id}
		}
		step.Op = Remove
		u.gone[v.old.Name] = u.plan.add(step)
	}
}

// bringUp plans the containers of one service.
func (u *up) bringUp(s types.ServiceConfig) {
	for _, v := range u.verdicts {
		if v.service != s.Name || v.remove {
			continue
		}
		u.container(s, v)
	}
}

func (u *up) container(s types.ServiceConfig, v verdict) {
	name := ContainerName(u.want, s, v.number)
	step := Step{Service: s.Name, Number: v.number, Name: name, Cause: v.cause}
	create := 0
	if v.cause != "" {
		step.Op, step.Needs = Create, u.createNeeds(s, name)
		if v.old != nil {
			step.Needs = unique(append(step.Needs, one(u.gone[v.old.Name])...))
		}
		create = u.plan.add(step)
		u.created[s.Name] = append(u.created[s.Name], create)
	} else {
		step.Target, step.Name = v.old.ID, v.old.Name
	}
	if u.opts.NoStart {
		return
	}
	start := 0
	if create != 0 || !v.old.running() && !u.finished(s, v.old) {
		step.Op, step.Needs = Start, unique(append(one(create), u.startNeeds(s)...))
		if v.cause == "" {
			step.Cause = "it is " + string(v.old.State)
			if v.old.State == Exited {
				step.Cause = fmt.Sprintf("it exited with code %d", v.old.ExitCode)
			}
		}
		step.AwaitStep = create
		start = u.plan.add(step)
		u.started[s.Name] = append(u.started[s.Name], start)
	}
	u.waits(s, v, step, create, start)
}

// waits adds what others, or the person who asked, have to wait for.
func (u *up) waits(s types.ServiceConfig, v verdict, step Step, create, start int) {
	step.AwaitStep, step.Needs, step.Cause = create, one(start), ""
	required, job := u.awaited[s.Name][types.ServiceConditionCompletedSuccessfully]
	if job && (v.old == nil || v.cause != "" || !u.finished(s, v.old) || start != 0) {
		step.Op, step.Cause, step.Optional = Completed, "others need its result", !required && !u.opts.Wait
		u.completed[s.Name] = append(u.completed[s.Name], u.plan.add(step))
	}
	required, healthy := u.awaited[s.Name][types.ServiceConditionHealthy]
	if !healthy && (job || !u.opts.Wait) {
		return
	}
	if start == 0 && (v.old.Health == Healthy || v.old.Health == "" && v.old.State != Restarting) {
		return
	}
	step.Op, step.Cause, step.Optional = Ready, "", !required && !u.opts.Wait
	if start == 0 {
		step.Cause = "it isn't ready yet"
	}
	u.ready[s.Name] = append(u.ready[s.Name], u.plan.add(step))
}

func (c *Container) running() bool {
	return c.State == Running || c.State == Restarting || c.State == Paused
}

// finished reports whether a container is a job that has done its work.
func (u *up) finished(s types.ServiceConfig, c *Container) bool {
	return c.State == Exited && c.ExitCode == 0 && u.job(s.Name)
}

// job reports whether others need a service's result.
func (u *up) job(service string) bool {
	_, ok := u.awaited[service][types.ServiceConditionCompletedSuccessfully]
	return ok
}

func (u *up) createNeeds(s types.ServiceConfig, name string) []int {
	var needs []int
	needs = append(needs, one(u.images[ImageOf(u.want, s)])...)
	needs = append(needs, one(u.gone[name])...)
	for key := range s.Networks {
		needs = append(needs, one(u.networks[key])...)
	}
	for _, v := range s.Volumes {
		if v.Type == types.VolumeTypeVolume {
			needs = append(needs, one(u.volumes[v.Source])...)
		}
	}
	for _, other := range containersOf(s) {
		needs = append(needs, u.created[other]...)
		needs = append(needs, u.started[other]...)
	}
	return unique(needs)
}

// containersOf lists the services whose containers this one shares something
// with: they have to be there when it is created.
func containersOf(s types.ServiceConfig) []string {
	var names []string
	for _, mode := range []string{s.NetworkMode, s.Ipc, s.Pid} {
		if name, ok := strings.CutPrefix(mode, "service:"); ok {
			names = append(names, name)
		}
	}
	for _, from := range s.VolumesFrom {
		if !strings.HasPrefix(from, "container:") {
			name, _, _ := strings.Cut(from, ":")
			names = append(names, name)
		}
	}
	return names
}

func (u *up) startNeeds(s types.ServiceConfig) []int {
	var needs []int
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

func one(id int) []int {
	if id == 0 {
		return nil
	}
	return []int{id}
}

func unique(ids []int) []int {
	slices.Sort(ids)
	return slices.Compact(ids)
}
