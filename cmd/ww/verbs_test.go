package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/dockerx"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

func TestPrint(t *testing.T) {
	l := listing{columns: []column{{"NAME", "Name"}, {"LONG TITLE", "State"}}, rows: []map[string]any{
		{"Name": "a", "State": "up", "More": []string{"x", "y"}}, {"Name": "long-name-b", "State": "do\x1bwn", "More": []string{}},
	}}
	array := l
	array.array = true
	for _, tt := range []struct {
		l            listing
		format, want string
	}{
		{l, "table", "NAME          LONG TITLE\na             up\nlong-name-b   do\\x1bwn\n"},
		{l, "json", `{"More":["x","y"],"Name":"a","State":"up"}` + "\n" + `{"More":[],"Name":"long-name-b","State":"do\u001bwn"}` + "\n"},
		{array, "json", `[{"More":["x","y"],"Name":"a","State":"up"},{"More":[],"Name":"long-name-b","State":"do\u001bwn"}]` + "\n"},
		{listing{array: true}, "json", "[]\n"},
		{listing{}, "json", ""},
		{l, `{{.Name}}\t{{join .More "+"}}`, "a\tx+y\nlong-name-b\t\n"},
		{l, `table {{.State}}\t{{.Name | upper | truncate 3}}`, ""},
		{l, `table {{.More | json}}\t{{.Name}}`, "\"MORE\"      NAME\n[\"x\",\"y\"]   a\n[]          long-name-b\n"},
		{l, "{{.Nme}}", ""},
		{l, "{{", ""},
		{l, "yaml", ""},
	} {
		var out bytes.Buffer
		err := (&tool{out: &out, err: &out}).print(tt.format, tt.l)
		if out.String() != tt.want || (err != nil) != (tt.want == "" && tt.format != "json") {
			t.Errorf("%q: %v\n%s\nwant\n%s", tt.format, err, out.String(), tt.want)
		}
	}
}

func TestContainerRow(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	row := containerRow(plan.Container{
		ID: strings.Repeat("0123456789", 6), Name: "p-a-1", Service: "a", State: plan.Exited, ExitCode: 3, Status: "Exited (3)",
		Command: "sleep a very long time indeed", Created: now.Add(-3 * time.Hour), Networks: []string{"p_z", "p_a"},
		Labels: map[string]string{deploy.LabelProject: "p", deploy.LabelKind: "core", deploy.LabelType: "exec"},
		Ports:  []plan.Port{{HostIP: "::", Host: 80, Target: 8080, Protocol: "tcp"}, {Target: 9, Protocol: "udp"}},
		Mounts: []plan.Mount{{Volume: "p_data"}, {Source: "/etc"}},
	}, now, false)
	for field, want := range map[string]any{
		"ID": "012345678901", "Project": "p", "Command": `"sleep a very long t…"`, "RunningFor": "3 hours ago", "Kind": "core exec",
		"Ports": "[::]:80->8080/tcp, 9/udp", "Mounts": "p_data,/etc", "LocalVolumes": "1", "Networks": "p_a,p_z", "State": "exited", "ExitCode": 3,
		"Engine": "", "Size": "0B",
	} {
		if row[field] != want {
			t.Errorf("%s: %v, want %v", field, row[field], want)
		}
	}
}

func TestOneOffService(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "vars")
	if err := os.WriteFile(file, []byte("F=file\nA=file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	base := func() types.ServiceConfig {
		return types.ServiceConfig{
			Name: "web", ContainerName: "fixed", Restart: "always", Command: types.ShellCommand{"serve"}, CapDrop: []string{"ALL", "CHOWN"},
			Ports:       []types.ServicePortConfig{{Target: 80, Published: "80"}},
			Environment: types.NewMappingWithEquals([]string{"A=own", "B=own"}),
			Volumes:     []types.ServiceVolumeConfig{{Type: "volume", Source: "data", Target: "/data"}},
		}
	}
	got, err := oneOffService(base(), types.Mapping{"FROM": "project"}, changes{
		Command: []string{"x", "-y"}, Env: []string{"A=1,2", "FROM", "NOWHERE_AT_ALL"}, EnvFiles: []string{file}, Labels: []string{"k=v=w"},
		CapAdd: []string{"CHOWN"}, Publish: []string{"127.0.0.1:81:8081"}, Volumes: []string{"/host:/data:ro"}, User: "me", Dir: "/tmp", TTY: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for k, v := range got.Environment {
		env[k] = *v
	}
	for what, pair := range map[string][2]any{
		"name":    {got.ContainerName + got.Restart, ""},
		"command": {[]string(got.Command), []string{"x", "-y"}},
		"env":     {env, map[string]string{"A": "1,2", "B": "own", "F": "file", "FROM": "project"}},
		"labels":  {got.Labels["k"], "v=w"},
		"caps":    {fmt.Sprint(got.CapAdd, got.CapDrop), "[CHOWN] [ALL]"},
		"ports":   {fmt.Sprintln(len(got.Ports), got.Ports[0].HostIP, got.Ports[0].Published, got.Ports[0].Target), "1 127.0.0.1 81 8081\n"},
		"volumes": {fmt.Sprintln(len(got.Volumes), got.Volumes[0].Source, got.Volumes[0].ReadOnly), "1 /host true\n"},
		"other":   {got.User + got.WorkingDir + fmt.Sprint(got.Tty, got.StdinOpen), "me/tmptrue false"},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s: %v, want %v", what, pair[0], pair[1])
		}
	}
	got, err = oneOffService(base(), nil, changes{OwnEntrypoint: true, Entrypoint: `sh -c "a b"`, ServicePorts: true})
	if err != nil || fmt.Sprintf("%q %q %d", got.Entrypoint, got.Command, len(got.Ports)) != `["sh" "-c" "a b"] [] 1` {
		t.Errorf("%q %q %v", got.Entrypoint, got.Command, err)
	}
	for _, c := range []changes{
		{Publish: []string{"x:y:z:1"}}, {Volumes: []string{""}}, {Labels: []string{"com.docker.compose.project=other"}},
		{OwnEntrypoint: true, Entrypoint: `sh "`}, {EnvFiles: []string{filepath.Join(dir, "none")}},
	} {
		if _, err := oneOffService(base(), nil, c); err == nil {
			t.Errorf("%+v: no error", c)
		}
	}
}

func TestSplitReference(t *testing.T) {
	for _, tt := range []struct {
		ref  string
		tags []string
		want string
	}{
		{"busybox:stable", []string{"busybox:stable"}, "busybox stable"},
		{"busybox", []string{"busybox:latest"}, "busybox latest"},
		{"host:5000/a/b", []string{"host:5000/a/b:latest"}, "host:5000/a/b latest"},
		{"sha256:abc", []string{"a:1"}, "a 1"},
		{"sha256:abc", nil, "<none> <none>"},
		{"moved:1", []string{"moved:old"}, "moved old"},
	} {
		if r, tag := splitReference(tt.ref, tt.tags); r+" "+tag != tt.want {
			t.Errorf("%s %v: %s %s", tt.ref, tt.tags, r, tag)
		}
	}
}

func TestListings(t *testing.T) {
	c := func(project string, state plan.State, files string) plan.Container {
		return plan.Container{State: state, Labels: map[string]string{deploy.LabelProject: project, deploy.LabelFiles: files}}
	}
	l := projectListing([]plan.Container{
		c("b", plan.Running, "/b/x.yaml,/b/y.yaml"), c("b", plan.Exited, "/b/x.yaml"), c("b", plan.Running, ""), c("a-web", plan.Running, "/a"),
	}, nil)
	if got := fmt.Sprint(l.rows); got != "[map[ConfigFiles:/a Name:a-web Status:running(1)] map[ConfigFiles:/b/x.yaml,/b/y.yaml Name:b Status:exited(1), running(2)]]" {
		t.Error(got)
	}
	if got := projectListing([]plan.Container{c("b", plan.Running, ""), c("a-web", plan.Running, "")}, []string{"a-*"}); len(got.rows) != 1 {
		t.Error(got.rows)
	}
	cs := []plan.Container{{ID: "1", Service: "a", Number: 1}, {ID: "2", Service: "b", Number: 2}}
	titles, rows := processes(cs, map[string]dockerx.Processes{
		"1": {Titles: []string{"PID", "CMD"}, Rows: [][]string{{"7", "sh -c x"}}}, "2": {Titles: []string{"CMD", "USER"}, Rows: [][]string{{"y", "me"}}},
	})
	want := "SERVICE  #   PID  CMD      USER\na        1   7    sh -c x  -\nb        2   -    y        me\n"
	if got := string(processTable(titles, rows)); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	row := usageRow(plan.Container{ID: "0123456789abcdef", Name: "a"}, &dockerx.Usage{CPU: 12.5, Memory: 3 << 20, MemoryLimit: 12 << 20, NetIn: 1500, PIDs: 4}, false)
	if got := fmt.Sprint(row["ID"], row["CPUPerc"], row["MemUsage"], row["MemPerc"], row["NetIO"], row["PIDs"]); got != "0123456789ab12.50%3MiB / 12MiB25.00%1.5kB / 0B4" {
		t.Error(got)
	}
}

// TestBoard: rows come and go with their containers.
func TestBoard(t *testing.T) {
	for _, all := range []bool{false, true} {
		b := &board{all: all, rows: map[string]*boardRow{}}
		b.add(plan.Container{ID: "1", Name: "a", State: plan.Running})
		b.add(plan.Container{ID: "2", Name: "b", State: plan.Exited})
		b.set("1", dockerx.Usage{PIDs: 3})
		b.set("9", dockerx.Usage{PIDs: 3})
		if n := len(b.listing().rows); n != map[bool]int{false: 1, true: 2}[all] || b.listing().rows[0]["PIDs"] != "3" {
			t.Errorf("all %v: %v", all, b.listing().rows)
		}
		b.drop("1", false)
		if n := len(b.listing().rows); n != map[bool]int{false: 0, true: 2}[all] {
			t.Errorf("all %v, one has ended: %v", all, b.listing().rows)
		}
		b.drop("1", true)
		b.drop("2", true)
		if n := len(b.listing().rows); n != 0 {
			t.Errorf("all %v, none is there: %v", all, b.listing().rows)
		}
	}
}

func TestEventText(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.Local)
	got := eventText(dockerx.Happening{Time: at, Action: "exec_create: sh\n-c", Container: "id", Attributes: map[string]string{"name": "p-a-1", "image": "x"}})
	if want := "2026-01-02 03:04:05.000006 container exec_create: sh -c id (image=x, name=p-a-1)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
