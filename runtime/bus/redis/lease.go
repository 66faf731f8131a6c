package redis

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// part is a partition while this replica has it.
type part struct {
	consumer *consumer
	number   int
	epoch    string
	stream   string
	name     any // stream as an argument

	// The consumer's mutex guards what follows.
	held      map[entryID]bool  // entries that were read and are not settled
	heads     map[string]string // session → id of the message that holds it up
	suspect   entryID           // the replica before may have died of one up to this
	strikes   map[entryID]int   // entries that were begun before another one died
	last      entryID           // what was read
	behind    entryID           // the first entry that was left behind; zero for none
	rewound   int               // how often it was set back
	asked     int               // what rewound was when it was read the last time; -1 before
	from      any               // last as an argument, where fromID still is that
	fromID    entryID
	releasing bool // nothing is read any more
	lost      bool
}

// entryID is the place of an entry in its stream.
type entryID struct{ ms, seq uint64 }

func parseID(s string) (id entryID) {
	ms, seq, _ := strings.Cut(s, "-")
	id.ms, _ = strconv.ParseUint(ms, 10, 64) // the server's, or empty
	id.seq, _ = strconv.ParseUint(seq, 10, 64)
	return id
}

func (id entryID) String() string {
	return strconv.FormatUint(id.ms, 10) + "-" + strconv.FormatUint(id.seq, 10)
}

func (id entryID) after(other entryID) bool {
	return id.ms > other.ms || id.ms == other.ms && id.seq > other.seq
}

// before returns the greatest id that is less than this one.
func (id entryID) before() entryID {
	if id.seq > 0 {
		return entryID{id.ms, id.seq - 1}
	}
	return entryID{id.ms - 1, ^uint64(0)}
}

// position is what a partition is read after. With the consumer's mutex held.
func (p *part) position() any {
	if p.from == nil || p.fromID != p.last {
		p.from, p.fromID = p.last.String(), p.last
	}
	return p.from
}

// upkeep keeps this replica's leases, until ctx is done.
func (k *consumer) upkeep(ctx context.Context) {
	tick := time.NewTicker(k.bus.opts.Lease / 4)
	defer tick.Stop()
	failures := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-k.rebalance:
		}
		switch err := attempt(ctx, k.beat); {
		case err == nil:
			failures = 0
		case ctx.Err() == nil:
			if failures++; failures == 1 {
				k.log.Warn("heartbeat failed; other replicas may take this one's messages over", "error", k.bus.explain(err))
			}
		}
	}
}

// look makes upkeep see at once what has changed.
func (k *consumer) look() {
	select {
	case k.rebalance <- struct{}{}:
	default:
	}
}

// beat says that this replica lives, and brings its leases in line with what
// the server says.
func (k *consumer) beat(ctx context.Context) error {
	o := k.bus.opts
	began := time.Now()
	row, err := k.bus.run(ctx, k.bus.scripts.beat, k.Component, k.owner, o.Lease.Milliseconds(),
		k.lanes.working(), o.DedupWindow.Milliseconds()).Slice()
	if err != nil {
		return err
	}
	if len(row) < 3 || len(row)%3 != 0 {
		return fmt.Errorf("heartbeat: unexpected reply %v", row)
	}
	k.clock.Store(int64(millis(row[0]) - began.Add(time.Since(began)/2).UnixMilli()))
	// What comes after it may fail again and again, and until then what is
	// published on its topics would be dropped.
	if told, _ := row[2].(int64); told == 0 { // it was, before the first heartbeat
		k.log.Error("the bus has lost data: messages that it had accepted are gone; check that its volume is kept, and appendfsync")
		if err := k.enter(ctx); err != nil {
			return err
		}
	}
	leased := map[int]bool{}
	var fresh []*part
	for i := 3; i < len(row); i += 3 {
		number, _ := row[i].(int64)
		epoch, _ := row[i+1].(string)
		suspect, _ := row[i+2].(string)
		leased[int(number)] = true
		if !k.has(int(number), epoch) {
			fresh = append(fresh, k.newPart(int(number), epoch, suspect))
		}
	}
	if err := k.recall(ctx, fresh); err != nil {
		return err
	}
	quota, _ := row[1].(int64)
	k.adopt(leased, fresh)
	return k.release(ctx, len(leased)-int(quota))
}

func millis(v any) int64 {
	s, _ := v.(string)
	n, _ := strconv.ParseInt(s, 10, 64) // a script's
	return n
}

// now is the server's time, in ms.
func (k *consumer) now() int64 { return time.Now().UnixMilli() + k.clock.Load() }

func (k *consumer) has(number int, epoch string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.parts[number]
	return p != nil && p.epoch == epoch && !p.lost
}

func (k *consumer) newPart(number int, epoch, suspect string) *part {
	p := &part{consumer: k, number: number, epoch: epoch, stream: k.bus.keys.stream(k.Component, number), suspect: parseID(suspect),
		asked: -1, held: map[entryID]bool{}, heads: map[string]string{}, strikes: map[entryID]int{}}
	p.name = p.stream
	return p
}

// recall reads what the owners before have left: which sessions are held up,
// which messages were begun before a death, and what was finished.
func (k *consumer) recall(ctx context.Context, fresh []*part) error {
	if len(fresh) == 0 {
		return nil
	}
	keys := k.bus.keys
	heads, strikes := make([]*redis.MapStringStringCmd, len(fresh)), make([]*redis.MapStringStringCmd, len(fresh))
	_, err := k.bus.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, f := range fresh {
			heads[i] = p.HGetAll(ctx, keys.heads(k.Component, f.number))
			strikes[i] = p.HGetAll(ctx, keys.strikes(k.Component, f.number))
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, f := range fresh {
		f.heads = heads[i].Val()
		for entry, n := range strikes[i].Val() {
			f.strikes[parseID(entry)], _ = strconv.Atoi(n) // a script's
		}
	}
	return k.finished.load(ctx, k.bus.client, keys.done(k.Component), k.now())
}

// adopt begins with fresh partitions and forgets those that are another's now.
func (k *consumer) adopt(leased map[int]bool, fresh []*part) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.parts {
		if !leased[p.number] {
			k.lose(p)
		}
	}
	for _, p := range fresh {
		if old := k.parts[p.number]; old != nil {
			k.lose(old)
		}
		k.parts[p.number] = p
	}
	if len(fresh) > 0 {
		k.log.Debug("got partitions", "partitions", len(fresh))
		k.moveSoon() // retries of the owners before
	}
}

// lose forgets a partition: what is done for it is void. With k.mu held.
func (k *consumer) lose(p *part) {
	p.lost = true
	if k.parts[p.number] == p {
		delete(k.parts, p.number)
	}
	k.log.Warn("lost a partition: another replica handles its messages", "partition", p.number, "in_flight", len(p.held))
}

// release gives partitions back that are too many for this replica: the ones
// with the least in flight are read no more, and go once nothing of them is being
// handled. What waits here for its turn is the other replica's: it came to have
// something to do.
func (k *consumer) release(ctx context.Context, excess int) error {
	k.mu.Lock()
	all := make([]*part, 0, len(k.parts))
	for _, p := range k.parts {
		all = append(all, p)
		if p.releasing {
			excess--
		}
	}
	slices.SortFunc(all, func(a, b *part) int {
		return cmp.Or(cmp.Compare(len(a.held), len(b.held)), cmp.Compare(a.number, b.number))
	})
	var idle []*part
	for _, p := range all {
		if !p.releasing && excess > 0 {
			p.releasing = true
			excess--
			k.leaveBehind(p)
		} else if p.releasing && excess < 0 { // another replica has gone
			p.releasing = false
			excess++
			p.rewind()
		}
		if p.releasing && len(p.held) == 0 {
			idle = append(idle, p)
		}
	}
	k.mu.Unlock()
	if len(idle) == 0 {
		return nil
	}
	if err := k.giveBack(ctx, false, idle); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range idle {
		p.lost = true
		delete(k.parts, p.number)
	}
	return nil
}

// leaveBehind forgets what is held of a partition and hasn't begun: reading it has
// changed nothing on the server. With k.mu held.
func (k *consumer) leaveBehind(p *part) {
	for _, e := range k.lanes.drop(p) {
		delete(p.held, e.place)
		k.window.remove(1, len(e.body))
		p.leave(e)
	}
}

// leave notes an entry that was left behind. With the consumer's mutex held.
func (p *part) leave(e *entry) {
	if p.behind == (entryID{}) || p.behind.after(e.place) {
		p.behind = e.place
	}
}

// rewind makes the partition be read again from the first entry on that was left
// behind. What is held is not handed out twice. With the consumer's mutex held.
func (p *part) rewind() {
	if p.behind == (entryID{}) {
		return
	}
	p.rewound++
	if p.last.after(p.behind.before()) {
		p.last = p.behind.before()
	}
	p.behind = entryID{}
}

func (k *consumer) giveBack(ctx context.Context, leaves bool, parts []*part) error {
	args := []any{k.Component, k.owner, flag(leaves)}
	for _, p := range parts {
		args = append(args, p.number, p.epoch)
	}
	return k.bus.run(ctx, k.bus.scripts.release, args...).Err()
}

// leave signs off, so that others take over at once what is left.
func (k *consumer) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	k.mu.Lock()
	var all []*part
	for _, p := range k.parts {
		all = append(all, p)
	}
	k.mu.Unlock()
	if err := k.giveBack(ctx, true, all); err != nil {
		k.log.Warn("can't sign off; what this replica held is taken over when its lease ends", "error", k.bus.explain(err))
	}
}
