package host

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"syscall"
)

// trimProgram gives back the memory that only starting needed: what is garbage
// now, and those pages of the program's file that were touched. Most of them
// are of commands and parsers that a component never uses; what is needed again
// comes back from the page cache by itself.
func trimProgram() error {
	debug.FreeOSMemory()
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	var from, to uintptr // of the mapping that the lines speak of; 0 for none of ours
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := lines.Text()
		if name, value, _ := strings.Cut(line, ":"); name == "Anonymous" && from != 0 {
			// Pages that were written, by a linker too, are nowhere else.
			if strings.TrimSpace(value) != "0 kB" {
				continue
			}
			if _, _, errno := syscall.Syscall(syscall.SYS_MADVISE, from, to-from, syscall.MADV_DONTNEED); errno != 0 {
				return fmt.Errorf("madvise: %w", errno)
			}
		}
		var a, b uintptr
		var mode string
		if n, _ := fmt.Sscanf(line, "%x-%x %s", &a, &b, &mode); n == 3 {
			from, to = 0, 0
			if strings.HasSuffix(line, " "+self) && !strings.Contains(mode, "w") {
				from, to = a, b
			}
		}
	}
	return lines.Err()
}
