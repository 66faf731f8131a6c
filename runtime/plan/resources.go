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
		at := slices.IndexFunc(u.have.Networks, func(o Network) bool { return o.Name == n.Name })
		create := Step{Op: CreateNetwork, Service: key, Name: n.Name, Cause: "not there"}
		switch {
		case at < 0 && bool(n.External):
			return &MissingExternalError{"network", n.Name}
		case at < 0:
			u.networks[key] = u.graph.add(create)
		case !bool(n.External) && u.have.Networks[at].diverges(u.Networks[key]) && !u.opts.NoRecreate:
			u.anew[n.Name] = fmt.Sprintf("network %s is made anew: its configuration changed", n.Name)
			create.Cause = "its configuration changed"
			remove := create
			remove.Op, remove.Target = RemoveNetwork, u.have.Networks[at].ID
			u.unmake[n.Name] = u.graph.add(remove)
			u.networks[key] = u.graph.add(create, u.unmake[n.Name])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(u.want.Volumes)) {
		v := u.want.Volumes[key]
		at := slices.IndexFunc(u.have.Volumes, func(o Volume) bool { return o.Name == v.Name })
		create := Step{Op: CreateVolume, Service: key, Name: v.Name, Cause: "not there"}
		switch {
		case at < 0 && bool(v.External):
			return &MissingExternalError{"volume", v.Name}
		case at < 0:
			u.volumes[key] = u.graph.add(create)
		case bool(v.External) || !u.have.Volumes[at].diverges(u.Volumes[key]) || u.opts.NoRecreate:
		case !u.opts.RecreateVolumes:
			u.plan.Diverged = append(u.plan.Diverged, u.have.Volumes[at])
		default:
			u.anew[v.Name] = fmt.Sprintf("volume %s is made anew: its configuration changed", v.Name)
			create.Cause = "its configuration changed"
			remove := create
			remove.Op, remove.Target = RemoveVolume, v.Name
			u.unmake[v.Name] = u.graph.add(remove)
			u.volumes[key] = u.graph.add(create, u.unmake[v.Name])
		}
	}
	return nil
}

// diverges reports whether a network isn't as wanted. One that isn't the
// project's, or carries no digest, is taken as it is.
func (n Network) diverges(hash string) bool {
	return n.Owned && n.Hash != "" && hash != "" && n.Hash != hash
}

func (v Volume) diverges(hash string) bool {
	return v.Owned && v.Hash != "" && hash != "" && v.Hash != hash
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
		if err := imageStep(&u.graph, u.images, u.want, s, u.have, u.opts); err != nil {
			return err
		}
	}
	return nil
}

// Images plans only what brings the images: building and pulling.
func Images(want *types.Project, have Observed, opts Options) (Plan, error) {
	var g graph
	steps := map[string]*node{}
	for _, name := range order(want) {
		if err := imageStep(&g, steps, want, want.Services[name], have, opts); err != nil {
			return Plan{}, err
		}
	}
	all, err := g.steps()
	return Plan{Steps: all}, err
}

// MissingExternalError is a network or volume that isn't there, and that is for
// others to make.
type MissingExternalError struct{ Kind, Name string }

func (e *MissingExternalError) Error() string {
	return fmt.Sprintf("%s %q is declared as external, and isn't there", e.Kind, e.Name)
}

// Remedy says what to do about it.
func (e *MissingExternalError) Remedy() string {
	return fmt.Sprintf("`docker %s create %s` makes it; without `external: true` it is made, and removed, with the project", e.Kind, e.Name)
}

// MissingImageError is an image that isn't there and that nothing may bring.
type MissingImageError struct {
	Service, Image string
	NoBuild        bool // it is built here, and that isn't wanted
}

func (e *MissingImageError) Error() string {
	if e.NoBuild {
		return fmt.Sprintf("service %q: image %s isn't there, and it may not be built (--no-build)", e.Service, e.Image)
	}
	return fmt.Sprintf("service %q: image %s isn't there, and it may not be pulled (pull policy never)", e.Service, e.Image)
}

// imageStep adds the step that brings a service's image, once per image.
func imageStep(g *graph, steps map[string]*node, want *types.Project, s types.ServiceConfig, have Observed, opts Options) error {
	ref := ImageOf(want, s)
	if _, done := steps[ref]; done {
		return nil
	}
	_, there := have.Images[ref]
	policy := opts.Pull
	if policy == "" {
		policy = s.PullPolicy
	}
	add := func(op Op, cause string) {
		steps[ref] = g.add(Step{Op: op, Service: s.Name, Name: ref, Cause: cause})
	}
	builds := s.Build != nil && !opts.NoBuild
	switch {
	case builds && (opts.Build || s.PullPolicy == types.PullPolicyBuild):
		add(Build, "asked for")
	case builds && !there:
		add(Build, "image not there")
	case builds:
	case s.Build != nil && !there && s.Image == "":
		return &MissingImageError{Service: s.Name, Image: ref, NoBuild: true}
	case s.Build != nil && s.Image == "":
	case policy == types.PullPolicyAlways || policy == types.PullPolicyRefresh:
		add(Pull, "asked for")
	case opts.Pull == "" && have.Stale[ref]:
		add(Pull, "older than pull policy "+policy+" wants")
	case !there && policy == types.PullPolicyNever:
		return &MissingImageError{Service: s.Name, Image: ref}
	case !there:
		add(Pull, "image not there")
	}
	return nil
}
