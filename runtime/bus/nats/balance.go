package nats

import (
	"context"
	"slices"
	"time"
)

// balance takes parts that are free, up to this replica's share, and gives away
// what is beyond.
func (g *government) balance(ctx context.Context) {
	for range 20 { // others write as well
		if !g.k.bus.nc.IsConnected() || time.Since(g.beaten) > g.k.bus.opts.Lease*3/4 {
			return
		}
		next := g.plan(ctx)
		if next == g.assigned && g.revision > 0 {
			break
		}
		if !g.write(ctx, next) {
			g.refresh(ctx)
		}
	}
	g.enter(ctx)
}

// plan says how it should be.
func (g *government) plan(ctx context.Context) (next assignment) {
	next = g.assigned
	members := []string{g.id}
	for id, s := range g.others {
		switch {
		case id != g.id && s.member && g.alive(s):
			members = append(members, id)
		case !s.member && !slices.Contains(next.Owners[:], id):
			delete(g.others, id)
		}
	}
	slices.Sort(members)
	share := partitions / len(members)
	if slices.Index(members, g.id) < partitions%len(members) {
		share++
	}
	dead := map[string]bool{}
	var free, mine []int
	for n, owner := range next.Owners {
		switch {
		case owner == g.id:
			mine = append(mine, n)
		case owner == "":
			free = append(free, n)
		default:
			gone, asked := dead[owner]
			if !asked {
				gone = g.dead(ctx, owner)
				dead[owner] = gone
			}
			if gone {
				free = append(free, n)
			}
		}
	}
	for _, n := range free[:min(len(free), max(share-len(mine), 0))] {
		next.Owners[n] = g.id
	}
	for _, n := range g.k.lanes.excess(mine, len(mine)-share) {
		next.Owners[n] = ""
	}
	return next
}

// excess chooses parts to give away, idle ones first, and returns those that
// can go now: the others begin nothing more.
func (l *lanes) excess(mine []int, count int) (now []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var idle, busy []*part
	for _, n := range mine {
		p := l.parts[n]
		switch {
		case p == nil:
		case p.draining:
			count--
			if p.inFlight == 0 {
				now = append(now, n)
			}
		case p.inFlight == 0:
			idle = append(idle, p)
		default:
			busy = append(busy, p)
		}
	}
	for i, p := range append(idle, busy...) {
		if i >= count {
			break
		}
		p.draining = true
		if p.inFlight == 0 {
			now = append(now, p.n)
		}
	}
	return now
}
