package chaos

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
)

// Load is a component that sends numbers into a system and takes those that
// come out of it, its own and others'. It remembers in its folder how far it
// has come, so that it goes on where it was when it is started again.
type Load struct {
	Target   string
	Dir      string
	Messages int
	Sessions int
	Window   int           // own numbers that are under way at most
	Patience time.Duration // for the last numbers to come out
	For      time.Duration // then no more are sent, however many are left; 0 for all of them
	Pace     time.Duration // between two numbers of one of the 64 senders
	Bus      bus.Bus

	log  *slog.Logger
	out  io.Writer
	file *Journal

	slots     chan struct{} // one for each own number under way
	mu        sync.Mutex
	collected map[Number]bool
	left      int           // own numbers that have not come out
	unsent    int           // of them, those that have not been acknowledged
	complete  chan struct{} // closed when none is left
}

// Names of files.
const (
	LoadJournal = "load.jsonl"
	SinkJournal = "sink.jsonl"
	EndingFile  = "ending.json"
)

// Ending is what is on the bus when a Load has finished.
type Ending struct {
	Left  map[string]int64            `json:"left"` // by component: not drained
	Stats map[string]bus.Stats        `json:"stats"`
	Dead  map[string][]bus.DeadLetter `json:"dead,omitempty"`
}

// Build makes the component.
func (l *Load) Build(_ context.Context, env component.Env) (*component.Instance, error) {
	l.log, l.out = env.Log, env.Stdout
	l.slots = make(chan struct{}, l.Window)
	l.collected, l.complete, l.left = map[Number]bool{}, make(chan struct{}), l.Messages
	known, err := ReadJournal(filepath.Join(l.Dir, LoadJournal))
	if err != nil {
		return nil, err
	}
	acknowledged := l.resume(known)
	l.unsent = l.Messages - len(acknowledged)
	if l.file, err = OpenJournal(filepath.Join(l.Dir, LoadJournal)); err != nil {
		return nil, err
	}
	return &component.Instance{
		Handle: l.collect,
		Run:    func(ctx context.Context) error { return l.run(ctx, acknowledged) },
		Close:  l.file.Close,
	}, nil
}

// resume takes up what an earlier process of this component has recorded, and
// returns the numbers that needn't be sent any more.
func (l *Load) resume(known []Record) map[Number]bool {
	done := map[Number]bool{}
	for _, r := range known {
		switch r.Event {
		case Collected:
			l.came(r.Number)
			done[r.Number] = true
		case Acknowledged:
			done[r.Number] = true
		}
	}
	for n := range done {
		if !l.collected[n] {
			l.slots <- struct{}{}
		}
	}
	return done
}

// came notes that a number came out and reports whether it is the first time.
func (l *Load) came(n Number) (first, own bool, total int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first, own = !l.collected[n], l.owns(n)
	l.collected[n] = true
	if first && own {
		if l.left--; l.left == 0 {
			close(l.complete)
		}
	}
	return first, own, len(l.collected)
}

func (l *Load) collect(_ context.Context, m bus.Message, _ component.Out) (json.RawMessage, error) {
	var n Number
	if err := json.Unmarshal(m.Payload, &n); err != nil {
		return nil, bus.Permanent(fmt.Errorf("no number: %w", err))
	}
	if err := l.file.Append(Record{Number: n, Event: Collected, At: time.Now(), ID: m.ID, Tries: m.RetryCount}); err != nil {
		return nil, err
	}
	first, own, total := l.came(n)
	if first && own {
		select {
		case <-l.slots:
		default: // it was sent by a process before this one that didn't get to know
		}
	}
	if first && total%100 == 0 {
		fmt.Fprintf(l.out, "collected %d.\n", total)
	}
	return m.Payload, nil
}

// run sends what is to be sent, waits for it to come out, and says what is
// left on the bus.
func (l *Load) run(ctx context.Context, done map[Number]bool) error {
	var senders sync.WaitGroup
	const parallel = 64
	var stop context.CancelFunc = func() {}
	while := ctx
	if l.For > 0 {
		while, stop = context.WithTimeout(ctx, l.For)
	}
	defer stop()
	for first := range parallel {
		senders.Go(func() { l.send(ctx, while, done, first, parallel) })
	}
	senders.Wait()
	if ctx.Err() != nil {
		return nil
	}
	l.forget()
	fmt.Fprintln(l.out, "all sent.")
	t := time.NewTimer(l.Patience)
	defer t.Stop()
	select {
	case <-l.complete:
	case <-t.C:
		l.log.Error("not all numbers came out in time")
	case <-ctx.Done():
		return nil
	}
	if err := l.end(ctx); err != nil {
		return err
	}
	fmt.Fprintln(l.out, "finished.")
	<-ctx.Done()
	return nil
}

// forget takes the numbers that were not sent for those that don't come out.
func (l *Load) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.unsent == 0 {
		return
	}
	if l.left -= l.unsent; l.left == 0 {
		close(l.complete)
	}
}

// pause waits for the time between two numbers, and tells whether another one is
// to be sent.
func (l *Load) pause(while context.Context) bool {
	t := time.NewTimer(l.Pace)
	defer t.Stop()
	select {
	case <-while.Done():
		return false
	case <-t.C:
		return true
	}
}

// send sends the numbers of every step-th session, a number of each in turn, as
// long as while isn't done.
func (l *Load) send(ctx, while context.Context, done map[Number]bool, first, step int) {
	for n := 1; ; n++ {
		any := false
		for s := first; s < l.Sessions; s += step {
			num := Number{sessionName(s), n}
			if n > l.share(s) {
				continue
			}
			any = true
			if !done[num] && (!l.pause(while) || !l.publish(ctx, num)) {
				return
			}
		}
		if !any {
			return
		}
	}
}

func sessionName(s int) string { return fmt.Sprintf("s%04d", s) }

// share is how many numbers a session has.
func (l *Load) share(s int) int {
	n := l.Messages / l.Sessions
	if s < l.Messages%l.Sessions {
		n++
	}
	return n
}

func (l *Load) owns(n Number) bool {
	var s int
	if _, err := fmt.Sscanf(n.Session, "s%d", &s); err != nil || s >= l.Sessions {
		return false
	}
	return n.Session == sessionName(s) && n.N >= 1 && n.N <= l.share(s)
}

// publish sends a number until the bus says that it has it; where that isn't
// known it does so again with the same id, as a careful sender does.
func (l *Load) publish(ctx context.Context, n Number) bool {
	select {
	case l.slots <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	payload, err := json.Marshal(n)
	if err != nil {
		panic(err) // a text and a number
	}
	m := bus.Message{
		ID: fmt.Sprintf("%s-%06d", n.Session, n.N), SessionID: n.Session, Type: "input", Payload: payload, Target: l.Target,
		Pattern: bus.PointToPoint,
	}
	record := func(e Event, tries int, err error) {
		r := Record{Number: n, Event: e, At: time.Now(), ID: m.ID, Tries: tries}
		if err != nil {
			r.Error = err.Error()
		}
		if err := l.file.Append(r); err != nil {
			l.log.Error("nothing can be recorded", "error", err)
		}
	}
	for tries := 1; ; tries++ {
		record(Called, tries, nil)
		err := l.Bus.Publish(ctx, m)
		if err == nil {
			record(Acknowledged, tries, nil)
			l.mu.Lock()
			l.unsent--
			l.mu.Unlock()
			return true
		}
		record(Unknown, tries, err)
		t := time.NewTimer(bus.Backoff{Min: 10 * time.Millisecond, Max: time.Second}.Delay(tries))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return false
		}
	}
}

// end writes down what is on the bus.
func (l *Load) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	drain, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	left, err := l.Bus.Drain(drain)
	if err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	e := Ending{Left: left, Dead: map[string][]bus.DeadLetter{}}
	var errs []error
	if e.Stats, err = l.Bus.Stats(ctx); err != nil {
		errs = append(errs, err)
	}
	for name := range e.Stats {
		dead, err := l.Bus.DeadLetters(ctx, name, 20)
		if err != nil {
			errs = append(errs, err)
		}
		if len(dead) > 0 {
			e.Dead[name] = dead
		}
	}
	text, err := json.MarshalIndent(e, "", "  ")
	if err := cmp.Or(errors.Join(errs...), err); err != nil {
		return fmt.Errorf("look at the bus: %w", err)
	}
	return os.WriteFile(filepath.Join(l.Dir, EndingFile), text, 0o644)
}
