package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// lock makes sure that one ww at a time changes a project on this machine. It
// waits for another one, and says so. The lock goes with the process, however
// it ends. unlock may be called more than once.
func (t *tool) lock(ctx context.Context, project string) (unlock func(), err error) {
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
	return func() { _ = l.Close() }, nil // closing unlocks
}
