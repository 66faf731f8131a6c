// Package process starts programs so that none outlives whoever started it,
// holds a component's programs to its limits, and tells what they take of the
// machine.
//
// A program leads a process group of its own, which is killed as a whole. On
// Linux the kernel kills it with its parent, and where control groups can be made
// the component's programs are in one of their own, with all that they start. A
// second process, the guard, does the rest where the first is killed itself: see
// Guard.
//
// Limits are those of control groups. Where there are none, a component's memory
// is looked at several times a second, and what exceeds it is killed: the rlimits
// of Unix are of no use for it. RLIMIT_AS and RLIMIT_DATA count what a program has
// reserved, which for Go, Java and whatever has threads is many times what it uses;
// RLIMIT_NPROC counts all processes of the user, and RLIMIT_CPU ends a program in
// place of slowing it down. So the other limits aren't held then, which is told.
package process

import (
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Limits are what all programs of a component may take together; 0 is no limit.
type Limits struct {
	Memory int64   // bytes
	CPUs   float64 // processors
	PIDs   int64   // processes and threads
}

// Known says that this system tells what programs take.
const Known = canLook

// Usage is what a component's programs take of the machine.
type Usage struct {
	CPU       time.Duration // since the component began; of those that have ended, too
	Memory    int64         // resident bytes
	Processes int
}

// KilledError says that a program was killed for exceeding its memory.
type KilledError struct {
	Limit int64
	Err   error // as it ended
}

func (e *KilledError) Error() string {
	return "killed: it used more than its " + size(e.Limit)
}

func (e *KilledError) Unwrap() error { return e.Err }

// size writes bytes as a .ww file does.
func size(n int64) string {
	for i, unit := range []string{"g", "m", "k"} {
		if by := int64(1) << (30 - 10*i); n >= by && n%by == 0 {
			return strconv.FormatInt(n/by, 10) + unit
		}
	}
	return strconv.FormatInt(n, 10) + " bytes"
}

// Keeper makes groups, and sees to it that nothing of them is left.
type Keeper struct {
	log   *slog.Logger
	guard *guard

	mu   sync.Mutex
	made int
}

// NewKeeper returns a keeper whose guard is started with the first program: helper
// makes the command that calls Guard. There is none if it is nil.
func NewKeeper(helper func() *exec.Cmd, log *slog.Logger) *Keeper {
	return &Keeper{log: log, guard: &guard{command: helper, log: log}}
}

// Close ends the guard. All groups have to be closed before.
func (k *Keeper) Close() { k.guard.close() }

// Group makes the group of a component's programs. A limit that can't be held is
// logged with the reason.
func (k *Keeper) Group(component string, limits Limits) *Group {
	k.mu.Lock()
	k.made++
	number := k.made
	k.mu.Unlock()
	g := &Group{keeper: k, component: component, limits: limits, live: map[*Process]bool{}}
	var missing map[string]error
	g.cage, missing = newCage(fmt.Sprintf("ww-%d-%d-%s", pid(), number, plain(component)), limits)
	if g.cage != nil {
		k.guard.add(cageWord, g.cage.dirs...)
	}
	if missing["memory"] != nil && canLook {
		g.looks = true
		delete(missing, "memory")
	}
	for _, limit := range []string{"memory", "cpus", "pids"} {
		if why := missing[limit]; why != nil {
			k.log.Warn("a limit can't be held here: containers can", "component", component, "limit", limit, "reason", why)
		}
	}
	return g
}

// plain is a name that can be one of a directory.
func plain(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' {
			return r
		}
		return '_'
	}, name)
}

// Group is the programs of one component. A nil Group starts programs, too: they
// lead a process group and end with their parent, and that is all.
type Group struct {
	keeper    *Keeper
	component string
	limits    Limits
	cage      *cage // nil: there are no control groups
	looks     bool  // the memory is looked at

	mu      sync.Mutex
	live    map[*Process]bool
	looking bool
	watch   sync.WaitGroup
	ended   time.Duration // CPU time of those that have ended
	most    time.Duration // that was told
	told    int64         // processes killed for their memory, of which is known
}

// Limits are those that the group was made with.
func (g *Group) Limits() Limits {
	if g == nil {
		return Limits{}
	}
	return g.limits
}

// Process is one program that was started.
type Process struct {
	cmd   *exec.Cmd
	group *Group
	kills int64 // that the group had seen for its memory before
	over  bool  // it was killed for its memory; guarded by group.mu
}

// Start starts a program, which isn't to be started otherwise; what ends cmd's
// context kills its whole process group.
func (g *Group) Start(cmd *exec.Cmd) (*Process, error) {
	p := &Process{cmd: cmd, group: g}
	alone(cmd)
	if cmd.Cancel != nil {
		cmd.Cancel = p.Kill
	}
	if g == nil {
		return p, cmd.Start()
	}
	p.kills = g.cage.kills()
	if err := g.cage.start(cmd); err != nil {
		return nil, err
	}
	g.keeper.guard.add(groupWord, strconv.Itoa(cmd.Process.Pid))
	g.mu.Lock()
	defer g.mu.Unlock()
	g.live[p] = true
	if g.looks && !g.looking {
		g.looking = true
		g.watch.Go(g.look)
	}
	return p, nil
}

// Pid is the number of the process.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Kill kills the program and its process group.
func (p *Process) Kill() error { return killGroup(p.cmd.Process) }

// Wait returns when the program has ended, like that of exec.Cmd, and kills what
// it has left behind in its process group. A KilledError says that it was killed
// for its memory.
func (p *Process) Wait() error {
	err := p.cmd.Wait()
	_ = p.Kill()
	g := p.group
	if g == nil {
		return err
	}
	g.keeper.guard.drop(groupWord, strconv.Itoa(p.Pid()))
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.live, p)
	if s := p.cmd.ProcessState; s != nil {
		g.ended += s.UserTime() + s.SystemTime()
	}
	var exit *exec.ExitError
	if n := g.cage.kills(); errors.As(err, &exit) && g.limits.Memory > 0 && (p.over || wasKilled(exit) && n > p.kills) {
		g.told = n
		return &KilledError{Limit: g.limits.Memory, Err: err}
	}
	g.tell()
	return err
}

// tell logs that the kernel has killed what a program has started, which may go on
// without it as if nothing were. With g.mu held.
func (g *Group) tell() {
	if n := g.cage.kills(); n > g.told {
		g.told = n
		g.keeper.log.Warn("a process of the component was killed: it used more than its "+size(g.limits.Memory),
			"component", g.component)
	}
}

// lookEvery is how often memory is looked at where the kernel doesn't.
const lookEvery = 100 * time.Millisecond

// look kills the program that takes most while all of them take too much, until
// none runs any more.
func (g *Group) look() {
	for {
		time.Sleep(lookEvery)
		g.mu.Lock()
		if len(g.live) == 0 {
			g.looking = false
			g.mu.Unlock()
			return
		}
		var largest *Process
		var sum, most int64
		for p := range g.live {
			n := usageOf([]int{p.Pid()}, nil).Memory
			if sum += n; n > most {
				largest, most = p, n
			}
		}
		if sum > g.limits.Memory {
			largest.over = true
			_ = largest.Kill()
		}
		g.mu.Unlock()
	}
}

// Usage is what the programs take now; false where this system doesn't tell.
func (g *Group) Usage() (Usage, bool) {
	if g == nil || !canLook {
		return Usage{}, false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	var leaders []int
	for p := range g.live {
		leaders = append(leaders, p.Pid())
	}
	g.tell()
	u := usageOf(leaders, g.cage)
	// What a program started and left behind took time that nobody tells of any
	// more once it has ended: the sum stays where it was.
	g.most = max(g.most, g.ended+u.CPU)
	u.CPU = g.most
	return u, true
}

// Close kills what is left of the programs and frees what the group holds.
func (g *Group) Close() error {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	for p := range g.live {
		_ = p.Kill()
	}
	g.mu.Unlock()
	g.watch.Wait()
	if g.cage == nil {
		return nil
	}
	err := g.cage.remove()
	g.keeper.guard.drop(cageWord, g.cage.dirs...)
	return err
}
