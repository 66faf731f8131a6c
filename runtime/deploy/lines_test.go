package deploy

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// FuzzLineWriter: however a log is cut into writes, its lines are the same, and
// nothing of it is lost.
func FuzzLineWriter(f *testing.F) {
	f.Add("2026-01-02T03:04:05.000000001Z one\n2026-01-02T03:04:06Z two\r\nrest", uint16(7))
	f.Add("\n\r\n \nnot a time", uint16(1))
	f.Add("2026-01-02T03:04:05Z "+strings.Repeat("x", 20_000)+"\n", uint16(1000))
	f.Fuzz(func(t *testing.T, log string, size uint16) {
		if len(log) > maxLine { // longer ones are broken where the writes end
			return
		}
		read := func(size int) []string {
			var lines []string
			w := &lineWriter{emit: func(at time.Time, s string) {
				lines = append(lines, at.UTC().Format(time.RFC3339Nano)+" "+s)
				if strings.Contains(s, "\n") {
					t.Fatalf("a newline in %q", s)
				}
			}}
			for p := []byte(log); len(p) > 0; {
				n := min(len(p), size)
				if m, err := w.Write(p[:n]); m != n || err != nil {
					t.Fatalf("write: %d of %d, %v", m, n, err)
				}
				p = p[n:]
			}
			w.end()
			return lines
		}
		whole := read(max(1, len(log)))
		if cut := read(int(size) + 1); !slices.Equal(whole, cut) {
			t.Errorf("%q\nin pieces of %d: %q", whole, int(size)+1, cut)
		}
		if n := strings.Count(strings.TrimSuffix(log, "\n"), "\n"); log != "" && len(whole) != n+1 {
			t.Errorf("%d lines, want %d", len(whole), n+1)
		}
	})
}

func TestLastLife(t *testing.T) {
	for in, want := range map[string]string{
		"":            "",
		"a":           "a",
		"a b":         "a b",
		"a a":         "a",
		"a b a b a":   "a b",
		"a b c a b":   "a b c a b",
		"a b a b c":   "a b a b c",
		"a b b a b b": "a b b",
	} {
		if got := strings.Join(lastLife(strings.Fields(in)), " "); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
	cut := strings.Fields(strings.Repeat("b a ", LogLines/2))
	if got := strings.Join(lastLife(cut), " "); got != "b a" {
		t.Errorf("cut: %q", got)
	}
	// When it was said makes no difference; any other number does.
	timed := []string{`{"time":"2026-01-02T03:04:05.678Z","msg":"no"}`, `{"time":"2026-01-02T03:04:06.1+02:00","msg":"no"}`}
	if got := lastLife(timed); len(got) != 1 {
		t.Errorf("timed: %q", got)
	}
	if got := lastLife([]string{"part 1", "part 2"}); len(got) != 2 {
		t.Errorf("numbered: %q", got)
	}
}
