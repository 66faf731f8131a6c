package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

// deadLetters is the inner half of all that is done with dead letters.
func (a *agent) deadLetters(ctx context.Context, o order) error {
	stats, err := a.bus.Stats(ctx)
	if err != nil {
		return err
	}
	components, err := a.withDead(ctx, o, stats)
	if err != nil {
		return err
	}
	change := a.bus.Requeue
	switch o.Op {
	case opDiscard:
		change = a.bus.Discard
	case opMove:
		known, err := a.components(ctx, o)
		if err != nil {
			return err
		}
		if !slices.Contains(known, o.To) {
			return noComponent(o.To, known)
		}
		change = func(ctx context.Context, component string, ids ...string) (int, error) {
			return a.move(ctx, component, o.To, ids)
		}
	}
	switch {
	case o.Op == opList:
		return a.list(ctx, components, o.Limit)
	case o.All:
		for _, component := range components {
			err := a.changeAll(ctx, component, stats[component].Dead, o.Every, change)
			if err != nil {
				return err
			}
		}
		return nil
	}
	found, err := a.pick(ctx, components, stats, o.IDs)
	if err != nil {
		return err
	}
	if o.Op == opShow {
		return a.items(nil, asAny(found)...)
	}
	ids := map[string][]string{}
	for _, d := range found {
		ids[d.Component] = append(ids[d.Component], d.ID)
	}
	for _, component := range slices.Sorted(maps.Keys(ids)) {
		n, err := change(ctx, component, ids[component]...)
		if err := a.changed(component, n, err); err != nil {
			return err
		}
	}
	return nil
}

// move gives dead letters to another component, the oldest first; all of them where
// no id is given. Each is on its new queue before it goes: where this ends between
// the two, it is there twice, and moved again with the same id, so that it is handled once.
func (a *agent) move(ctx context.Context, component, to string, ids []string) (moved int, err error) {
	stats, err := a.bus.Stats(ctx)
	if err != nil {
		return 0, err
	}
	letters, err := a.bus.DeadLetters(ctx, component, int(stats[component].Dead)+100)
	if err != nil {
		return 0, err
	}
	for _, d := range slices.Backward(letters) {
		if len(ids) > 0 && !slices.Contains(ids, d.ID) {
			continue
		}
		m := d.Message
		// The id is another one: who has had the message counts the old one as a
		// duplicate. It is the same for whoever moves this dead letter.
		m.ID = bus.DeriveID(&bus.Message{ID: component + "/" + d.ID + "/" + m.ID, CreatedAt: m.CreatedAt}, 0, to)
		m.Target, m.Pattern, m.RetryCount, m.CreatedAt = to, bus.PointToPoint, 0, time.Now().UTC()
		if err := a.bus.Publish(ctx, m); err != nil {
			return moved, err
		}
		if _, err := a.bus.Discard(ctx, component, d.ID); err != nil {
			return moved, err
		}
		moved++
	}
	return moved, nil
}

// changed tells how many dead letters went, also where not all of them did.
func (a *agent) changed(component string, n int, err error) error {
	if n == 0 && err != nil {
		return err
	}
	return errors.Join(err, a.items(nil, changed{component, n}))
}

// changeAll changes all dead letters of a component, and where every isn't 0
// tells from time to time how far it is: the bus moves them one by one, and
// says how many are left.
func (a *agent) changeAll(ctx context.Context, component string, total int64, every time.Duration, change func(context.Context, string, ...string) (int, error)) error {
	if every <= 0 {
		n, err := change(ctx, component)
		return a.changed(component, n, err)
	}
	type outcome struct {
		n   int
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		n, err := change(ctx, component)
		done <- outcome{n, err}
	}()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case o := <-done:
			return a.changed(component, o.n, o.err)
		case <-tick.C:
		}
		stats, err := a.bus.Stats(ctx)
		if err != nil {
			continue // the change tells what is wrong
		}
		// What dies meanwhile may be among those that are left.
		p := &progressOf{component, max(total-stats[component].Dead, 0), total}
		if err := a.out.Encode(result{Progress: p}); err != nil {
			o := <-done
			return errors.Join(err, o.err)
		}
	}
}

// withDead returns the components that were named, or all that have dead
// letters.
func (a *agent) withDead(ctx context.Context, o order, stats map[string]bus.Stats) ([]string, error) {
	if len(o.Components) > 0 {
		known, err := a.components(ctx, o)
		if err != nil {
			return nil, err
		}
		for _, name := range o.Components {
			if !slices.Contains(known, name) {
				return nil, noComponent(name, known)
			}
		}
		names := slices.Sorted(slices.Values(o.Components))
		return slices.Compact(names), nil
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(stats)) {
		if stats[name].Dead > 0 {
			names = append(names, name)
		}
	}
	return names, nil
}

func (a *agent) list(ctx context.Context, components []string, limit int) error {
	for _, component := range components {
		ds, err := a.bus.DeadLetters(ctx, component, limit)
		for i := range ds {
			if err == nil {
				err = a.items(nil, entryOfDead(component, &ds[i]))
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// pick finds dead letters by their ids or by those of their messages. An id is
// unique within a component only, and may be written COMPONENT:ID. It finds
// all of them, or fails.
func (a *agent) pick(ctx context.Context, components []string, stats map[string]bus.Stats, ids []string) ([]deadLetter, error) {
	found := map[string][]deadLetter{}
	for _, component := range components {
		// What dies meanwhile is newer, and not what was asked for.
		ds, err := a.bus.DeadLetters(ctx, component, int(stats[component].Dead)+100)
		if err != nil {
			return nil, err
		}
		for _, d := range ds {
			for _, id := range ids {
				if name, rest, ok := strings.Cut(id, ":"); id == d.ID || id == d.Message.ID || ok && name == component && (rest == d.ID || rest == d.Message.ID) {
					found[id] = append(found[id], deadLetter{component, d})
				}
			}
		}
	}
	var all []deadLetter
	for _, id := range ids {
		switch ds := found[id]; len(ds) {
		case 0:
			return nil, &usageError{fmt.Errorf("there is no dead letter %q", id), "`ww bus dlq ls` lists those that there are"}
		case 1:
			if !slices.ContainsFunc(all, func(d deadLetter) bool { return d.Component == ds[0].Component && d.ID == ds[0].ID }) {
				all = append(all, ds[0])
			}
		default:
			var names []string
			for _, d := range ds {
				names = append(names, d.Component+":"+d.ID)
			}
			return nil, &usageError{fmt.Errorf("there are %d dead letters %q", len(ds), id), "name one of them: " + strings.Join(names, ", ")}
		}
	}
	return all, nil
}

// components returns the names that are known, in order: of queues, of who is
// in the registry, and of containers.
func (a *agent) components(ctx context.Context, o order) ([]string, error) {
	stats, err := a.bus.Stats(ctx)
	if err != nil {
		return nil, err
	}
	entries, err := a.registry.List(ctx)
	if err != nil {
		return nil, err
	}
	names := slices.Concat(o.Known, slices.Collect(maps.Keys(stats)))
	for _, e := range entries {
		names = append(names, e.Name)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

func noComponent(name string, known []string) error {
	err := fmt.Errorf("there is no component %q", name)
	if len(known) == 0 {
		return &usageError{errors.New("there are no components"), "`ww compose up -d` starts them"}
	}
	return &usageError{err, suggestion(name, known, "there are: "+strings.Join(known, ", "))}
}
