package inproc

import (
	"context"
	"fmt"
	"sync"
	"time"

	"woodwork.dev/ww/runtime/plan"
	"woodwork.dev/ww/runtime/scale"
)

// DefaultScaleEvery is how often the load is looked at.
const DefaultScaleEvery = time.Second

// scaled is a part whose number of instances follows its load.
type scaled struct {
	*part
	controller *scale.Controller
	work       sync.WaitGroup
	meter      *meter        // of the processor's load; nil: nobody can tell whose that is
	turn       chan struct{} // there is something in it while the number is changed
	pause      time.Time     // until then no more are tried: the last ones didn't get ready
}

// autoscale has the number of instances follow the load, of those parts that say
// so, until ctx is done or stop is called, which waits for what is under way. The
// processor's load has a say for components with processes of their own: of those
// that share one nobody can tell whose it is.
func (s *System) autoscale(ctx context.Context) (stop func()) {
	var parts []*scaled
	for _, p := range s.parts {
		if p.Scale == nil {
			continue
		}
		policy, known := *p.Scale, p.loadKnown()
		if !known {
			policy.CPU = 0
		}
		scaled := &scaled{part: p, controller: scale.New(policy), turn: make(chan struct{}, 1)}
		if known {
			scaled.meter = &meter{}
		}
		parts = append(parts, scaled)
	}
	if len(parts) == 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.follow(ctx, parts)
	}()
	return func() {
		cancel()
		<-ended
	}
}

func (s *System) follow(ctx context.Context, parts []*scaled) {
	every := s.ScaleEvery
	if every <= 0 {
		every = DefaultScaleEvery
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.look(ctx, parts)
			continue
		case <-ctx.Done():
		}
		break
	}
	for _, p := range parts {
		p.work.Wait()
	}
}

// look takes one look at the bus. While it can't be reached, all stays as it is.
func (s *System) look(ctx context.Context, parts []*scaled) {
	within, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	stats, err := s.bus.now().Stats(within)
	if err != nil {
		s.Log.Debug("the load can't be seen", "error", err)
		return
	}
	now := time.Now()
	for _, p := range parts {
		q, known := stats[p.Config.Name]
		if !known {
			continue
		}
		select {
		case p.turn <- struct{}{}:
		default:
			continue // what was decided before is still being done
		}
		o := scale.Observation{Time: now, Instances: p.count(), Depth: q.Depth - q.Delayed, InFlight: q.InFlight, Handled: q.Handled, CPU: -1}
		if p.meter != nil {
			o.CPU = p.meter.load(now, p.spends())
		}
		d := p.controller.Observe(o)
		if !d.Changes() || d.To > d.From && now.Before(p.pause) {
			<-p.turn
			continue
		}
		p.work.Go(func() {
			defer func() { <-p.turn }()
			p.apply(ctx, s, d)
		})
	}
}

// apply does what was decided.
func (p *scaled) apply(ctx context.Context, s *System, d scale.Decision) {
	step := plan.Step{Op: plan.Scale, Service: p.Config.Name, Name: fmt.Sprintf("%s %d → %d", p.Config.Name, d.From, d.To), Cause: d.Reason}
	err := s.step(ctx, step, func(func(string)) error { return p.resize(ctx, d.To) })
	if err != nil && ctx.Err() == nil {
		p.pause = time.Now().Add(max(p.Scale.CoolDown, time.Second))
		s.Log.Error("more instances can't be had", "component", p.Config.Name, "error", err)
	}
}
