package main

import "testing"

func TestLegible(t *testing.T) {
	for in, want := range map[string][2]string{
		"plain ✓ é":                       {"plain ✓ é", "plain ✓ é"},
		"\x1b[91mred\x1b[0m":              {"red", "\x1b[91mred\x1b[0m\x1b[0m"},
		"\x1b[2Jgone\x1b]0;title\x07 end": {"gone end", "gone end"},
		"10%\r50%\rdone\r":                {"done", "done"},
		"bell\x07 \x1b[1;3xno":            {`bell\x07 no`, `bell\x07 no`},
		"a\x1b[32":                        {"a", "a"},
		"\x1b]0;\x1b[31mx":                {"x", "\x1b[31mx\x1b[0m"},
	} {
		for i, colours := range []bool{false, true} {
			if got := legible(in, colours); got != want[i] {
				t.Errorf("%q, colours %v: %q, want %q", in, colours, got, want[i])
			}
		}
	}
}
