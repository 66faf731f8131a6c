package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	parityDir = "testdata/parity"
	// outside is the name of a network and a volume that are there already.
	outside = "wwtest-parity-outside"
)

// TestParity brings compose files up with ww and with docker compose in turn:
// hashes are the same, neither recreates what the other made, each takes down
// what the other brought up, and the engine tells the same of what both made but
// for what testdata/parity/differences.txt gives a reason for. It runs where
// COMPOSE names a docker-compose.
func TestParity(t *testing.T) {
	theirs := os.Getenv("COMPOSE")
	if theirs == "" {
		t.Skip("COMPOSE=path/to/docker-compose names the tool to compare with")
	}
	needEngine(t)
	docker(t, "network", "create", outside)
	docker(t, "volume", "create", outside)
	t.Cleanup(func() {
		_ = exec.Command("docker", "network", "rm", outside).Run()
		_ = exec.Command("docker", "volume", "rm", outside).Run()
	})
	files, err := filepath.Glob(parityDir + "/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("files: %v, %v", files, err)
	}
	known := readDifferences(t)
	ran := 0
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yml"), func(t *testing.T) {
			ran++
			parity(t, theirs, filepath.Base(file), known)
		})
	}
	for _, d := range known {
		if !d.seen && !t.Failed() && ran == len(files) {
			t.Errorf("differences.txt: nothing differs in %s any more", d.pattern)
		}
	}
}

func parity(t *testing.T, theirs, file string, known []*difference) {
	s := newSystem(t, "parity-"+strings.TrimSuffix(file, ".yml"), nil)
	if err := os.CopyFS(s.dir, os.DirFS(parityDir)); err != nil {
		t.Fatal(err)
	}
	s.env = append(s.env, "TOKEN=value-of-token", "COMPOSE_FILE="+file, "DOCKER_CONFIG="+s.dir)
	run := func(args ...string) string {
		t.Helper()
		c := exec.Command(theirs, args...)
		c.Dir, c.Env = s.dir, s.env
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("docker compose %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	ours := func(args ...string) string { t.Helper(); return s.ww(append([]string{"compose"}, args...)...) }
	ids := func() string {
		return docker(t, "ps", "-aq", "--no-trunc", "--filter", "label=com.docker.compose.project="+s.name)
	}
	if a, b := ours("export", "--hash", "*"), run("config", "--hash", "*"); a != b {
		t.Errorf("hashes: ours\n%stheirs\n%s", a, b)
	}
	var made [2]map[string]string
	for i, tools := range [][2]func(...string) string{{ours, run}, {run, ours}} {
		first, second := tools[0], tools[1]
		first("up", "-d")
		made[i] = observedBy(t, s)
		before := ids()
		out := second("up", "-d")
		if after := ids(); after != before {
			t.Errorf("tool %d's containers were recreated by the other:\n%s", i+1, out)
		}
		for _, name := range []string{"ps", "logs"} {
			if out := second(name); name == "ps" && !strings.Contains(out, s.name) {
				t.Errorf("tool %d's containers aren't seen by the other:\n%s", i+1, out)
			}
		}
		second("down", "-v")
		if left := leftovers(t, s.name); left != "" {
			t.Fatalf("the other tool's down left %s", left)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(union(made[0], made[1]))) {
		if made[0][key] == made[1][key] {
			continue
		}
		if !slices.ContainsFunc(known, func(d *difference) bool { return d.explains(key) }) {
			t.Errorf("%s: ours %s, theirs %s", key, made[0][key], made[1][key])
		}
	}
}

func union(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// difference is a line of differences.txt: a pattern of fields, and why they
// differ.
type difference struct {
	pattern string
	fields  *regexp.Regexp
	seen    bool
}

func (d *difference) explains(field string) bool {
	is := d.fields.MatchString(field)
	d.seen = d.seen || is
	return is
}

func readDifferences(t *testing.T) []*difference {
	f, err := os.Open(parityDir + "/differences.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []*difference
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		pattern, reason, ok := strings.Cut(line, " ")
		if !ok || reason == "" {
			t.Fatalf("differences.txt: %q has no reason", line)
		}
		quoted := strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, `.*`)
		all = append(all, &difference{pattern: pattern, fields: regexp.MustCompile("^" + quoted + "$")})
	}
	return all
}

var (
	anonymous = regexp.MustCompile(`[0-9a-f]{64}`)
	assigned  = regexp.MustCompile(`"(172|192)\.[0-9.]+(/[0-9]+)?"`)
)

// observedBy is what the engine tells of a project, field by field, without what
// is another one each time: ids, times, assigned addresses.
func observedBy(t *testing.T, s *system) map[string]string {
	t.Helper()
	label := "label=com.docker.compose.project=" + s.name
	fields := map[string]string{}
	ids := strings.Fields(docker(t, "ps", "-aq", "--no-trunc", "--filter", label))
	names := strings.Fields(docker(t, append([]string{"inspect", "--format", "{{.Name}}"}, ids...)...))
	var replace []string
	for i, id := range ids {
		replace = append(replace, id, names[i], id[:12], names[i])
	}
	known := strings.NewReplacer(replace...)
	inspect := func(kind string, ids []string, keep func(map[string]any) map[string]any) {
		if len(ids) == 0 {
			return
		}
		var list []map[string]any
		if err := json.Unmarshal([]byte(docker(t, append([]string{kind, "inspect"}, ids...)...)), &list); err != nil {
			t.Fatal(err)
		}
		for _, v := range list {
			name, _ := v["Name"].(string)
			flatten(fields, kind+"."+strings.TrimPrefix(name, "/"), keep(v), func(text string) string {
				text = assigned.ReplaceAllString(known.Replace(text), `"assigned"`)
				return anonymous.ReplaceAllString(text, "some-id")
			})
		}
	}
	inspect("container", ids, containerFields)
	network := func(v map[string]any) map[string]any {
		for _, k := range []string{"Id", "Created", "Containers"} {
			delete(v, k)
		}
		return v
	}
	inspect("network", strings.Fields(docker(t, "network", "ls", "-q", "--filter", label)), network)
	volume := func(v map[string]any) map[string]any { delete(v, "CreatedAt"); return v }
	inspect("volume", strings.Fields(docker(t, "volume", "ls", "-q", "--filter", label, "--filter", "dangling=false")), volume)
	return fields
}

// containerFields are those that say how a container was made.
func containerFields(v map[string]any) map[string]any {
	state, _ := v["State"].(map[string]any)
	settings, _ := v["NetworkSettings"].(map[string]any)
	networks, _ := settings["Networks"].(map[string]any)
	for name, n := range networks {
		ep, _ := n.(map[string]any)
		out := map[string]any{}
		for _, k := range []string{"Aliases", "IPAMConfig", "Links", "DriverOpts"} {
			out[k] = ep[k]
		}
		networks[name] = out
	}
	config, _ := v["Config"].(map[string]any)
	if host, ok := v["HostConfig"].(map[string]any); ok {
		delete(host, "ContainerIDFile")
	}
	return map[string]any{
		"Config": config, "HostConfig": v["HostConfig"], "Mounts": v["Mounts"], "Networks": networks, "Ports": portsOf(settings),
		"Status": state["Status"], "Path": v["Path"], "Args": v["Args"], "Image": v["Image"],
	}
}

// portsOf are the ports, without those of the host that the engine chose.
func portsOf(settings map[string]any) []any {
	ports, _ := settings["Ports"].(map[string]any)
	var names []any
	for p, bound := range ports {
		b, _ := bound.([]any)
		names = append(names, fmt.Sprintf("%s bound %d times", p, len(b)))
	}
	return names
}

// flatten gives the leaves of a value by their path. Lists are in no order, and
// what is empty isn't there.
func flatten(into map[string]string, at string, v any, plain func(string) string) {
	switch v := v.(type) {
	case nil:
	case map[string]any:
		for k, e := range v {
			flatten(into, at+"."+plain(k), e, plain)
		}
	case []any:
		var items []string
		for _, e := range v {
			data, _ := json.Marshal(e) // it was JSON
			items = append(items, plain(string(data)))
		}
		slices.Sort(items)
		if len(items) > 0 {
			into[at] = strings.Join(items, ", ")
		}
	case string:
		if strings.HasSuffix(at, ".com.docker.compose.depends_on") { // docker compose's is in no order
			deps := strings.Split(v, ",")
			slices.Sort(deps)
			v = strings.Join(deps, ",")
		}
		into[at] = plain(fmt.Sprintf("%q", v))
	default:
		data, _ := json.Marshal(v)
		into[at] = plain(string(data))
	}
}
