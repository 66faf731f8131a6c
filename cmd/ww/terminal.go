package main

import (
	"fmt"
	"os"
	"os/signal"

	"golang.org/x/term"

	"woodwork.dev/ww/runtime/deploy"
)

// interactive tells whether a person sits at both ends of this process.
func (t *tool) interactive() bool { return isTerminal(t.in) && isTerminal(t.out) }

// rawTerminal hands the keys of this process's terminal on as they are, and tells
// its size whenever it changes, until restore is called.
func (t *tool) rawTerminal() (sizes <-chan deploy.TerminalSize, restore func(), err error) {
	in, out := int(t.in.(*os.File).Fd()), int(t.out.(*os.File).Fd())
	old, err := term.MakeRaw(in)
	if err != nil {
		return nil, nil, fmt.Errorf("terminal: %w", err)
	}
	changes := make(chan os.Signal, 1)
	notifyResize(changes)
	told := make(chan deploy.TerminalSize)
	done, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		for {
			if w, h, err := term.GetSize(out); err == nil {
				select {
				case told <- deploy.TerminalSize{Width: uint(w), Height: uint(h)}:
				case <-done:
					return
				}
			}
			select {
			case <-changes:
			case <-done:
				return
			}
		}
	}()
	return told, func() {
		signal.Stop(changes)
		close(done)
		<-gone
		_ = term.Restore(in, old) // nothing more can be done for the terminal
	}, nil
}
