package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// mounted is where control groups are, by everybody's convention.
const mounted = "/sys/fs/cgroup"

// controllers are those that hold each limit, in the order of dirs.
var controllers = map[string]string{"memory": "memory", "cpus": "cpu", "pids": "pids"}

// cage is a control group of a component's own: one directory in the hierarchy of
// version 2 and, where the limits are held by version 1, one for each of these.
// It lies within the control group that ww itself is in, so that nothing escapes
// the limits that ww has.
type cage struct {
	dirs   []string
	two    string // the directory of version 2; empty if there is none
	memory string // the directory that holds the memory's limit
}

// newCage makes a control group and gives the limits that it can't hold. It is nil
// where there can be none, which is no matter where there are no limits.
func newCage(name string, l Limits) (*cage, map[string]error) {
	return newCageIn(mounted, name, l)
}

func newCageIn(mount, name string, l Limits) (*cage, map[string]error) {
	wanted := map[string]bool{}
	for limit, set := range map[string]bool{"memory": l.Memory > 0, "cpus": l.CPUs > 0, "pids": l.PIDs > 0} {
		if set {
			wanted[limit] = true
		}
	}
	missing := map[string]error{}
	own, err := ownGroups()
	if err != nil {
		for limit := range wanted {
			missing[limit] = errors.New("there are no control groups")
		}
		return nil, missing
	}
	c := &cage{}
	two, hybrid := mount, false
	if _, err := os.Stat(filepath.Join(mount, "cgroup.controllers")); err != nil {
		two, hybrid = filepath.Join(mount, "unified"), true
	}
	c.makeTwo(two, own[""], name, l, wanted, missing, hybrid)
	if hybrid {
		for limit := range wanted {
			if err := c.makeOne(mount, own, limit, name, l); err != nil {
				missing[limit] = err
			}
		}
	}
	if len(c.dirs) == 0 {
		return nil, missing
	}
	return c, missing
}

// ownGroups are the control groups that this process is in, by controller; that of
// version 2 has none.
func ownGroups() (map[string]string, error) {
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	own := map[string]string{}
	for line := range strings.Lines(string(b)) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) != 3 || strings.Contains(parts[2], "..") {
			continue // one of outside of this namespace
		}
		for _, controller := range strings.Split(parts[1], ",") {
			own[controller] = parts[2]
		}
	}
	return own, nil
}

// makeTwo makes the directory of version 2. A group that has processes can't have
// others with limits in it; so where ww's own can't, the one around it is taken,
// unless that would leave a limit which ww itself has.
func (c *cage) makeTwo(mount, own, name string, l Limits, wanted map[string]bool, missing map[string]error, hybrid bool) {
	if own == "" {
		own = "/"
	}
	if hybrid || len(wanted) == 0 {
		if dir := filepath.Join(mount, own, name); os.Mkdir(dir, 0o755) == nil {
			c.dirs, c.two = append(c.dirs, dir), dir
		}
		return
	}
	var why error
	for at := own; ; at = filepath.Dir(at) {
		parent := filepath.Join(mount, at)
		if why = grant(parent, wanted); why == nil {
			dir := filepath.Join(parent, name)
			if why = os.Mkdir(dir, 0o755); why == nil {
				if why = limitTwo(dir, l); why == nil {
					c.dirs, c.two, c.memory = append(c.dirs, dir), dir, dir
					return
				}
				_ = os.Remove(dir)
			}
		}
		if at == "/" || limited(parent) {
			break
		}
	}
	for limit := range wanted {
		missing[limit] = fmt.Errorf("no control group with limits can be made: %w", brief(why))
	}
	c.makeTwo(mount, own, name, l, nil, missing, hybrid) // for ending all that is in it
}

// grant lets groups within dir have the controllers of limits.
func grant(dir string, limits map[string]bool) error {
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
	if err != nil {
		return err
	}
	has := strings.Fields(string(b))
	for limit := range limits {
		controller := controllers[limit]
		granted := false
		for _, h := range has {
			granted = granted || h == controller
		}
		if granted {
			continue
		}
		if err := write(dir, "cgroup.subtree_control", "+"+controller); err != nil {
			return err
		}
	}
	return nil
}

// limited reports whether a group has limits of its own, which leaving it would
// leave.
func limited(dir string) bool {
	for _, file := range []string{"memory.max", "cpu.max", "pids.max"} {
		b, err := os.ReadFile(filepath.Join(dir, file))
		if err == nil && !strings.HasPrefix(string(b), "max") {
			return true
		}
	}
	return false
}

const period = 100_000 // microseconds of processor time are given out for

func limitTwo(dir string, l Limits) error {
	var errs []error
	if l.Memory > 0 {
		errs = append(errs, write(dir, "memory.max", strconv.FormatInt(l.Memory, 10)))
		_ = write(dir, "memory.swap.max", "0") // not all kernels have it
	}
	if l.CPUs > 0 {
		errs = append(errs, write(dir, "cpu.max", fmt.Sprintf("%d %d", quota(l), period)))
	}
	if l.PIDs > 0 {
		errs = append(errs, write(dir, "pids.max", strconv.FormatInt(l.PIDs, 10)))
	}
	return errors.Join(errs...)
}

func quota(l Limits) int64 { return max(int64(l.CPUs*period), 1000) }

// makeOne makes the directory of one controller of version 1.
func (c *cage) makeOne(mount string, own map[string]string, limit, name string, l Limits) error {
	controller := controllers[limit]
	at, ok := own[controller]
	if !ok {
		return errors.New("the kernel has no control groups for it")
	}
	dir := filepath.Join(mount, controller, at, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("no control group can be made: %w", brief(err))
	}
	var err error
	switch limit {
	case "memory":
		err = write(dir, "memory.limit_in_bytes", strconv.FormatInt(l.Memory, 10))
		_ = write(dir, "memory.memsw.limit_in_bytes", strconv.FormatInt(l.Memory, 10)) // not all kernels have it
		c.memory = dir
	case "cpus":
		err = errors.Join(write(dir, "cpu.cfs_period_us", strconv.Itoa(period)), write(dir, "cpu.cfs_quota_us", strconv.FormatInt(quota(l), 10)))
	case "pids":
		err = write(dir, "pids.max", strconv.FormatInt(l.PIDs, 10))
	}
	c.dirs = append(c.dirs, dir)
	return err
}

func write(dir, file, text string) error {
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// brief is the cause of an error of a file, without the file.
func brief(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// start starts a program in the control group: nothing of it ever runs outside.
func (c *cage) start(cmd *exec.Cmd) error {
	if c == nil {
		return cmd.Start()
	}
	var one []string
	for _, dir := range c.dirs {
		if dir != c.two {
			one = append(one, dir)
		}
	}
	if c.two != "" {
		f, err := os.Open(c.two)
		if err != nil {
			return fmt.Errorf("the control group of the component: %w", err)
		}
		defer func() { _ = f.Close() }()
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(f.Fd())
	}
	if len(one) == 0 {
		return cmd.Start()
	}
	return startHeld(cmd, func(pid int) error {
		for _, dir := range one {
			if err := write(dir, "cgroup.procs", strconv.Itoa(pid)); err != nil {
				return fmt.Errorf("the control group of the component: %w", err)
			}
		}
		return nil
	})
}

// kills is how many processes the kernel has killed for the memory's limit.
func (c *cage) kills() int64 {
	if c == nil || c.memory == "" {
		return 0
	}
	for _, file := range []string{"memory.events", "memory.oom_control"} {
		b, err := os.ReadFile(filepath.Join(c.memory, file))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			if text, ok := strings.CutPrefix(line, "oom_kill "); ok {
				n, _ := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
				return n
			}
		}
	}
	return 0
}

// pids are the processes in the control group.
func (c *cage) pids() []int {
	if c == nil {
		return nil
	}
	var out []int
	b, _ := os.ReadFile(filepath.Join(c.dirs[0], "cgroup.procs"))
	for _, field := range strings.Fields(string(b)) {
		if n, err := strconv.Atoi(field); err == nil && n > 1 {
			out = append(out, n)
		}
	}
	return out
}

// removeWithin is how long the processes of a control group may take to be gone
// once they are killed.
const removeWithin = 5 * time.Second

// remove kills all that is in the control group, and removes it.
func (c *cage) remove() error {
	var errs []error
	end := time.Now().Add(removeWithin)
	for _, dir := range c.dirs {
		for {
			if write(dir, "cgroup.kill", "1") != nil { // version 1, or an old kernel
				for _, pid := range (&cage{dirs: []string{dir}}).pids() {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			}
			err := syscall.Rmdir(dir)
			if err == nil || errors.Is(err, syscall.ENOENT) {
				break
			}
			if time.Now().After(end) {
				errs = append(errs, fmt.Errorf("the control group %s can't be removed: %w", dir, err))
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	return errors.Join(errs...)
}
