package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// how a container is replaced.
type how int

const (
	// stopFirst stops the old one, starts the new one, and removes the old one
	// when the new one is ready.
	stopFirst how = iota
	// startFirst starts the new one, and stops the old one when the new one is
	// ready.
	startFirst
	// removeFirst removes the old one before the new one can be created: it
	// uses what has to be made anew.
	removeFirst
)

// spread carries decisions on to those that depend on them: who shares a
// container that is replaced is replaced, who asks for it is restarted, and who
// would lose what it depends on for a while doesn't start before it stops.
func (u *up) spread() {
	replaced := map[string]bool{}
	for _, name := range u.order {
		s := u.want.Services[name]
		shared := u.sharedCause(s, replaced)
		restart := u.restartCause(s, replaced)
		changed := false
		for _, sl := range u.slots[name] {
			if sl.gone {
				continue
			}
			if sl.cause == "" && shared != "" {
				sl.cause = shared
			}
			switch {
			case sl.old != nil && sl.cause != "":
				replaced[name] = true
				sl.how = u.howFor(s, sl.old)
				if sl.old.running() && sl.how != startFirst {
					u.disrupted[name] = true
					if port := fixedPort(s); port != "" && sl.how == stopFirst {
						sl.cause += "; stops first: port " + port + " is fixed"
					}
				}
			case sl.cause == "" && restart != "" && sl.old.running() && !u.opts.NoStart:
				sl.restart = restart
				u.disrupted[name] = true
			}
			changed = changed || sl.cause != "" || sl.restart != "" || sl.old.State != Running
		}
		if !changed && s.GetScale() > 0 {
			u.plan.Unchanged = append(u.plan.Unchanged, name)
		}
	}
}

func (u *up) sharedCause(s types.ServiceConfig, replaced map[string]bool) string {
	for key, mode := range map[string]string{"network namespace": s.NetworkMode, "IPC namespace": s.Ipc, "PID namespace": s.Pid} {
		if name, ok := strings.CutPrefix(mode, types.ServicePrefix); ok && replaced[name] {
			return fmt.Sprintf("dependency %s is recreated, and it shares its %s", name, key)
		}
	}
	for _, name := range containersOf(s) {
		if replaced[name] {
			return fmt.Sprintf("dependency %s is recreated, and it uses its volumes", name)
		}
	}
	return ""
}

func (u *up) restartCause(s types.ServiceConfig, replaced map[string]bool) string {
	for _, dep := range slices.Sorted(maps.Keys(s.DependsOn)) {
		if !s.DependsOn[dep].Restart {
			continue
		}
		if replaced[dep] {
			return fmt.Sprintf("dependency %s is recreated (restart: true)", dep)
		}
		for _, sl := range u.slots[dep] {
			if sl.restart != "" {
				return fmt.Sprintf("dependency %s is restarted (restart: true)", dep)
			}
		}
	}
	return ""
}

// held reports whether a service can't serve for a while whatever is done with
// it, as something that it depends on doesn't.
func (u *up) held(s types.ServiceConfig) bool {
	for dep := range s.DependsOn {
		if u.disrupted[dep] {
			return true
		}
	}
	return false
}

// howFor says how a container of a service is replaced. By default the new one
// starts first where two of them can run at the same time.
func (u *up) howFor(s types.ServiceConfig, old *Container) how {
	if u.usesAnew(s, old) != "" || !old.serves() {
		return removeFirst
	}
	order := ""
	if s.Deploy != nil && s.Deploy.UpdateConfig != nil {
		order = s.Deploy.UpdateConfig.Order
	}
	switch {
	case u.opts.NoStart, u.held(s), u.job(s.Name), u.shared[s.Name], order == "stop-first", alone(s), u.wantedElsewhere(s.Name, old):
		return stopFirst
	case order == "start-first":
		return startFirst
	}
	for _, m := range old.Mounts {
		if m.RW {
			return stopFirst // two of them would write to the same data
		}
	}
	for _, v := range s.Volumes {
		if !v.ReadOnly && v.Type != types.VolumeTypeTmpfs {
			return stopFirst
		}
	}
	return startFirst
}

// alone reports whether there is something that two containers of a service
// can't both have: a host port, an address, a name.
func alone(s types.ServiceConfig) bool {
	if s.ContainerName != "" || s.MacAddress != "" || s.NetworkMode == "host" {
		return true
	}
	for _, n := range s.Networks {
		if n != nil && (n.Ipv4Address != "" || n.Ipv6Address != "" || n.MacAddress != "") {
			return true
		}
	}
	return fixedPort(s) != ""
}

// fixedPort is a port of the host that a service has to have; "" for none.
func fixedPort(s types.ServiceConfig) string {
	for _, p := range s.Ports {
		if p.Published != "" && p.Published != "0" && !strings.Contains(p.Published, "-") {
			return p.Published
		}
	}
	return ""
}
