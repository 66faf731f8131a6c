//go:build unix

package process

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// session takes a program out of what its terminal interrupts.
func session() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

func killGroup(p *os.Process) error {
	err := syscall.Kill(-p.Pid, syscall.SIGKILL)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// wasKilled reports whether a program was ended by SIGKILL, or says as a shell
// does that one of its own was.
func wasKilled(e *exec.ExitError) bool {
	s, ok := e.Sys().(syscall.WaitStatus)
	return ok && (s.Signaled() && s.Signal() == syscall.SIGKILL || s.ExitStatus() == 128+int(syscall.SIGKILL))
}
