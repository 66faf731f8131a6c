package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"woodwork.dev/ww/dockerx"
)

// lock makes sure that one ww at a time changes a project on this machine. It
// waits for another one, and says so. The lock goes with the process, however
// it ends. unlock may be called more than once.
//
// Where the one before was killed or cancelled in the middle of its work, what
// the engine is still stopping for it would look as if it ran: with an engine,
// lock waits until that has stopped.
func (t *tool) lock(ctx context.Context, e *dockerx.Engine, project string) (unlock func(), err error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	dir = filepath.Join(dir, "ww", "locks")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return func() {}, nil // somewhere without a place to write: it works without
	}
	l := flock.New(filepath.Join(dir, project+".lock"))
	ok, err := l.TryLock()
	if err == nil && !ok {
		fmt.Fprintf(t.err, "another ww is at work on %s: waiting for it\n", project)
		_, err = l.TryLockContext(ctx, 50*time.Millisecond)
	}
	if err != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("wait for the other ww: %w", err)
	}
	if err != nil {
		return func() {}, nil // a file system without locks
	}
	mark := filepath.Join(dir, project+".work") // there while work is under way
	before, err := os.Stat(mark)
	unfinished := err == nil
	if unfinished && e != nil {
		if err := e.AwaitStops(ctx, project, before.ModTime()); err != nil {
			_ = l.Close()
			return nil, err
		}
		unfinished = false
	}
	if !unfinished {
		_ = os.WriteFile(mark, nil, 0o600) // without it, it works as with other tools' killed commands
	}
	return func() {
		if !l.Locked() {
			return
		}
		if ctx.Err() == nil && !unfinished {
			_ = os.Remove(mark)
		}
		_ = l.Close() // unlocks
	}, nil
}
