package process

import (
	"bufio"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
)

// What the guard is told: a line with a word, "+" or "-", and a name.
const (
	groupWord = "group" // the number of a process group
	cageWord  = "cage"  // the directory of a control group
)

// guard is this side of the second process.
type guard struct {
	command func() *exec.Cmd
	log     *slog.Logger

	mu    sync.Mutex
	cmd   *exec.Cmd
	stdin io.WriteCloser
	gone  bool // it couldn't be started, or has ended
}

func (g *guard) add(word string, names ...string)  { g.tell(word+"+", names) }
func (g *guard) drop(word string, names ...string) { g.tell(word+"-", names) }

func (g *guard) tell(word string, names []string) {
	if g.command == nil || len(names) == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gone {
		return
	}
	if g.cmd == nil {
		if err := g.start(); err != nil {
			g.gone = true
			g.log.Warn("the guard can't be started: programs may be left if ww is killed", "error", err)
			return
		}
	}
	var b strings.Builder
	for _, name := range names {
		b.WriteString(word + " " + name + "\n")
	}
	if _, err := io.WriteString(g.stdin, b.String()); err != nil {
		g.gone = true
		g.log.Warn("the guard has ended: programs may be left if ww is killed", "error", err)
	}
}

func (g *guard) start() error {
	cmd := g.command()
	cmd.Env = []string{}
	cmd.SysProcAttr = session()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	g.cmd, g.stdin = cmd, stdin
	return nil
}

func (g *guard) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gone = true
	if g.cmd != nil {
		_ = g.stdin.Close()
		_ = g.cmd.Wait() // its status says nothing
	}
}

// Guard is the second process: it is told on in which process groups and control
// groups there are, and kills and removes what is left of them when in ends,
// which it does with the one that writes to it, however that ends. It takes as
// little part in anything else as it can: it has a session of its own, which no
// terminal interrupts.
func Guard(in io.Reader) {
	left := map[string]map[string]bool{groupWord: {}, cageWord: {}}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		word, name, _ := strings.Cut(lines.Text(), " ")
		if names := left[strings.TrimRight(word, "+-")]; names != nil && strings.HasSuffix(word, "+") {
			names[name] = true
		} else {
			delete(names, name)
		}
	}
	for name := range left[groupWord] {
		if n, err := strconv.Atoi(name); err == nil && n > 1 {
			if p, err := os.FindProcess(n); err == nil {
				_ = killGroup(p)
			}
		}
	}
	for dir := range left[cageWord] {
		_ = (&cage{dirs: []string{dir}}).remove()
	}
}
