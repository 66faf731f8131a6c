package progress

import (
	"slices"
	"strings"
	"sync"
	"time"

	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

// interval is the time between two frames: ten a second look alive, and cost
// next to nothing.
const interval = 100 * time.Millisecond

// Tree shows services, in the order of their phases, with what happens to each
// of them, on a terminal that is kept up to date in place.
type Tree struct {
	title  string
	phases Phases
	paint  func(Colour, string) string
	now    func() time.Time
	begin  time.Time

	mu     sync.Mutex
	screen *Screen
	rows   []*row
	byKey  map[string]*row
	beat   int // frames so far
	paused bool

	stop, gone chan struct{}
}

// NewTree shows a run on a terminal until End. paint colours words, or leaves
// them as they are.
func NewTree(title string, t Terminal, phases Phases, paint func(Colour, string) string) *Tree {
	tree := newTree(title, t, phases, paint, time.Now)
	tree.stop, tree.gone = make(chan struct{}), make(chan struct{})
	go tree.run()
	return tree
}

// newTree is a tree that is drawn by whoever calls draw.
func newTree(title string, t Terminal, phases Phases, paint func(Colour, string) string, now func() time.Time) *Tree {
	return &Tree{title: title, phases: phases, paint: paint, now: now, begin: now(), screen: NewScreen(t), byKey: map[string]*row{}}
}

func (t *Tree) run() {
	defer close(t.gone)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	back, ignore := resumed()
	defer ignore()
	for {
		select {
		case <-tick.C:
			t.draw()
		case <-back:
			t.mu.Lock()
			t.screen.Forget()
			t.mu.Unlock()
		case <-t.stop:
			return
		}
	}
}

// draw shows a frame.
func (t *Tree) draw() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.paused {
		return
	}
	cols, rows := t.screen.size()
	_ = t.screen.Draw(t.frame(cols, rows-1)) // nobody is left to tell when it is closed
	t.beat++
}

// Pause takes the tree off the terminal, for a question; Resume brings it back.
func (t *Tree) Pause() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.paused = true
	_ = t.screen.Close(nil) // nobody is left to tell when it is closed
}

// Resume draws again, below where the cursor is.
func (t *Tree) Resume() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.paused = false
	t.screen.Forget()
}

// Write has text go above the tree with the next frame.
func (t *Tree) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.screen.Print(p)
	return len(p), nil
}

// End implements View: a line for each service stays on the terminal.
func (t *Tree) End() {
	if t.stop != nil {
		close(t.stop)
		<-t.gone
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.rows {
		r.giveUp(t.now())
	}
	cols, _ := t.screen.size()
	_ = t.screen.Close(t.all(cols)) // nobody is left to tell when it is closed
}

// Report implements View.
func (t *Tree) Report(ev deploy.Progress) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.row(ev.Step)
	r.take(ev, t.now())
}

// row finds what a step works on, or adds it.
func (t *Tree) row(s plan.Step) *row {
	group, name := t.phases.ofStep(s), s.Service
	switch s.Op {
	case plan.Build, plan.Pull, plan.Push, plan.RemoveImage:
		group, name = groupImages, s.Name
	case plan.CreateNetwork, plan.CreateVolume, plan.RemoveNetwork, plan.RemoveVolume:
		group, name = groupResources, s.Name
	case plan.Drain:
		group, name = "bus", s.Name
	}
	key := group + "\x00" + name
	if r, ok := t.byKey[key]; ok {
		return r
	}
	r := &row{group: group, name: oneLine(name), begin: t.now(), parts: map[int]*part{}}
	t.byKey[key] = r
	t.rows = append(t.rows, r)
	return r
}

// Groups that are no phases.
const (
	groupImages    = "images"
	groupResources = "networks and volumes"
)

// row is one line: a service with all of its containers, an image, a network,
// or a volume.
type row struct {
	group, name string
	begin, end  time.Time
	parts       map[int]*part // by number; a container that takes another one's place has its number
	why, text   string
	share       float64 // of a pull
}

// part is how far one container is.
type part struct {
	op     plan.Op
	status deploy.Status
	err    error

	running []plan.Op // more than one where a container replaces another one
	up      plan.Op   // the last step that brought it up, if any did
}

// take follows a step's beginning or end. Once a container is up, what goes on
// around it (the one that it replaces is removed, its name changes) is shown
// while it lasts, and not as the end.
func (p *part) take(op plan.Op, status deploy.Status, err error) {
	if p.status == deploy.Failed {
		return
	}
	if status == deploy.Running {
		p.running = append(p.running, op)
		p.op, p.status = op, status
		return
	}
	if i := slices.Index(p.running, op); i >= 0 {
		p.running = slices.Delete(p.running, i, i+1)
	}
	p.op, p.status, p.err = op, status, err
	if status == deploy.Failed {
		return
	}
	switch op {
	case plan.Create, plan.Start, plan.Unpause, plan.Ready, plan.Completed:
		p.up = op
	case plan.Stop, plan.Remove, plan.Rename:
		if p.up != "" {
			p.op = p.up
		}
	}
	if n := len(p.running); n > 0 {
		p.op, p.status = p.running[n-1], deploy.Running
	}
}

// state is what a line says at first sight.
type state int

// The states, the most urgent first.
const (
	failed state = iota
	givenUp
	active
	waiting // for something else
	settled
)

func (p *part) state() state {
	switch {
	case p.status == deploy.Failed:
		return failed
	case p.status == interrupted:
		return givenUp
	case p.status == deploy.Running:
		return active
	case p.op == plan.Create:
		return waiting
	}
	return settled
}

// interrupted is the status of a step that was under way when the run ended.
const interrupted deploy.Status = "interrupted"

func (r *row) take(ev deploy.Progress, now time.Time) {
	p := r.parts[ev.Step.Number]
	if p == nil {
		p = &part{}
		r.parts[ev.Step.Number] = p
	}
	if why := because(ev.Step); why != "" {
		r.why = oneLine(why)
	}
	if ev.Status == deploy.Info {
		r.text = ev.Text
		if ev.Step.Op == plan.Pull || ev.Step.Op == plan.Push {
			r.share, r.text = shareOf(ev.Text)
		}
		r.text = oneLine(r.text)
		return
	}
	p.take(ev.Step.Op, ev.Status, ev.Err)
	if ev.Status == deploy.Running {
		r.text, r.share = "", 0
	}
	r.end = now
}

// giveUp marks what was under way when the run ended.
func (r *row) giveUp(now time.Time) {
	for _, p := range r.parts {
		if p.status == deploy.Running {
			p.status, r.end = interrupted, now
		}
	}
}

// least is the part that is the least far, and how many are as far as the one
// that is the farthest.
func (r *row) least() (p *part, done int) {
	for _, q := range r.parts {
		if p == nil || q.state() < p.state() {
			p = q
		}
		if q.state() == settled {
			done++
		}
	}
	return p, done
}

func (r *row) state() state {
	p, _ := r.least()
	return p.state()
}

// elapsed is how long the service is, or was, worked on.
func (r *row) elapsed(now time.Time) time.Duration {
	if s := r.state(); s != active && s != waiting {
		now = r.end
	}
	return now.Sub(r.begin)
}

// shareOf reads the share that a pull is done, which its text begins with.
func shareOf(text string) (share float64, rest string) {
	number, rest, ok := strings.Cut(strings.TrimSpace(text), "%")
	if !ok {
		return 0, text
	}
	n := 0
	for _, d := range number {
		if d < '0' || d > '9' || n > 100 {
			return 0, text
		}
		n = 10*n + int(d-'0')
	}
	return min(float64(n)/100, 1), strings.TrimSpace(rest)
}
