package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/charmbracelet/x/ansi"
	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"woodwork.dev/ww/progress"
)

// console is how output is shown: with colours or without, as text or as JSON,
// and above a tree where one is being drawn.
type console struct {
	// colour is --ansi's always or never; else the environment decides, for
	// each output by itself.
	colour string
	mode   string // --progress, or auto
	verb   string // the command

	mu   sync.Mutex
	tree *progress.Tree // nil when none is being drawn
	end  func()         // ends what shows the run under way; nil when there is none
	json bool           // whatever is told on standard error is JSON
}

// stream is standard output or standard error, as commands write to it.
type stream struct {
	file    io.Writer
	console *console
	diag    bool // standard error
	part    []byte
}

// Write hands text on. What belongs on the terminal that a tree is being drawn
// on goes above the tree.
func (s *stream) Write(p []byte) (int, error) {
	c := s.console
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case s.diag && c.json:
		return len(p), s.notes(p)
	case c.tree != nil && isTerminal(s.file):
		return c.tree.Write(p)
	}
	return s.file.Write(p)
}

// notes writes whole lines of text as records.
func (s *stream) notes(p []byte) error {
	s.part = append(s.part, p...)
	for {
		line, rest, ok := bytes.Cut(s.part, []byte("\n"))
		if !ok {
			return nil
		}
		s.part = rest
		text := strings.TrimSpace(harmless(ansi.Strip(string(line))))
		if text == "" {
			continue
		}
		if err := progress.WriteRecord(s.file, progress.Record{Status: progress.StatusNote, Text: text}); err != nil {
			return err
		}
	}
}

// records is standard error for lines that are records already.
type records struct{ *stream }

// Write hands a record on as it is.
func (r records) Write(p []byte) (int, error) {
	r.console.mu.Lock()
	defer r.console.mu.Unlock()
	return r.file.Write(p)
}

// record writes one record, if standard error is to hold nothing else.
func (t *tool) record(r progress.Record) bool {
	s, ok := t.err.(*stream)
	if !ok || !s.console.json {
		return false
	}
	_ = progress.WriteRecord(records{s}, r) // nobody is left to tell when it is closed
	return true
}

// begin has a view's end known, and ends the one before it.
func (c *console) begin(tree *progress.Tree, end func()) {
	c.finish()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tree, c.end = tree, end
}

// finish ends what shows the run under way, if anything does.
func (c *console) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end != nil {
		c.end()
	}
	c.tree, c.end = nil, nil
}

// pause leaves the terminal to a question until resume is called.
func (c *console) pause() (resume func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	tree := c.tree
	if tree == nil {
		return func() {}
	}
	tree.Pause()
	c.tree = nil
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.tree = tree
		tree.Resume()
	}
}

// fileOf is what an output or input is in the end.
func fileOf(w any) (*os.File, bool) {
	if s, ok := w.(*stream); ok {
		w = s.file
	}
	f, ok := w.(*os.File)
	return f, ok
}

func isTerminal(w any) bool {
	f, ok := fileOf(w)
	return ok && term.IsTerminal(int(f.Fd()))
}

// colourful tells whether an output gets colours.
func colourful(w io.Writer) bool {
	if s, ok := w.(*stream); ok {
		switch s.console.colour {
		case "always":
			return true
		case "never":
			return false
		}
	}
	return os.Getenv("NO_COLOR") == "" && !bare() && isTerminal(w)
}

// bare tells of surroundings in which nobody looks at a terminal, or at one
// that can do nothing.
func bare() bool { return os.Getenv("TERM") == "dumb" || os.Getenv("CI") != "" }

// screenOf is a terminal to draw on.
type screenOf struct{ file *os.File }

func (s screenOf) Write(p []byte) (int, error) { return s.file.Write(p) }

func (s screenOf) Size() (cols, rows int) {
	cols, rows, err := term.GetSize(int(s.file.Fd()))
	if err != nil {
		return 0, 0
	}
	return cols, rows
}

var (
	progressModes = []string{"auto", "tty", "plain", "json", "quiet"}
	ansiModes     = []string{"auto", "always", "never"}
)

// consoleFlags say how output is shown.
func consoleFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "progress", Usage: "how to show what is done: " + strings.Join(progressModes, ", ") + " (default: COMPOSE_PROGRESS, or auto)"},
		&cli.StringFlag{Name: "ansi", Usage: "colours and other control of the terminal: " + strings.Join(ansiModes, ", ") + " (default: COMPOSE_ANSI, or auto)"},
	}
}

// setConsole reads the flags, and the variables in their place. NO_COLOR is
// stronger than COMPOSE_ANSI, and weaker than the flag.
func (t *tool) setConsole(c *cli.Context) error {
	mode, err := fromFlag(c, "progress", "COMPOSE_PROGRESS", progressModes)
	if err != nil {
		return err
	}
	colour, err := fromFlag(c, "ansi", "COMPOSE_ANSI", ansiModes)
	if err != nil {
		return err
	}
	if colour == "always" && os.Getenv("NO_COLOR") != "" && inherited(c, "ansi") == "" {
		colour = "auto"
	}
	if mode == "tty" && colour == "never" {
		return &usageError{errors.New("--progress tty needs control of the terminal, and --ansi never forbids it"), "leave one of them out"}
	}
	if mode == "quiet" {
		for _, f := range c.Command.Flags {
			if f.Names()[0] == "quiet" {
				if err := c.Set("quiet", "true"); err != nil {
					return err
				}
			}
		}
	}
	if t.console == nil {
		return nil
	}
	t.console.mode, t.console.colour, t.console.verb = mode, colour, c.Command.Name
	t.console.json = mode == "json"
	if colour != "auto" || isTerminal(t.out) {
		t.out = &stream{file: t.out, console: t.console}
	}
	return nil
}

// fromFlag is a flag's value, or that of the variable in its place.
func fromFlag(c *cli.Context, flag, variable string, allowed []string) (string, error) {
	if v := inherited(c, flag); v != "" {
		return v, oneOf(flag, v, allowed...)
	}
	v := os.Getenv(variable)
	if v == "" {
		return allowed[0], nil
	}
	if err := oneOf(flag, v, allowed...); err != nil {
		return "", &usageError{fmt.Errorf("%s can't be %q", variable, v), "it is one of " + strings.Join(allowed, ", ")}
	}
	return v, nil
}
