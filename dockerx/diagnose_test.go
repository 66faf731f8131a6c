package dockerx

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestSource(t *testing.T) {
	current := t.TempDir()
	if err := os.WriteFile(filepath.Join(current, "config.json"), []byte(`{"currentContext":"far"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		options Options
		env     map[string]string
		want    string
	}{
		{Options{Host: "tcp://x:1"}, map[string]string{"DOCKER_HOST": "unix:///y"}, "--host"},
		{Options{Context: "c"}, map[string]string{"DOCKER_HOST": "unix:///y"}, "--context c"},
		{Options{ConfigDir: current}, map[string]string{"DOCKER_HOST": "unix:///y", "DOCKER_CONTEXT": "c"}, "DOCKER_HOST"},
		{Options{ConfigDir: current}, map[string]string{"DOCKER_CONTEXT": "c"}, "DOCKER_CONTEXT, c"},
		{Options{ConfigDir: current}, nil, "docker's current context, far"},
		{Options{ConfigDir: t.TempDir()}, nil, "the default"},
	} {
		tt.options.Getenv = func(name string) string { return tt.env[name] }
		if got := Source(tt.options); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

func TestRangesOf(t *testing.T) {
	for _, tt := range []struct {
		base string
		size int
		want int
	}{{"192.168.0.0/16", 20, 16}, {"172.17.0.0/16", 16, 1}, {"10.0.0.0/8", 4, 0}, {"nonsense", 24, 0}, {"::/0", 128, 1 << 20}} {
		if got := rangesOf(tt.base, tt.size); got != tt.want {
			t.Errorf("%s by %d: %d, want %d", tt.base, tt.size, got, tt.want)
		}
	}
}

func TestAhead(t *testing.T) {
	begin := time.Unix(100, 0)
	end := begin.Add(time.Second)
	for at, want := range map[time.Time]time.Duration{
		begin.Add(-time.Minute): -time.Minute, begin.Add(time.Millisecond): 0, end.Add(time.Hour): time.Hour,
	} {
		if got := ahead(at, begin, end); got != want {
			t.Errorf("%v: %v, want %v", at, got, want)
		}
	}
}
