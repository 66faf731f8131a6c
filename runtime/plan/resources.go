package plan

import (
	"fmt"
	"maps"
	"slices"

	"github.com/compose-spec/compose-go/v2/types"
)

// resources plans networks and volumes.
func (u *up) resources() error {
	for _, key := range slices.Sorted(maps.Keys(u.want.Networks)) {
		n := u.want.Networks[key]
		there := slices.ContainsFunc(u.have.Networks, func(o Network) bool { return o.Name == n.Name })
		switch {
		case there:
		case bool(n.External):
			return fmt.Errorf("network %q is declared as external and isn't there: create it with `docker network create %s`", n.Name, n.Name)
		default:
			u.networks[key] = u.plan.add(Step{Op: CreateNetwork, Service: key, Name: n.Name, Cause: "not there"})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(u.want.Volumes)) {
		v := u.want.Volumes[key]
		there := slices.ContainsFunc(u.have.Volumes, func(o Volume) bool { return o.Name == v.Name })
		switch {
		case there:
		case bool(v.External):
			return fmt.Errorf("volume %q is declared as external and isn't there: create it with `docker volume create %s`", v.Name, v.Name)
		default:
			u.volumes[key] = u.plan.add(Step{Op: CreateVolume, Service: key, Name: v.Name, Cause: "not there"})
		}
	}
	return nil
}

// ImageOf gives the reference of a service's image.
func ImageOf(p *types.Project, s types.ServiceConfig) string {
	if s.Image != "" {
		return s.Image
	}
	return p.Name + "-" + s.Name
}

func (u *up) allImages() error {
	for _, name := range u.order {
		s := u.want.Services[name]
		if s.GetScale() == 0 {
			continue
		}
		if err := imageStep(&u.plan, u.images, u.want, s, u.have, u.opts); err != nil {
			return err
		}
	}
	return nil
}

// Images plans only what brings the images: building and pulling.
func Images(want *types.Project, have Observed, opts Options) (Plan, error) {
	var p Plan
	steps := map[string]int{}
	for _, name := range order(want) {
		if err := imageStep(&p, steps, want, want.Services[name], have, opts); err != nil {
			return Plan{}, err
		}
	}
	return p, nil
}

// imageStep adds the step that brings a service's image, once per image.
func imageStep(p *Plan, steps map[string]int, want *types.Project, s types.ServiceConfig, have Observed, opts Options) error {
	ref := ImageOf(want, s)
	if _, done := steps[ref]; done {
		return nil
	}
	_, there := have.Images[ref]
	policy := opts.Pull
	if policy == "" {
		policy = s.PullPolicy
	}
	switch {
	case s.Build != nil && (opts.Build || s.PullPolicy == types.PullPolicyBuild):
		steps[ref] = p.add(Step{Op: Build, Service: s.Name, Name: ref, Cause: "asked for"})
	case s.Build != nil && !there:
		steps[ref] = p.add(Step{Op: Build, Service: s.Name, Name: ref, Cause: "image not there"})
	case s.Build != nil:
	case policy == types.PullPolicyAlways || policy == types.PullPolicyRefresh:
		steps[ref] = p.add(Step{Op: Pull, Service: s.Name, Name: ref, Cause: "asked for"})
	case !there && policy == types.PullPolicyNever:
		return fmt.Errorf("service %q: image %s isn't there, and it may not be pulled (pull policy never)", s.Name, ref)
	case !there:
		steps[ref] = p.add(Step{Op: Pull, Service: s.Name, Name: ref, Cause: "image not there"})
	}
	return nil
}
