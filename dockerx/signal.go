package dockerx

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// signals are Linux's, from 1 on: an engine's containers have them whatever
// machine ww runs on.
var signals = strings.Fields("HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU " +
	"URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS")

const sigKill = 9

// IsSignal reports whether an engine takes a text as a signal.
func IsSignal(s string) bool {
	n := signalNumber(s)
	return n > 0 && n <= 64
}

// signalNumber reads a signal as engines take and tell it: "15", "TERM",
// "SIGTERM", "SIGRTMIN+3"; 0 for none.
func signalNumber(s string) int {
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if n, err := strconv.Atoi(name); err == nil {
		return n
	}
	for prefix, base := range map[string]int{"RTMIN": 34, "RTMAX": 64} {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			n, err := strconv.Atoi(cmp.Or(rest, "0"))
			if err != nil {
				return 0
			}
			return base + n
		}
	}
	return slices.Index(signals, name) + 1
}
