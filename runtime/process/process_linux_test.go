//go:build linux

package process

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary be the programs that are run.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 {
		switch os.Args[1] {
		case "guard":
			Guard(os.Stdin)
			os.Exit(0)
		case "hog":
			hog()
		case "burn":
			burn(200 * time.Millisecond)
			os.Exit(0)
		case "parent":
			parent()
		}
	}
	os.Exit(m.Run())
}

// hog takes memory until something ends it.
func hog() {
	var all [][]byte
	for {
		b := bytes.Repeat([]byte{1}, 1<<20)
		all = append(all, b)
		if len(all) > 1024 {
			fmt.Println("nothing has ended it")
			os.Exit(1)
		}
		time.Sleep(time.Millisecond)
	}
}

// burn uses so much processor time.
func burn(d time.Duration) {
	var u syscall.Rusage
	for {
		if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil || time.Duration(u.Utime.Nano()+u.Stime.Nano()) > d {
			return
		}
	}
}

// parent starts a program that starts others, one of which leaves its session, and
// says who they are.
func parent() {
	k := NewKeeper(self("guard"), slog.New(slog.NewTextHandler(os.Stderr, nil)))
	g := k.Group("c", Limits{})
	cmd := exec.Command("sh", "-c", "sleep 1000 & echo $!; setsid sh -c 'echo $$; exec sleep 1000' & wait")
	out, err := cmd.StdoutPipe()
	if err != nil {
		panic(err)
	}
	p, err := g.Start(cmd)
	if err != nil {
		panic(err)
	}
	in := bufio.NewReader(out)
	for range 2 {
		line, _ := in.ReadString('\n')
		fmt.Print(line)
	}
	fmt.Println(p.Pid())
	if g.cage != nil {
		fmt.Println(strings.Join(g.cage.dirs, "\n"))
	}
	fmt.Println("end")
	_ = p.Wait()
}

func self(word string) func() *exec.Cmd {
	return func() *exec.Cmd { return exec.Command("/proc/self/exe", word) }
}

// group makes one that is closed at the end, and gives what was logged.
func group(t *testing.T, l Limits) (*Group, *bytes.Buffer) {
	t.Helper()
	var logged bytes.Buffer
	k := NewKeeper(nil, slog.New(slog.NewTextHandler(&logged, nil)))
	g := k.Group("c", l)
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		k.Close()
	})
	return g, &logged
}

// holds skips the test where this machine can't hold a limit, which is logged.
func holds(t *testing.T, g *Group, logged *bytes.Buffer) {
	t.Helper()
	if g.cage == nil || logged.Len() > 0 {
		t.Skipf("no control groups with limits here: %s", logged)
	}
}

func run(t *testing.T, g *Group, cmd *exec.Cmd) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	p, err := g.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	err = p.Wait()
	return out.String(), err
}

func alive(pid int) bool {
	_, ok := readStat(pid)
	return ok
}

// gone fails where a process is still there after a while.
func gone(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); alive(pid); {
		if time.Now().After(end) {
			t.Fatalf("process %d is left", pid)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestWhatIsLeftBehind: what a program leaves in its process group ends with it,
// and what leaves that ends with the control group.
func TestWhatIsLeftBehind(t *testing.T) {
	g, _ := group(t, Limits{})
	out, err := run(t, g, exec.Command("sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!; exec setsid sh -c 'echo $$; exec sleep 1000 >/dev/null 2>&1' & sleep 0.1; exit 3"))
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Fatalf("%s, %v", out, err)
	}
	var pids []int
	for _, field := range strings.Fields(out) {
		n, _ := strconv.Atoi(field)
		pids = append(pids, n)
	}
	if len(pids) != 2 {
		t.Fatalf("%q", out)
	}
	gone(t, pids[0])
	if g.cage == nil {
		_ = syscall.Kill(pids[1], syscall.SIGKILL)
		t.Skip("no control groups here")
	}
	if !alive(pids[1]) {
		t.Error("what has left its group is gone before the group is closed: this proves nothing")
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	gone(t, pids[1])
	for _, dir := range g.cage.dirs {
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s is left", dir)
		}
	}
}

func TestMemory(t *testing.T) {
	for _, how := range []string{"by the kernel", "by looking"} {
		t.Run(how, func(t *testing.T) {
			g, logged := group(t, Limits{Memory: 64 << 20})
			if how == "by looking" {
				if g.cage != nil {
					if err := g.cage.remove(); err != nil {
						t.Fatal(err)
					}
				}
				g.cage, g.looks = nil, true
			} else {
				holds(t, g, logged)
				if g.looks {
					t.Skip("no control groups for memory here")
				}
			}
			out, err := run(t, g, exec.Command("/proc/self/exe", "hog"))
			var killed *KilledError
			if !errors.As(err, &killed) || err.Error() != "killed: it used more than its 64m" {
				t.Fatalf("%q, %v", out, err)
			}
			// Another is judged for itself.
			if _, err := run(t, g, exec.Command("sh", "-c", "kill -9 $$")); errors.As(err, &killed) || err == nil {
				t.Errorf("one that was killed otherwise: %v", err)
			}
			if out, err := run(t, g, exec.Command("echo", "fine")); err != nil || out != "fine\n" {
				t.Errorf("%q, %v", out, err)
			}
		})
	}
}

// A program may not notice that what it has started is killed: that is told.
func TestMemoryOfAChild(t *testing.T) {
	g, logged := group(t, Limits{Memory: 64 << 20})
	holds(t, g, logged)
	if g.looks {
		t.Skip("no control groups for memory here")
	}
	if out, err := run(t, g, exec.Command("sh", "-c", os.Args[0]+" hog | cat; echo fine")); err != nil || !strings.HasSuffix(out, "fine\n") {
		t.Fatalf("%q, %v", out, err)
	}
	if !strings.Contains(logged.String(), "killed: it used more than its 64m") {
		t.Errorf("log: %s", logged)
	}
	before := logged.String()
	if out, err := run(t, g, exec.Command("echo", "fine")); err != nil || out != "fine\n" || logged.String() != before {
		t.Errorf("%q, %v; log: %s", out, err, logged)
	}
}

func TestCPUs(t *testing.T) {
	g, logged := group(t, Limits{CPUs: 0.2})
	holds(t, g, logged)
	began := time.Now()
	if out, err := run(t, g, exec.Command("/proc/self/exe", "burn")); err != nil {
		t.Fatalf("%q, %v", out, err)
	}
	if took := time.Since(began); took < 600*time.Millisecond {
		t.Errorf("200 ms of a fifth of a processor took %s", took)
	}
}

func TestPIDs(t *testing.T) {
	g, logged := group(t, Limits{PIDs: 5})
	holds(t, g, logged)
	out, _ := run(t, g, exec.Command("sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 10 & done; echo done"))
	if !strings.Contains(strings.ToLower(out), "fork") {
		t.Errorf("nine processes where five may be: %q", out)
	}
}

// TestNoProgramRunsOutside: what a program starts first is within the limits, too.
func TestNoProgramRunsOutside(t *testing.T) {
	g, _ := group(t, Limits{Memory: 256 << 20, PIDs: 100})
	if g.cage == nil {
		t.Skip("no control groups here")
	}
	for range 20 {
		out, err := run(t, g, exec.Command("sh", "-c", "cat /proc/self/cgroup"))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(out, filepath.Base(g.cage.dirs[0])); n != len(g.cage.dirs) {
			t.Fatalf("in %d of %d:\n%s", n, len(g.cage.dirs), out)
		}
	}
}

func TestUsage(t *testing.T) {
	for _, caged := range []bool{true, false} {
		g, _ := group(t, Limits{})
		if !caged && g.cage != nil {
			if err := g.cage.remove(); err != nil {
				t.Fatal(err)
			}
			g.cage = nil
		}
		cmd := exec.Command("sh", "-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; read x")
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		p, err := g.Start(cmd)
		if err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			u, ok := g.Usage()
			if !ok || time.Now().After(end) {
				t.Fatalf("%+v, %v", u, ok)
			}
			if u.CPU > 20*time.Millisecond && u.Memory > 100<<10 && u.Processes == 1 {
				break
			}
		}
		before, _ := g.Usage()
		_ = stdin.Close()
		_ = p.Wait()
		after, ok := g.Usage()
		if !ok || after.CPU < before.CPU || after.Memory != 0 || after.Processes != 0 {
			t.Errorf("it took %+v, and after its end %+v", before, after)
		}
	}
	own, ok := Own()
	if !ok || own.CPU == 0 || own.Memory < 1<<20 || own.Processes < 1 {
		t.Errorf("this process: %+v", own)
	}
	self, ok := Self()
	if !ok || self.CPU == 0 || self.Memory < 1<<20 || self.Processes != 1 || self.CPU >= own.CPU {
		t.Errorf("this process alone: %+v, with others %+v", self, own)
	}
}

// TestKilled: where the parent is killed nothing is left, neither what has left its
// process group nor a control group.
func TestKilled(t *testing.T) {
	cmd := exec.Command("/proc/self/exe", "parent")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for in := bufio.NewScanner(out); in.Scan() && in.Text() != "end"; {
		lines = append(lines, in.Text())
	}
	if len(lines) < 3 {
		t.Fatal(lines)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	caged := len(lines) > 3
	for _, line := range lines[:3] {
		n, err := strconv.Atoi(line)
		if err != nil || n < 2 {
			t.Fatal(lines)
		}
		if session, _ := strconv.Atoi(lines[1]); n == session && !caged {
			_ = syscall.Kill(n, syscall.SIGKILL) // nobody can know of it
			continue
		}
		gone(t, n)
	}
	for _, dir := range lines[3:] {
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			if _, err := os.Stat(dir); err != nil {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%s is left", dir)
			}
		}
	}
}

// TestNothingIsLeft: no descriptor, no child, no goroutine's file.
func TestNothingIsLeft(t *testing.T) {
	fds := func() int {
		d, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(d)
	}
	once := func() {
		k := NewKeeper(self("guard"), slog.New(slog.NewTextHandler(io.Discard, nil)))
		g := k.Group("c", Limits{Memory: 1 << 30})
		for range 5 {
			if out, err := run(t, g, exec.Command("echo", "x")); err != nil || out != "x\n" {
				t.Fatalf("%q, %v", out, err)
			}
		}
		if _, err := g.Start(exec.Command("/nope")); err == nil {
			t.Error("a program that isn't there is started")
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		k.Close()
	}
	once()
	before, children := fds(), len(childrenOf(os.Getpid()))
	for range 5 {
		once()
	}
	if now := fds(); now > before {
		t.Errorf("%d descriptors are left", now-before)
	}
	if now := len(childrenOf(os.Getpid())); now > children {
		t.Errorf("%d children are left", now-children)
	}
}

func childrenOf(pid int) []int {
	var out []int
	for p, s := range all() {
		if s.parent == pid {
			out = append(out, p)
		}
	}
	return out
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{64 << 20: "64m", 1 << 30: "1g", 1536 << 20: "1536m", 512 << 10: "512k", 1000: "1000 bytes"} {
		if got := size(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}

// TestNilGroup: without a group a program still leads one and ends with us.
func TestNilGroup(t *testing.T) {
	var g *Group
	if out, err := run(t, g, exec.Command("echo", "x")); err != nil || out != "x\n" {
		t.Errorf("%q, %v", out, err)
	}
	if _, ok := g.Usage(); ok || g.Limits() != (Limits{}) || g.Close() != nil {
		t.Error("no group has something")
	}
}
