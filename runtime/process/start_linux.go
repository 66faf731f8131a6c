package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

func pid() int { return os.Getpid() }

// alone has a program lead a process group, and end with the one that starts it.
func alone(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// startHeld starts a program that is stopped before its first instruction until
// settle has returned. Control groups of version 1 can be entered in no other way
// without something of the program running outside, which may start others there.
func startHeld(cmd *exec.Cmd, settle func(pid int) error) error {
	runtime.LockOSThread() // who traces is a thread
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr.Ptrace = true
	if err := cmd.Start(); err != nil {
		return err
	}
	pid := cmd.Process.Pid
	for {
		// Its status is left for whoever waits for it.
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	err := settle(pid)
	if detach := syscall.PtraceDetach(pid); err == nil && detach != nil && !errors.Is(detach, syscall.ESRCH) {
		err = fmt.Errorf("let %s go on: %w", cmd.Path, detach)
	}
	if err != nil {
		_ = killGroup(cmd.Process)
		_ = cmd.Wait()
	}
	return err
}
