//go:build !unix

package process

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

var errNoLimits = errors.New("only Linux has control groups")

func pid() int { return os.Getpid() }

func alone(*exec.Cmd) {}

func session() *syscall.SysProcAttr { return nil }

func killGroup(p *os.Process) error { return p.Kill() }

func wasKilled(*exec.ExitError) bool { return false }
