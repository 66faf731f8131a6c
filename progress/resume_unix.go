//go:build unix

package progress

import (
	"os"
	"os/signal"
	"syscall"
)

// resumed tells when the program goes on after it was suspended: the shell has
// written to the terminal meanwhile.
func resumed() (<-chan os.Signal, func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGCONT)
	return c, func() { signal.Stop(c) }
}
