package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

// doctorLines is how many of a container's last lines are evidence.
const doctorLines = 2

func checkContainers(ctx context.Context, p *patient) []finding {
	have, err := p.observed()
	if err != nil {
		return nil
	}
	name, _ := p.name()
	e, _ := p.engine()
	var found []finding
	running := 0
	var orphans []string
	l := p.project()
	for _, c := range have.Containers {
		if c.State == plan.Running && c.Health != plan.Unhealthy {
			running++
		}
		if l != nil && !c.OneOff {
			_, wanted := l.Project.Services[c.Service]
			_, disabled := l.Project.DisabledServices[c.Service]
			if !wanted && !disabled {
				orphans = append(orphans, c.Name)
			}
		}
		if f := containerFinding(c); f != nil {
			if lines := deploy.Tail(ctx, e, c.ID, doctorLines); len(lines) > 0 {
				f.Evidence += "; it said last: " + strings.Join(lines, " / ")
			}
			found = append(found, *f)
		}
	}
	if len(orphans) > 0 {
		found = append(found, warn("`ww compose up --remove-orphans` or `ww compose down` removes them",
			"left over from services that the file has no more: %s", strings.Join(orphans, ", ")))
	}
	switch {
	case len(have.Containers) == 0:
		found = append(found, ok("project %s isn't running", name))
	case len(found) == 0:
		found = append(found, ok("%d of %s run", running, plural(len(have.Containers), "container")))
	}
	return found
}

func containerFinding(c plan.Container) *finding {
	var f finding
	logs := "`ww compose logs " + c.Service + "` has more"
	switch {
	case c.OneOff:
		return nil
	case c.Health == plan.Unhealthy:
		f = wrong(logs, "%s is unhealthy", c.Name)
	case c.State == plan.Restarting:
		f = wrong(logs, "%s ends again and again, with exit code %d", c.Name, c.ExitCode)
	case c.State == plan.Exited && c.ExitCode != 0:
		f = wrong(logs+"; `ww compose up -d` starts it again", "%s exited with code %d", c.Name, c.ExitCode)
	case c.State == plan.Dead || c.State == plan.Removing:
		f = wrong("`docker rm -f "+c.Name+"`", "%s is %s", c.Name, c.State)
	case c.State == plan.Paused:
		f = warn("`docker unpause "+c.Name+"`", "%s is paused", c.Name)
	case c.State == plan.Created:
		f = warn("`ww compose up -d` starts it", "%s was never started", c.Name)
	default:
		return nil
	}
	return &f
}

// componentImages begins the references of the image that all components of
// built-in kinds share.
const componentImages = "ww-component:"

func checkComponentImage(_ context.Context, p *patient) []finding {
	have, err := p.observed()
	if err != nil {
		return nil
	}
	used := map[string]int{}
	for _, c := range have.Containers {
		if strings.HasPrefix(c.Image, componentImages) {
			used[c.Image]++
		}
	}
	wanted := ""
	if l := p.project(); l != nil {
		for _, s := range l.Project.Services {
			if strings.HasPrefix(s.Image, componentImages) {
				wanted = s.Image
			}
		}
	}
	images := strings.Join(slices.Sorted(maps.Keys(used)), " and ")
	switch {
	case len(used) > 1:
		return []finding{warn("`ww compose up -d` gives all of them this ww", "components run two versions of ww: %s", images)}
	case len(used) == 1 && wanted != "" && used[wanted] == 0:
		return []finding{warn("`ww compose up -d` replaces them", "components run another ww than this one: %s, and this one is %s", images, wanted)}
	case len(used) == 1:
		return []finding{ok("%s run %s", plural(used[images], "component"), images)}
	}
	return nil
}

func checkBus(ctx context.Context, p *patient) []finding {
	have, err := p.observed()
	if err != nil {
		return nil
	}
	name, _ := p.name()
	e, _ := p.engine()
	r := &running{name: name, engine: e, have: have}
	components := slices.ContainsFunc(have.Containers, func(c plan.Container) bool {
		return c.Labels[deploy.LabelComponent] != "" && c.Labels[deploy.LabelKind] != "container"
	})
	if !components {
		return nil // nothing of ours runs, which another check says
	}
	door, known, err := r.door(nil)
	if err != nil {
		return []finding{fromError(err)}
	}
	bus := &remote{
		name: door.Name, known: known, hard: ctx, note: func(string) {},
		run: agentIn(e, door.ID),
	}
	l, err := only[look](ctx, bus, order{Op: opStats})
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return []finding{wrong("`ww compose ps` and `ww compose logs` tell how it is", "the bus doesn't answer in time")}
		}
		return []finding{fromError(err)}
	}
	return busFindings(l)
}

// waitsLong is the age of a message from which on nobody may be taking it.
const waitsLong = 60 // seconds

func busFindings(l look) []finding {
	var found []finding
	var depth, dead int64
	for _, name := range slices.Sorted(maps.Keys(l.Components)) {
		s := l.Components[name]
		depth, dead = depth+s.Depth, dead+s.Dead
		switch {
		case s.Dead > 0:
			found = append(found, warn("`ww bus dlq ls "+name+"` tells why; `ww bus dlq requeue --all "+name+"` gives them back",
				"%s has %s", name, plural(int(s.Dead), "dead letter")))
		case s.Depth > 0 && s.Consumers == 0:
			found = append(found, wrong("`ww compose logs "+name+"` tells why it takes none", "%s for %s wait, and nobody takes them", plural(int(s.Depth), "message"), name))
		case s.Limit > 0 && s.Depth >= s.Limit:
			found = append(found, warn("more replicas (`deploy: {replicas: 4}`), or a larger max_queue_size", "the queue of %s is full: %d", name, s.Depth))
		case s.Oldest > waitsLong:
			found = append(found, warn("more replicas or a larger `concurrency`; `ww bus stats --watch` shows whether it keeps up",
				"the oldest of %s for %s waits since %.0f s", plural(int(s.Depth), "message"), name, s.Oldest))
		}
	}
	if len(found) == 0 {
		found = append(found, ok("%s; %s wait or are under way, no dead letters", fmt.Sprintf("it answers for %s", plural(len(l.Components), "component")), plural(int(depth), "message")))
	}
	return found
}
