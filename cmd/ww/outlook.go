package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/dockerx"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

// upStyle is how a foreground up shows what the containers write.
func upStyle(c *cli.Context) logStyle {
	return logStyle{prefix: !c.Bool("no-log-prefix"), plain: c.Bool("no-color"), timestamps: c.Bool("timestamps")}
}

// view says what a foreground up shows.
type view struct {
	style   logStyle
	wanted  func(service string) bool // services whose ends are told
	visible func(service string) bool // and of those, the ones whose output is shown
	line    func(text string) bool    // and which lines of that; nil for all
}

// outlook shows what the containers of a system write until they are gone, also
// while it goes down.
type outlook struct {
	containers []plan.Container // those that are there at the beginning
	follower   *deploy.Follower
	end        context.CancelFunc
	ended      chan struct{}
	err        error // once ended is closed
}

// lookOn begins to look on, at what was written since a time, when the plan began
// that has been carried out. died is told of each end, after what was written
// before it, but for those that the plan has brought about.
func (t *tool) lookOn(ctx context.Context, d *dockerx.Engine, project string, since time.Time, done plan.Plan, v view, died func(deploy.Event)) (*outlook, error) {
	have, err := d.Observe(ctx, project, nil)
	if err != nil {
		return nil, err
	}
	cs := slices.DeleteFunc(have.Containers, func(c plan.Container) bool { return c.OneOff || !v.wanted(c.Service) })
	printer := t.newLogPrinter(slices.DeleteFunc(slices.Clone(cs), func(c plan.Container) bool { return !v.visible(c.Service) }), v.style)
	stopped := map[string]bool{}
	for _, s := range done.Steps {
		stopped[s.Target] = stopped[s.Target] || s.Op == plan.Stop
	}
	o := &outlook{containers: cs, ended: make(chan struct{})}
	o.follower = deploy.NewFollower(d, deploy.FollowRequest{
		Project: project, Since: since, Containers: cs, Wanted: v.wanted,
		Options: deploy.LogOptions{Since: since.Add(-time.Second).Format(time.RFC3339Nano), Timestamps: v.style.timestamps},
		Emit: func(l deploy.LogLine) {
			if v.visible(l.Container.Service) && (v.line == nil || v.line(l.Text)) {
				printer.print(l)
			}
		},
		Died: func(ev deploy.Event) {
			if stopped[ev.Container] {
				delete(stopped, ev.Container)
				return
			}
			fmt.Fprintf(t.err, "%s exited with code %d\n", ev.Name, ev.ExitCode)
			died(ev)
		},
	})
	ctx, o.end = context.WithCancel(context.WithoutCancel(ctx)) // also while what is left is killed
	go func() {
		defer close(o.ended)
		o.err = o.follower.Run(ctx)
	}()
	return o, nil
}

// leave waits for what a container has written last.
func (o *outlook) leave(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(ctx, deploy.LastWords)
	defer cancel()
	o.follower.Read(ctx, id)
}

// close ends looking on.
func (o *outlook) close() {
	o.end()
	<-o.ended
}

// gone is why there is nothing to look at any more; nil as long as there is.
func (o *outlook) gone() error {
	select {
	case <-o.ended:
		return o.err
	default:
		return nil
	}
}

func anyService(string) bool { return true }
