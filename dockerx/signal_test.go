package dockerx

import "testing"

func TestSignalNumber(t *testing.T) {
	for s, want := range map[string]int{
		"15": 15, "TERM": 15, "SIGTERM": 15, "sigquit": 3, "KILL": sigKill, "HUP": 1, "SYS": 31, "WINCH": 28,
		"SIGRTMIN+3": 37, "RTMIN": 34, "RTMAX-1": 63, "RTMINX": 0, "": 0, "NONSENSE": 0,
	} {
		if got := signalNumber(s); got != want {
			t.Errorf("%q: %d, want %d", s, got, want)
		}
	}
}
