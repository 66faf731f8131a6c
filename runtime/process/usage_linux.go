package process

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"time"
)

// canLook says that this system tells what processes take.
const canLook = true

// tick is the unit of processor time in /proc: it is the same on all of Linux's
// architectures.
const tick = 10 * time.Millisecond

// stat is what /proc tells of one process.
type stat struct {
	parent, group int
	cpu           time.Duration // of those, too, that it has waited for
	own           time.Duration // of itself alone
	memory        int64
}

func readStat(pid int) (stat, bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}, false
	}
	// The second field is the name, in parentheses, with anything in it.
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(f) < 22 || string(f[0]) == "Z" {
		return stat{}, false
	}
	n := func(i int) int64 {
		v, _ := strconv.ParseInt(string(f[i]), 10, 64)
		return v
	}
	return stat{
		parent: int(n(1)), group: int(n(2)), cpu: time.Duration(n(11)+n(12)+n(13)+n(14)) * tick,
		own: time.Duration(n(11)+n(12)) * tick, memory: n(21) * int64(os.Getpagesize()),
	}, true
}

func all() map[int]stat {
	out := map[int]stat{}
	d, err := os.Open("/proc")
	if err != nil {
		return out
	}
	defer func() { _ = d.Close() }()
	names, _ := d.Readdirnames(-1)
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			if s, ok := readStat(pid); ok {
				out[pid] = s
			}
		}
	}
	return out
}

// usageOf sums what the processes of some process groups take, and those that are
// in a control group.
func usageOf(groups []int, c *cage) Usage {
	var u Usage
	count := func(s stat) {
		u.CPU += s.cpu
		u.Memory += s.memory
		u.Processes++
	}
	if c != nil {
		for _, pid := range c.pids() {
			if s, ok := readStat(pid); ok {
				count(s)
			}
		}
		return u
	}
	if len(groups) == 0 {
		return u
	}
	for _, s := range all() {
		if slices.Contains(groups, s.group) {
			count(s)
		}
	}
	return u
}

// Own is what this process takes with all that it has started.
func Own() (Usage, bool) {
	var u Usage
	processes := all()
	self := os.Getpid()
	for pid, s := range processes {
		for at, i := pid, 0; at > 0 && i < 64; at, i = processes[at].parent, i+1 {
			if at == self {
				u.CPU += s.cpu
				u.Memory += s.memory
				u.Processes++
				break
			}
		}
	}
	return u, true
}

// Self is what this process takes, without what it has started.
func Self() (Usage, bool) {
	s, ok := readStat(os.Getpid())
	return Usage{CPU: s.own, Memory: s.memory, Processes: 1}, ok
}
