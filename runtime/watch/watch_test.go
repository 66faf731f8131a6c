package watch

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

// write makes a file with its folders.
func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// service has a develop section of triggers, and is built from dir.
func service(dir string, triggers ...types.Trigger) types.ServiceConfig {
	return types.ServiceConfig{Name: "web", Build: &types.BuildConfig{Context: dir}, Develop: &types.DevelopConfig{Watch: triggers}}
}

func rulesOf(t *testing.T, s types.ServiceConfig) []Rule {
	t.Helper()
	rules, notes, err := Of(s)
	if err != nil || len(notes) > 0 {
		t.Fatal(err, notes)
	}
	return rules
}

func folder(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	check(t, err)
	return dir
}

func TestMatch(t *testing.T) {
	dir := folder(t)
	write(t, dir+"/.dockerignore", "*.log\n!keep.log\nDockerfile\nsecret\n")
	write(t, dir+"/one.txt", "")
	sync := types.Trigger{Path: dir + "/src", Action: "sync", Target: "/app/src", Ignore: []string{"vendor/", "**/*.tmp"}}
	some := types.Trigger{Path: dir, Action: "sync", Target: "/app", Include: []string{"**/*.py", "static"}}
	file := types.Trigger{Path: dir + "/one.txt", Action: "sync", Target: "/etc/"}
	whole := types.Trigger{Path: dir, Action: "rebuild"}
	for _, tt := range []struct {
		trigger types.Trigger
		path    string
		target  string
		ok      bool
	}{
		{sync, "src/a.py", "/app/src/a.py", true},
		{sync, "src", "/app/src", true},
		{sync, "src/x/vendor", "/app/src/x/vendor", true},
		{sync, "src/vendor", "", false},
		{sync, "src/vendor/b/c.py", "", false},
		{sync, "src/x/y.tmp", "", false},
		{sync, "other/a.py", "", false},
		{sync, "src2/a.py", "", false},
		{sync, "src/../other", "", false},
		{sync, "src/.git/index", "", false},
		{sync, "src/.a.py.swp", "", false},
		{sync, "src/a.py~", "", false},
		{sync, "src/..a", "/app/src/..a", true},
		{some, "deep/a.py", "/app/deep/a.py", true},
		{some, "a.txt", "", false},
		{some, "static/a.css", "/app/static/a.css", true},
		{some, "secret/a.py", "", false},
		{file, "one.txt", "/etc/one.txt", true},
		{file, "two.txt", "", false},
		{whole, "a.log", "", false},
		{whole, "keep.log", "", true},
		{whole, "Dockerfile", "", true}, // ignored, and the build's all the same
		{whole, ".ww/build/x", "", false},
	} {
		rules := rulesOf(t, service(dir, tt.trigger))
		target, ok := rules[0].Match(filepath.Join(dir, tt.path))
		if target != tt.target || ok != tt.ok {
			t.Errorf("%s of %s: %q, %v, want %q, %v", tt.path, tt.trigger.Path, target, ok, tt.target, tt.ok)
		}
	}
}

// TestNoEscape: whatever path there is, it is mapped below the target or not at
// all.
func TestNoEscape(t *testing.T) {
	dir := folder(t)
	r := rulesOf(t, service(dir, types.Trigger{Path: dir + "/src", Action: "sync", Target: "/app"}))[0]
	rnd := rand.New(rand.NewPCG(1, 2))
	parts := []string{"..", ".", "a", "b..", "...", "src", "x y", "-rf"}
	for range 5000 {
		p := r.Path()
		for range rnd.IntN(8) {
			p += "/" + parts[rnd.IntN(len(parts))]
		}
		if target, ok := r.Match(p); ok && target != "/app" && !strings.HasPrefix(target, "/app/") || ok && strings.Contains("/"+target+"/", "/../") {
			t.Fatalf("%s: %s", p, target)
		}
	}
}

func TestBadTriggers(t *testing.T) {
	for _, tt := range []struct {
		trigger types.Trigger
		want    string
	}{
		{types.Trigger{Path: "/x", Action: "sync"}, "absolute path in the container"},
		{types.Trigger{Path: "/x", Action: "sync", Target: "app"}, "absolute path in the container"},
		{types.Trigger{Path: "/x", Action: "rebuild"}, "needs a build section"},
		{types.Trigger{Path: "/x", Action: "sync+exec", Target: "/x"}, "needs exec.command"},
		{types.Trigger{Path: "/x", Action: "reboot"}, "there is no action"},
		{types.Trigger{Action: "restart"}, "path is empty"},
		{types.Trigger{Path: "/x", Action: "restart", Ignore: []string{"[a"}}, "ignore"},
	} {
		s := service("/x", tt.trigger)
		s.Build = nil
		if _, _, err := Of(s); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "develop.watch[0]") {
			t.Errorf("%+v: %v, want %q", tt.trigger, err, tt.want)
		}
	}
	s := service("/x", types.Trigger{Path: "/x/src", Action: "sync", Target: "/y"})
	s.Volumes = []types.ServiceVolumeConfig{{Type: "bind", Source: "/x", Target: "/y"}}
	if rules, notes, err := Of(s); err != nil || len(rules) != 0 || len(notes) != 1 {
		t.Errorf("a mounted path: %v %v %v", rules, notes, err)
	}
}

func TestDecide(t *testing.T) {
	hook := types.ServiceHook{Command: types.ShellCommand{"reload"}}
	rules := []Rule{
		{Service: "web", Action: "sync", root: "/p/src", Target: "/app"},
		{Service: "web", Action: "sync+exec", root: "/p/conf", Target: "/conf", Exec: hook},
		{Service: "web", Action: "rebuild", root: "/p/go.mod"},
		{Service: "api", Action: "sync+restart", root: "/p/src", Target: "/api"},
		{Service: "job", Action: "restart", root: "/p/job"},
		{Service: "job", Action: "rebuild", root: "/p/job/Dockerfile"},
		{Action: Reload, root: "/p/main.ww"},
	}
	for _, tt := range []struct {
		name    string
		changes []Change
		want    string
	}{
		{"nothing", []Change{{Path: "/elsewhere"}}, ""},
		{"synced by two", []Change{{Path: "/p/src/a"}}, "api: +/api/a restart; web: +/app/a"},
		{"removed", []Change{{"/p/src/d", true}, {"/p/src/d/e", true}, {Path: "/p/src/a"}}, "api: -/api/d +/api/a restart; web: -/app/d +/app/a"},
		{"removed whole", []Change{{"/p/src", true}}, "api: -/api restart; web: -/app"},
		{"exec once", []Change{{Path: "/p/conf/a"}, {Path: "/p/conf/b"}}, "web: +/conf/a +/conf/b exec[reload]"},
		{"rebuild and sync", []Change{{Path: "/p/go.mod"}, {Path: "/p/src/a"}}, "api: +/api/a restart; web: rebuild +/app/a"},
		{"rebuild is a restart", []Change{{Path: "/p/job/Dockerfile"}}, "job: rebuild"},
		{"restart", []Change{{Path: "/p/job/x"}}, "job: restart"},
		{"the project", []Change{{Path: "/p/main.ww"}}, "reload /p/main.ww"},
	} {
		work, reload := Decide(rules, tt.changes)
		var all []string
		for _, w := range work {
			s := w.Service + ":"
			if w.Rebuild {
				s += " rebuild"
			}
			for _, f := range w.Files {
				sign := "+"
				if f.Removed {
					sign = "-"
				}
				s += " " + sign + f.Target
			}
			if w.Restart {
				s += " restart"
			}
			for _, x := range w.Exec {
				s += fmt.Sprintf(" exec%v", x.Command)
			}
			all = append(all, s)
		}
		for _, r := range reload {
			all = append(all, "reload "+r)
		}
		if got := strings.Join(all, "; "); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	root := []Rule{{Service: "web", Action: "sync", root: "/p", Target: "/"}}
	if work, _ := Decide(root, []Change{{"/p", true}}); len(work) != 1 || len(work[0].Files) != 0 {
		t.Errorf("the container's whole root would be removed: %v", work)
	}
}

// TestDebounce: on any sequence of changes, each is taken once; never before
// there was quiet, unless the first has waited as long as it may; and never
// later.
func TestDebounce(t *testing.T) {
	const quiet, most = 200 * time.Millisecond, 2 * time.Second
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		d := debounce{quiet: quiet, most: most}
		now := time.Unix(0, 0)
		var first, last time.Time
		waiting := map[string]bool{}
		taken := 0
		take := func(due time.Time) {
			if due.Before(last.Add(quiet)) && !due.Equal(first.Add(most)) {
				t.Fatalf("seed %d: taken %v after the last change, %v after the first", seed, due.Sub(last), due.Sub(first))
			}
			if due.After(first.Add(most)) || due.After(last.Add(quiet)) {
				t.Fatalf("seed %d: taken %v after the first change, %v after the last", seed, due.Sub(first), due.Sub(last))
			}
			got := d.take()
			if len(got) != len(waiting) || !slices.IsSorted(got) {
				t.Fatalf("seed %d: took %v, want %v", seed, got, waiting)
			}
			taken += len(got)
			clear(waiting)
			if _, ok := d.due(); ok {
				t.Fatalf("seed %d: something is due twice", seed)
			}
		}
		for range 100 {
			now = now.Add(time.Duration(rnd.IntN(int(3*quiet/2)/(1+rnd.IntN(10)) + 1)))
			if due, ok := d.due(); ok && !due.After(now) {
				take(due)
			}
			p := fmt.Sprint(rnd.IntN(10))
			if len(waiting) == 0 {
				first = now
			}
			last, waiting[p] = now, true
			d.add(now, p)
		}
		if due, ok := d.due(); ok {
			take(due)
		}
		if len(waiting) > 0 || taken == 0 {
			t.Fatalf("seed %d: left %v", seed, waiting)
		}
	}
}

func TestArchive(t *testing.T) {
	dir := folder(t)
	write(t, dir+"/src/a", "content of a")
	write(t, dir+"/src/sub/b", "b")
	write(t, dir+"/src/skip/c", "c")
	check(t, os.MkdirAll(dir+"/src/empty", 0o755))
	check(t, os.Symlink("../outside", dir+"/src/link"))
	r := rulesOf(t, service(dir, types.Trigger{Path: dir + "/src", Action: "sync", Target: "/app", Ignore: []string{"skip"}}))[0]
	files, err := r.Files()
	check(t, err)
	files = append(files, File{Host: dir + "/gone", Target: "/app/gone"}, File{Target: "/app/old", Removed: true})
	for _, tt := range []struct {
		folders bool
		want    string
	}{
		{true, "app/a=content of a app/empty/ app/link->../outside app/sub/ app/sub/b=b"},
		{false, "app/a=content of a app/empty/ app/link->../outside app/sub/b=b"},
	} {
		var b bytes.Buffer
		n, err := Archive(&b, files, tt.folders)
		check(t, err)
		var got []string
		for r := tar.NewReader(&b); ; {
			h, err := r.Next()
			if err == io.EOF {
				break
			}
			check(t, err)
			data, err := io.ReadAll(r)
			check(t, err)
			s := h.Name
			if h.Linkname != "" {
				s += "->" + h.Linkname
			}
			if len(data) > 0 {
				s += "=" + string(data)
			}
			got = append(got, s)
		}
		if strings.Join(got, " ") != tt.want || n != len(got) {
			t.Errorf("%d: %s, want %s", n, strings.Join(got, " "), tt.want)
		}
	}
}
