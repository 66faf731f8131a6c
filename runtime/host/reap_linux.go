package host

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// reapDelay is how long a zombie must have been one before it is an orphan.
const reapDelay = time.Second

// reapOrphans reaps, in the first process of a container, the orphans that the
// kernel hands to it, until ctx is done.
func reapOrphans(ctx context.Context, log *slog.Logger) {
	if os.Getpid() == 1 {
		reap(ctx, reapDelay, log)
	}
}

// reap must not take the exit status of a child that someone waits for. It
// can't know which those are; but whoever started a process with os/exec is
// waiting for it when it ends, so such a zombie is gone at once. One that is
// still there at a second look has nobody who waits. Nothing is done, and no
// timer runs, while there are no zombies. Compared with a second process that
// only reaps, this costs no start-up time and no memory.
func reap(ctx context.Context, delay time.Duration, log *slog.Logger) {
	sigs := make(chan os.Signal, 1)
	signal.Notify(sigs, syscall.SIGCHLD)
	defer signal.Stop(sigs)
	seen := map[int]string{} // start time by pid: a pid may be used again
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-sigs:
			if again == nil {
				again = time.After(delay)
			}
			continue
		case <-again:
			again = nil
		}
		if seen = look(seen, log); len(seen) > 0 {
			again = time.After(delay)
		}
	}
}

// look reaps the zombies that were seen before and returns the others.
func look(seen map[int]string, log *slog.Logger) map[int]string {
	now := zombies()
	for pid, started := range now {
		if seen[pid] == started {
			reapOne(pid, log)
			delete(now, pid)
		}
	}
	return now
}

func reapOne(pid int, log *slog.Logger) {
	var status syscall.WaitStatus
	for {
		got, err := syscall.Wait4(pid, &status, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if got == pid {
			log.Debug("orphan reaped", "pid", pid, "status", status.ExitStatus())
		}
		return
	}
}

// zombies returns the start times of the children of this process that have
// ended, by pid.
func zombies() map[int]string {
	found := map[int]string{}
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return found
	}
	parent := strconv.Itoa(os.Getpid())
	for _, path := range paths {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it ended in the meantime
		}
		// The second field is the name, in parentheses, with anything in it.
		f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(f) > 19 && string(f[0]) == "Z" && string(f[1]) == parent {
			found[pid] = string(f[19])
		}
	}
	return found
}
