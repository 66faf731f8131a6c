package plan

import (
	"github.com/compose-spec/compose-go/v2/types"
)

// What follows plans what is done with images alone. Each image comes once, in
// the order of the services that depend on each other.

// BuildAll plans the builds of a project, or only of what isn't there.
func BuildAll(want *types.Project, have Observed, missing bool) Plan {
	return eachImage(want, func(s types.ServiceConfig, ref string) []Step {
		_, there := have.Images[ref]
		if s.Build == nil || missing && there {
			return nil
		}
		return []Step{{Op: Build, Name: ref}}
	})
}

// PullOptions say what a pull is for.
type PullOptions struct {
	Policy    string // in place of each service's own
	Buildable bool   // also what is built here, which isn't an error where it can't be pulled
	Optional  bool   // what can't be pulled is none
}

// PullAll plans the pulls of a project: what isn't pinned by a policy is pulled
// though it is there. Images of ww's own components are in no registry.
func PullAll(want *types.Project, have Observed, opts PullOptions) Plan {
	return eachImage(want, func(s types.ServiceConfig, ref string) []Step {
		if s.Image == "" || s.Build != nil && (!opts.Buildable || ownImage(s)) {
			return nil
		}
		policy := opts.Policy
		if policy == "" {
			policy, _, _ = s.GetPullPolicy() // one that makes no sense has been refused by now
		}
		_, there := have.Images[ref]
		switch policy {
		case types.PullPolicyNever, types.PullPolicyBuild:
			return nil
		case types.PullPolicyMissing, types.PullPolicyIfNotPresent:
			// An empty policy is this one, too: what pull is for is to have what is newest.
			if there && (opts.Policy != "" || s.PullPolicy != "") {
				return nil
			}
		case types.PullPolicyRefresh:
			if there && !have.Stale[ref] {
				return nil
			}
		}
		return []Step{{Op: Pull, Name: ref, Optional: opts.Optional || s.Build != nil}}
	})
}

// PushAll plans the pushes of the images that a project builds and names, with
// all of their tags.
func PushAll(want *types.Project, optional bool) Plan {
	return eachImage(want, func(s types.ServiceConfig, ref string) []Step {
		if s.Build == nil || s.Image == "" || ownImage(s) {
			return nil
		}
		steps := []Step{{Op: Push, Name: ref, Optional: optional}}
		for _, tag := range s.Build.Tags {
			steps = append(steps, Step{Op: Push, Name: tag, Optional: optional})
		}
		return steps
	})
}

// ownImage tells of an image that ww made up for a component of a .ww file.
func ownImage(s types.ServiceConfig) bool { return s.Labels[labelComponent] != "" }

func eachImage(want *types.Project, f func(s types.ServiceConfig, ref string) []Step) Plan {
	var p Plan
	seen := map[string]bool{}
	for _, name := range order(want) {
		s := want.Services[name]
		if s.Provider != nil {
			continue
		}
		for _, step := range f(s, ImageOf(want, s)) {
			if step.Service = name; !seen[step.Name] {
				p.append(step)
			}
			seen[step.Name] = true
		}
	}
	return p
}
