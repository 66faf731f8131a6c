package main

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/runtime/plan"
)

// abort ends a foreground up when containers end, and gives the exit code.
type abort struct {
	onExit, onFailure bool
	from              string // service whose exit code counts
	project           *types.Project
	end               func()

	mu    sync.Mutex
	ended bool
	code  int
}

// newAbort reads the flags; nil where nothing is to be ended.
func newAbort(c *cli.Context, p *types.Project) (*abort, error) {
	a := &abort{onExit: c.Bool("abort-on-container-exit"), onFailure: c.Bool("abort-on-container-failure"), from: c.String("exit-code-from"), project: p}
	a.onExit = a.onExit || a.from != ""
	if !a.onExit && !a.onFailure {
		return nil, nil
	}
	if c.Bool("detach") || c.IsSet("wait") {
		return nil, &usageError{errors.New("ending with a container needs somebody who looks on"), "leave -d and --wait out"}
	}
	if _, ok := p.Services[a.from]; a.from != "" && !ok {
		return nil, &usageError{fmt.Errorf("--exit-code-from: there is no service %q", a.from), suggestion(a.from, p.ServiceNames(), "there are: "+strings.Join(p.ServiceNames(), ", "))}
	}
	return a, nil
}

// see judges the end of a container. With a service that is asked about,
// another one that ends well ends nothing, and one that fails does: it must not
// be hidden behind a code of 0.
func (a *abort) see(service string, code int) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.ended, code == 0 && (!a.onExit || a.job(service) || a.from != "" && service != a.from):
		return
	}
	a.ended, a.code = true, code
	a.end()
}

// job reports whether others only wait for a service's end.
func (a *abort) job(service string) bool {
	for _, s := range a.project.Services {
		if s.DependsOn[service].Condition == types.ServiceConditionCompletedSuccessfully {
			return true
		}
	}
	return false
}

// seen judges what has ended before anybody looked.
func (a *abort) seen(cs []plan.Container) {
	for _, c := range cs {
		if c.State == plan.Exited {
			a.see(c.Service, c.ExitCode)
		}
	}
}

// result is the exit code of the whole: that of what ended it.
func (a *abort) result() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.code == 0 {
		return nil
	}
	return errReported{a.code}
}
