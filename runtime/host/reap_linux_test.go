package host

import (
	"context"
	"errors"
	"log/slog"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestReap makes this process adopt orphans, as the first process of a
// container does, and starts children of its own at the same time.
func TestReap(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) }()
	ctx, cancel := context.WithCancel(t.Context())
	var reaper sync.WaitGroup
	reaper.Go(func() { reap(ctx, 50*time.Millisecond, slog.New(slog.DiscardHandler)) })
	defer func() {
		cancel()
		reaper.Wait()
	}()
	var orphans []int
	for range 5 {
		out, err := exec.Command("sh", "-c", "sleep 0.05 >/dev/null & echo $!").Output()
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
		if err != nil {
			t.Fatal(err)
		}
		orphans = append(orphans, pid)
	}
	var own sync.WaitGroup
	for range 4 {
		own.Go(func() {
			for code := range 50 {
				var exit *exec.ExitError
				err := exec.Command("sh", "-c", "exit "+strconv.Itoa(code)).Run()
				if got := 0; errors.As(err, &exit) {
					got = exit.ExitCode()
					if got != code {
						t.Errorf("exit status %d, want %d", got, code)
					}
				} else if err != nil || code != 0 {
					t.Errorf("exit status %d is lost: %v", code, err)
				}
			}
		})
	}
	own.Wait()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for _, pid := range orphans {
		for !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			select {
			case <-tick.C:
			case <-deadline.C:
				t.Fatalf("the orphan %d is not reaped", pid)
			}
		}
	}
}

// TestOneLookReapsNothing: a child of which the exit status is still to be
// fetched survives a look.
func TestOneLookReapsNothing(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	child := exec.Command("sh", "-c", "exit 7")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	// WNOWAIT: it has ended, and stays as it is.
	if err := unix.Waitid(unix.P_PID, child.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	if seen := look(nil, log); seen[child.Process.Pid] == "" {
		t.Errorf("the zombie %d is not seen: %v", child.Process.Pid, seen)
	}
	var exit *exec.ExitError
	if err := child.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("the exit status is lost: %v", err)
	}
}
