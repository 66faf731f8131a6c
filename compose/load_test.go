package compose

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func imageIn(t *testing.T, l *Loaded, service string) string {
	t.Helper()
	s, ok := l.Project.Services[service]
	if !ok {
		t.Fatalf("there is no service %q: %v", service, l.Project.ServiceNames())
	}
	return s.Image
}

func TestVariables(t *testing.T) {
	dir := folder(t, map[string]string{
		".env": "A=dotenv\nB=dotenv\n", "other.env": "A=other\n", "third.env": "A=third\nB=third\n",
		"x.yml": "services: {s: {image: \"i:${A:-none}-${B:-none}\"}}\n",
	})
	for name, tt := range map[string]struct {
		env   map[string]string
		files []string
		want  string
	}{
		".env":                    {want: "i:dotenv-dotenv"},
		"environment before .env": {env: map[string]string{"A": "env"}, want: "i:env-dotenv"},
		"--env-file":              {files: []string{"other.env"}, want: "i:other-none"},
		"two of them":             {files: []string{"third.env", "other.env"}, want: "i:other-third"},
		"COMPOSE_ENV_FILES":       {env: map[string]string{"COMPOSE_ENV_FILES": dir + "/third.env," + dir + "/other.env"}, want: "i:other-third"},
		"--env-file before it":    {env: map[string]string{"COMPOSE_ENV_FILES": dir + "/third.env"}, files: []string{"other.env"}, want: "i:other-none"},
	} {
		t.Run(name, func(t *testing.T) {
			clearEnvironment(t, tt.env)
			for i, f := range tt.files {
				tt.files[i] = filepath.Join(dir, f)
			}
			l := mustLoad(t, Request{Files: []string{dir + "/x.yml"}, EnvFiles: tt.files})
			if got := imageIn(t, l, "s"); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
	clearEnvironment(t, nil)
	if _, err := Load(t.Context(), Request{Files: []string{dir + "/x.yml"}, EnvFiles: []string{dir + "/none.env"}}); err == nil {
		t.Error("a missing --env-file is no error")
	}
	l := mustLoad(t, Request{Files: []string{dir + "/x.yml"}, EnvFiles: []string{filepath.Join(dir, "other.env")}})
	if len(l.Unset) > 0 {
		t.Errorf("unset, though each has a default: %v", l.Unset)
	}
}

func TestWhichFiles(t *testing.T) {
	files := map[string]string{
		"main.ww": "fromww = output console {}\n", "compose.yaml": "services: {fromyaml: {image: i}}\n",
		"a.yml": "services: {a: {image: i}, both: {image: a}}\n", "b.yml": "services: {b: {image: i}, both: {image: b}}\n",
		"sub/deep/.keep": "", "yaml/compose.yaml": "services: {inner: {image: i}}\n", "yaml/compose.override.yaml": "services: {over: {image: i}}\n",
		"yaml/deep/.keep": "", "env/.env": "COMPOSE_FILE=one.yml\n", "env/one.yml": "services: {one: {image: i}}\n", "env/main.ww": "not = output console {}\n",
	}
	for name, tt := range map[string]struct {
		env  map[string]string
		cwd  string
		req  Request
		want string // services
	}{
		"main.ww before compose.yaml":    {want: "fromww message-bus"},
		"in a folder above":              {cwd: "sub/deep", want: "fromww message-bus"},
		"a nearer compose file":          {cwd: "yaml", want: "inner over"},
		"a nearer compose file above":    {cwd: "yaml/deep", want: "inner over"},
		"from another project folder":    {cwd: "yaml", req: Request{Dir: "../sub"}, want: "fromww message-bus"},
		"COMPOSE_FILE":                   {env: map[string]string{"COMPOSE_FILE": "a.yml:b.yml"}, want: "a b both"},
		"COMPOSE_FILE with a .ww file":   {env: map[string]string{"COMPOSE_FILE": "main.ww:b.yml"}, want: "b both fromww message-bus"},
		"COMPOSE_PATH_SEPARATOR":         {env: map[string]string{"COMPOSE_FILE": "a.yml;b.yml", "COMPOSE_PATH_SEPARATOR": ";"}, want: "a b both"},
		"COMPOSE_FILE from .env":         {cwd: "env", want: "one"},
		"named files before environment": {env: map[string]string{"COMPOSE_FILE": "a.yml"}, req: Request{Files: []string{"b.yml"}}, want: "b both"},
		"standard input":                 {req: Request{Files: []string{"-"}, Stdin: strings.NewReader("services: {in: {image: i}}\n")}, want: "in"},
		"standard input among others": {req: Request{Files: []string{"main.ww", "-"}, Stdin: strings.NewReader("services: {in: {image: i}}\n")},
			want: "fromww in message-bus"},
	} {
		t.Run(name, func(t *testing.T) {
			clearEnvironment(t, tt.env)
			dir := folder(t, files)
			t.Chdir(filepath.Join(dir, tt.cwd))
			tt.req.Binary = fakeBinary(t)
			l := mustLoad(t, tt.req)
			if got := strings.Join(l.Project.ServiceNames(), " "); got != tt.want {
				t.Errorf("services %q, want %q", got, tt.want)
			}
		})
	}
}

func TestLaterFilesWin(t *testing.T) {
	clearEnvironment(t, nil)
	dir := folder(t, map[string]string{
		"main.ww": small, "over.yml": "services: {out: {image: \"mine:1\", restart: \"no\"}}\n",
	})
	l := mustLoad(t, Request{Files: []string{dir + "/main.ww", dir + "/over.yml"}, Binary: fakeBinary(t)})
	if s := l.Project.Services["out"]; s.Image != "mine:1" || s.Restart != "no" || len(s.Secrets) != 1 {
		t.Errorf("%+v", s)
	}
	l = mustLoad(t, Request{Files: []string{dir + "/over.yml", dir + "/main.ww"}, Binary: fakeBinary(t)})
	if s := l.Project.Services["out"]; s.Restart != "unless-stopped" {
		t.Errorf("%+v", s)
	}
}

func TestSeveralWWFilesAreOneSystem(t *testing.T) {
	clearEnvironment(t, nil)
	dir := folder(t, map[string]string{"a.ww": "in = input api { to: out }\n", "b.ww": "out = output console {}\n"})
	l := mustLoad(t, Request{Files: []string{dir + "/a.ww", dir + "/b.ww"}, Binary: fakeBinary(t)})
	if len(l.Project.Services) != 3 || !strings.Contains(mustExport(t, l, ExportOptions{}), "# Generated by ww from a.ww, b.ww, sha256:") {
		t.Errorf("%v", l.Project.ServiceNames())
	}
}

func TestProjectName(t *testing.T) {
	files := map[string]string{
		"My.Project/main.ww": small, "My.Project/named.yml": "name: given\nservices: {a: {image: i}}\n", "My.Project/plain.yml": "services: {a: {image: i}}\n",
		"...../main.ww": small,
	}
	for name, tt := range map[string]struct {
		env  map[string]string
		req  Request
		want string
	}{
		"of the folder":            {req: Request{Files: []string{"My.Project/main.ww"}}, want: "myproject"},
		"of a folder without any":  {req: Request{Files: []string{"...../main.ww"}}, want: "ww"},
		"of a compose file":        {req: Request{Files: []string{"My.Project/named.yml"}}, want: "given"},
		"of its folder":            {req: Request{Files: []string{"My.Project/plain.yml"}}, want: "myproject"},
		"of --project-directory":   {req: Request{Files: []string{"My.Project/main.ww"}, Dir: "other"}, want: "other"},
		"-p":                       {req: Request{Files: []string{"My.Project/main.ww"}, Name: "asked"}, want: "asked"},
		"-p before the file":       {req: Request{Files: []string{"My.Project/named.yml"}, Name: "asked"}, want: "asked"},
		"-p before the variable":   {env: map[string]string{"COMPOSE_PROJECT_NAME": "v"}, req: Request{Files: []string{"My.Project/main.ww"}, Name: "asked"}, want: "asked"},
		"the variable":             {env: map[string]string{"COMPOSE_PROJECT_NAME": "v"}, req: Request{Files: []string{"My.Project/named.yml"}}, want: "v"},
		"a bad one":                {req: Request{Files: []string{"My.Project/main.ww"}, Name: "Bad.Name"}, want: ""},
		"a bad one in a variable":  {env: map[string]string{"COMPOSE_PROJECT_NAME": "Bad"}, req: Request{Files: []string{"My.Project/plain.yml"}}, want: ""},
		"of main.ww and a compose": {req: Request{Files: []string{"My.Project/main.ww", "My.Project/plain.yml"}}, want: "myproject"},
	} {
		t.Run(name, func(t *testing.T) {
			clearEnvironment(t, tt.env)
			dir := folder(t, files)
			t.Chdir(dir)
			tt.req.Binary = fakeBinary(t)
			l, err := Load(t.Context(), tt.req)
			if tt.want == "" {
				if err == nil {
					t.Errorf("no error, and the name %q", l.Project.Name)
				}
				return
			}
			if err != nil || l.Project.Name != tt.want {
				t.Fatalf("name %v, %v, want %q", l.Project, err, tt.want)
			}
			if n, err := Name(t.Context(), tt.req); n != tt.want || err != nil {
				t.Errorf("Name gives %q, %v, want %q", n, err, tt.want)
			}
			if s, ok := l.Project.Services["out"]; ok && *s.Environment["WW_PROJECT"] != tt.want {
				t.Errorf("the component is told %q", *s.Environment["WW_PROJECT"])
			}
		})
	}
}

// TestNameOfBrokenFiles: what may say the name has to be readable, as with
// docker compose.
func TestNameOfBrokenFiles(t *testing.T) {
	dir := folder(t, map[string]string{
		"x/main.ww": "a = = {", "y/compose.yaml": "services: [", "z/compose.yaml": "services: {a: {image: i, env_file: none}}",
	})
	for _, tt := range []struct {
		sub, variable string
		req           Request
		want          string // a name, or part of an error
	}{
		{"x", "", Request{}, "x"},
		{"x", "", Request{Files: []string{"none.ww"}}, "none.ww: no such file"},
		{"y", "", Request{}, "compose.yaml:1:"},
		{"y", "", Request{Name: "n"}, "n"},
		{"y", "n", Request{}, "n"},
		{"y", "", Request{Name: "n", Files: []string{"compose.yaml"}}, "compose.yaml:1:"},
		{"y", "", Request{Name: "n", Files: []string{"none.yaml"}}, "none.yaml: no such file"},
		{"y", "n", Request{Files: []string{"none.yaml"}}, "n"},
		{"z", "", Request{}, "z"},
		{"", "", Request{}, ErrNoFile.Error()},
	} {
		clearEnvironment(t, map[string]string{"COMPOSE_PROJECT_NAME": tt.variable})
		t.Chdir(filepath.Join(dir, tt.sub))
		n, err := Name(t.Context(), tt.req)
		if err != nil {
			n = err.Error()
		}
		if !strings.Contains(n, tt.want) || err == nil && n != tt.want {
			t.Errorf("%+v: %q, want %q", tt, n, tt.want)
		}
	}
}

func TestProjectDirectory(t *testing.T) {
	clearEnvironment(t, nil)
	dir := folder(t, map[string]string{
		"a/main.ww": "e = core exec { image: \"busybox:stable\"  source: \"src\"  command: [\"cat\"] }\n",
		"b/src/x":   "in b", "b/.env": "X=1\n",
	})
	l := mustLoad(t, Request{Files: []string{dir + "/a/main.ww"}, Dir: dir + "/b", Binary: fakeBinary(t)})
	if l.Dir != dir+"/b" || l.Project.WorkingDir != dir+"/b" || l.Project.Environment["X"] != "1" {
		t.Errorf("%s, %s", l.Dir, l.Project.WorkingDir)
	}
	if got := l.Project.Services["e"].Build.Context; got != dir+"/b/.ww/build/e" {
		t.Errorf("context %s", got)
	}
}

func TestProfiles(t *testing.T) {
	dir := folder(t, map[string]string{"x.yml": "services: {a: {image: i}, b: {image: i, profiles: [p]}, c: {image: i, profiles: [q]}}\n"})
	for _, tt := range []struct {
		variable string
		asked    []string
		want     string
	}{
		{"", nil, "a"}, {"", []string{"p"}, "a b"}, {"p, q", nil, "a b c"}, {"q", []string{"p"}, "a b"}, {"*", nil, "a b c"},
	} {
		clearEnvironment(t, map[string]string{"COMPOSE_PROFILES": tt.variable})
		l := mustLoad(t, Request{Files: []string{dir + "/x.yml"}, Profiles: tt.asked})
		if got := strings.Join(l.Project.ServiceNames(), " "); got != tt.want {
			t.Errorf("%q, %v: %q, want %q", tt.variable, tt.asked, got, tt.want)
		}
	}
}

func TestNoFile(t *testing.T) {
	clearEnvironment(t, nil)
	dir := t.TempDir()
	t.Chdir(dir)
	if _, err := Load(t.Context(), Request{}); !errors.Is(err, ErrNoFile) {
		t.Errorf("error %v", err)
	}
	if _, err := FindMain(""); !errors.Is(err, ErrNoFile) {
		t.Errorf("error %v", err)
	}
	if err := os.Mkdir("main.ww", 0o755); err != nil { // a folder is no file
		t.Fatal(err)
	}
	if _, err := Load(t.Context(), Request{}); !errors.Is(err, ErrNoFile) {
		t.Errorf("error %v", err)
	}
	for _, tt := range []struct {
		req  Request
		want string
	}{
		{Request{Files: []string{"none.ww"}}, "none.ww: no such file"},
		{Request{Files: []string{"none.yml"}}, "none.yml: no such file"},
		{Request{Files: []string{"-"}}, "standard input: there is none"},
		{Request{Files: []string{"-"}, Stdin: strings.NewReader("services: [")}, "not-yaml"},
	} {
		if got := loadMistakes(t, tt.req); !strings.Contains(got, tt.want) || strings.Contains(strings.TrimSpace(got), "\n") {
			t.Errorf("%v: %s, want %q", tt.req.Files, got, tt.want)
		}
	}
}

func TestFindMain(t *testing.T) {
	dir := folder(t, map[string]string{"main.ww": small, "a/b/.keep": ""})
	t.Chdir(filepath.Join(dir, "a", "b"))
	if name, err := FindMain(""); err != nil || filepath.Clean(name) != filepath.Join(dir, "main.ww") {
		t.Errorf("%s, %v", name, err)
	}
	if name, err := FindMain(dir); err != nil || filepath.Base(name) != "main.ww" {
		t.Errorf("%s, %v", name, err)
	}
	t.Chdir(dir)
	if name, err := FindMain(""); name != "main.ww" || err != nil {
		t.Errorf("%s, %v", name, err)
	}
}

// TestUnset: a variable that has something in its place isn't missing.
func TestUnset(t *testing.T) {
	clearEnvironment(t, nil)
	dir := folder(t, map[string]string{"x.yml": "services:\n  s:\n    image: i:${A:-a}${B-b}${C:+c}${D:-d}\n    command: [$D, \"${E}\", \"$$F\", \"${G:-}${GG}\"]\n"})
	if l := mustLoad(t, Request{Files: []string{dir + "/x.yml"}}); !slices.Equal(l.Unset, []string{"D", "E", "GG"}) {
		t.Errorf("unset: %v", l.Unset)
	}
}

// TestVariablesBecomeWhatTheirKeysTake: in the file itself, in one that it takes
// in, and in one that a service extends.
func TestVariablesBecomeWhatTheirKeysTake(t *testing.T) {
	t.Setenv("YES", "true")
	t.Setenv("FOUR", "4")
	const service = "{ image: i, \"read_only\": \"${YES}\", ulimits: { nofile: \"${FOUR}\" }, deploy: { replicas: \"${FOUR}\" }, \"sysctls\": { a: \"1\" } }\n"
	for name, files := range map[string]map[string]string{
		"file":    {"compose.yaml": "services:\n  a: " + service},
		"include": {"compose.yaml": "include: [other.yaml]\n", "other.yaml": "services:\n  a: " + service},
		"extends": {"compose.yaml": "services:\n  a: { extends: { file: other.yaml, service: b } }\n", "other.yaml": "services:\n  b: " + service},
		"escaped": {"compose.yaml": "services:\n  a: " + strings.Replace(service, "read_only", `read\x5fonly`, 1)},
		"two":     {"compose.yaml": "services:\n  a: { image: i }\n", "compose.override.yaml": "services:\n  a: " + service},
	} {
		t.Run(name, func(t *testing.T) {
			a := mustLoad(t, Request{Dir: folder(t, files)}).Project.Services["a"]
			if !a.ReadOnly || a.Ulimits["nofile"] == nil || a.Ulimits["nofile"].Single != 4 || a.GetScale() != 4 {
				t.Errorf("read_only %v, nofile %v, scale %d", a.ReadOnly, a.Ulimits["nofile"], a.GetScale())
			}
		})
	}
}
