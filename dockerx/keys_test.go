package dockerx

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
	"gopkg.in/yaml.v3"

	"woodwork.dev/ww/compose"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

// keySample is one entry of testdata/keys.yaml.
type keySample struct {
	Sample  map[string]any
	Without *map[string]any
	Note    string
}

// keyFiles are those that the samples name.
var keyFiles = map[string]string{
	"vars.env": "A=\"quoted\"\nV=1\n", "other.env": "A=other\n", "Dockerfile": "FROM x\n", "other.Dockerfile": "FROM y\n",
	"inc/c.yaml":     "services: {inc: {image: \"i:${V:-none}\", volumes: [\"./data:/d\"]}}\n",
	"inc/Dockerfile": "FROM z\n", "inc/deeper/.env": "V=deeper\n",
}

const (
	oldAPI = "1.41"
	newAPI = "1.51"
)

// TestKeys holds that no key of a compose file is dropped: with each of them the
// engine is asked for something else than without, or the key is refused by
// name, or testdata/keys.yaml says who else honours it. What comes of it is
// docs/compose-keys.md.
func TestKeys(t *testing.T) {
	data, err := os.ReadFile("testdata/keys.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var samples map[string]keySample
	if err := yaml.Unmarshal(data, &samples); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TOKEN", "value-of-token")
	dir := t.TempDir()
	for name, content := range keyFiles {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755), os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	keys := allKeys(t)
	var table strings.Builder
	for _, key := range keys {
		s, ok := samples[key]
		if !ok {
			t.Errorf("%s has no sample in testdata/keys.yaml: honour it, or refuse it by name, and add one", key)
			continue
		}
		delete(samples, key)
		verdict, err := judge(t, dir, key, s)
		if err != nil {
			t.Errorf("%s: %v", key, err)
		}
		fmt.Fprintf(&table, "| `%s` | %s |\n", key, strings.ReplaceAll(verdict, "|", `\|`))
	}
	for key := range samples {
		t.Errorf("testdata/keys.yaml has a sample of %s, which no compose file can say", key)
	}
	golden(t, "../../docs/compose-keys.md", []byte(keysHead+table.String()))
}

const keysHead = `# What becomes of each key of a compose file

This table is what the tests found: each key was put into a file, and what the engine was then asked for compared with what it was
asked for without it. *honoured*: it is part of that. *refused*: the file, or ` + "`up`" + ` before it changes anything, says that
it can't be had, and why. *no effect*: docker compose does nothing with it either, as it is for a swarm; the file, or ` + "`up`" + `, says so in a
warning, which ` + "`ww check --strict`" + ` makes an error. Values are honoured as docker compose does, with the exceptions that the parity test lists
(cmd/ww/testdata/parity/differences.txt).

docker compose's configuration hash leaves out what is in configs and secrets. ww keeps a digest of that beside it, in the label
dev.woodwork.content-hash: an HMAC-SHA256 with a key of 32 random bytes, so that nobody who reads labels can find a short secret by
trying. The key is made once, in .ww/content-key beside the file (0600; in the user's own configuration folder where .ww can't be
written). Without the key the services that use configs or secrets count as changed. A container without that label was made by
docker compose, and isn't replaced for it.

The engine runs a health check at its interval. While something waits for it, ww runs it as well, by exec: first after 30 ms, then at
growing pauses of up to 1 s.

| key | |
|---|---|
`

// judge tells what becomes of a key.
func judge(t *testing.T, dir, key string, s keySample) (string, error) {
	inService := strings.HasPrefix(key, "services.*.")
	without := s.Without
	if without == nil {
		rest := deepCopy(s.Sample).(map[string]any)
		if !cut(rest, strings.Split(strings.ReplaceAll(strings.TrimPrefix(key, "services.*."), "[]", ".[]"), ".")) {
			return "", errors.New("the sample doesn't have the key")
		}
		without = &rest
	}
	base, _, _, err := ask(t, dir, *without, inService, newAPI)
	if whole := refusedWhole(key, err); err != nil && whole == "" {
		return "", fmt.Errorf("the file without it: %w", err)
	} else if err != nil {
		return whole, nil
	}
	got, ignored, read, err := ask(t, dir, s.Sample, inService, newAPI)
	switch {
	case err != nil && !read:
		if !strings.Contains(err.Error(), lastName(key)) && !strings.Contains(err.Error(), firstName(key)) {
			return "", fmt.Errorf("the refusal doesn't name it: %w", err)
		}
		return "refused when the file is read: " + unread(err, dir), nil
	case err != nil:
		return refusal(key, err)
	case got == base && names(ignored, key):
		return "no effect, as with docker compose, and a warning: " + strings.TrimPrefix(ignored[0].Why, "has no effect: "), nil
	case got == base && s.Note == "":
		return "", errors.New("it is neither honoured nor refused: the engine is asked for the same without it")
	case got == base:
		return "honoured: " + s.Note, nil
	}
	_, _, _, old := ask(t, dir, s.Sample, inService, oldAPI)
	var refused Refusals
	if errors.As(old, &refused) {
		_, needs, ok := strings.Cut(refused[0].Why, "needs engine API ")
		if !ok {
			return "", old
		}
		api, _, _ := strings.Cut(needs, ",")
		return "honoured from engine API " + api + " on; refused by name before that", nil
	}
	return "honoured", old
}

// names tells whether a warning names a key, or one that it is part of.
func names(ignored Refusals, key string) bool {
	return len(ignored) == 1 && strings.HasPrefix(strings.Replace(key, "services.*.", "services.s.", 1), generalised(ignored[0].Key))
}

// generalised is a key of a section with a star for the name there.
func generalised(key string) string {
	parts := strings.SplitN(key, ".", 3)
	if len(parts) == 3 && parts[0] != "services" {
		parts[1] = "*"
	}
	return strings.Join(parts, ".")
}

// refusedWhole tells why what a key is part of is refused, whatever is in it.
func refusedWhole(key string, err error) string {
	var refused Refusals
	if errors.As(err, &refused) {
		if part := strings.Replace(refused[0].Key, "services.s.", "services.*.", 1); strings.HasPrefix(key, part) {
			return "refused: " + strings.TrimPrefix(refused[0].Why, "is not supported: ")
		}
	} else if err != nil && strings.Contains(err.Error(), "build.secrets needs") && strings.HasPrefix(key, "services.*.build.secrets[]") {
		return "refused: " + err.Error()
	}
	return ""
}

func lastName(key string) string {
	return strings.TrimSuffix(key[strings.LastIndex(key, ".")+1:], "[]")
}

// firstName is that of a key of a service, or a section.
func firstName(key string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(key, "services.*."), ".")
	return strings.TrimSuffix(name, "[]")
}

// refusal is what the first refusal says, which has to name the key, or one
// that it is part of.
func refusal(key string, err error) (string, error) {
	var refused Refusals
	var engine *deploy.EngineError
	switch {
	case errors.As(err, &refused):
		if !strings.Contains(refused[0].Key, firstName(key)) && !strings.HasPrefix(refused[0].Key, firstName(key)) {
			return "", fmt.Errorf("the refusal doesn't name it: %w", err)
		}
		return "refused: " + strings.TrimPrefix(refused[0].Why, "is not supported: "), nil
	case errors.As(err, &engine) && strings.Contains(err.Error(), lastName(key)) || engine != nil && strings.Contains(err.Error(), firstName(key)):
		return "refused: " + engine.Err.Error(), nil
	}
	return "", err
}

// unread is a reader's refusal without the places of this test.
func unread(err error, dir string) string {
	msg := strings.ReplaceAll(err.Error(), dir+"/", "")
	_, what, ok := strings.Cut(msg, "validating compose.yaml: ")
	if ok {
		msg = what
	}
	return msg
}

// ask gives all that the engine would be asked for; read tells whether the file
// could be read.
func ask(t *testing.T, dir string, sample map[string]any, inService bool, api string) (requests string, ignored Refusals, read bool, err error) {
	doc := map[string]any{
		"services": map[string]any{
			"other": map[string]any{"image": "o", "networks": map[string]any{"net": nil, "default": nil}, "volumes": []any{"vol:/v"}, "secrets": []any{"sec"}, "configs": []any{"conf"}},
			"s":     map[string]any{"image": "x"},
		},
		"networks": map[string]any{"net": map[string]any{}},
		"volumes":  map[string]any{"vol": map[string]any{}},
		"secrets":  map[string]any{"sec": map[string]any{"file": "./vars.env"}},
		"configs":  map[string]any{"conf": map[string]any{"content": "conf"}},
		"models":   map[string]any{"model": map[string]any{"model": "m"}},
	}
	into := doc
	if inService {
		into = doc["services"].(map[string]any)["s"].(map[string]any)
	}
	maps.Copy(into, sample)
	text, err := yaml.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "compose.yaml")
	if err := os.WriteFile(name, text, 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := compose.Load(t.Context(), compose.Request{Files: []string{name}})
	switch {
	case err != nil:
		return "", nil, false, err
	case l.Diagnostics.HasErrors():
		return "", nil, false, errors.New(l.Diagnostics[0].Message)
	}
	requests, err = requestsOf(t, l.Project, target{api, "linux"})
	return strings.ReplaceAll(requests, dir, "/project"), Ignored(l.Project), true, err
}

// requestsOf is all that the engine would be asked for by an up.
func requestsOf(t *testing.T, p *types.Project, on target) (string, error) {
	if err := checkProject(p, on); err != nil {
		return "", err
	}
	var b strings.Builder
	show := func(what string, v any) {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s: %s\n", what, data)
	}
	standIns := peers{}
	for _, name := range p.ServiceNames() {
		standIns[name] = []plan.Container{{ID: "id-of-" + name, Name: p.Name + "-" + name + "-1"}}
	}
	for _, name := range p.ServiceNames() {
		s := p.Services[name]
		in, err := convert(p, deploy.ContainerSpec{Service: s, Number: 1, Name: plan.ContainerName(p, s, 1)}, standIns, on.api)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%s: %s", plan.ContainerName(p, s, 1), requestJSON(t, in))
		if s.Build == nil {
			continue
		}
		spec := deploy.BuildSpec{Service: name, Image: imageName(p.Name, s), Build: s.Build, Platform: s.Platform}
		if err := checkBuildKeys(spec); err != nil {
			return "", err
		}
		src, err := openContext(s.Build)
		if err != nil {
			return "", err
		}
		show("build "+src.dir+" "+string(src.inline), buildOptions(spec, src))
	}
	for _, key := range slices.Sorted(maps.Keys(p.Networks)) {
		opts, err := networkOptions(p, key)
		if err != nil {
			return "", err
		}
		delete(opts.Labels, labelConfigHash)
		show(fmt.Sprintf("network %s, external: %v", p.Networks[key].Name, p.Networks[key].External), opts)
	}
	for _, key := range slices.Sorted(maps.Keys(p.Volumes)) {
		opts, err := volumeOptions(p, key)
		if err != nil {
			return "", err
		}
		delete(opts.Labels, labelConfigHash)
		show(fmt.Sprintf("volume %s, external: %v", p.Volumes[key].Name, p.Volumes[key].External), opts)
	}
	return b.String(), nil
}

func deepCopy(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			out[k] = deepCopy(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = deepCopy(v[i])
		}
		return out
	}
	return v
}

// cut takes what a path leads to out of a sample; `*` is the last of the names
// there, `[]` the first place.
func cut(v any, path []string) bool {
	switch v := v.(type) {
	case map[string]any:
		name := path[0]
		if name == "*" {
			names := slices.Sorted(maps.Keys(v))
			if len(names) == 0 {
				return false
			}
			name = names[len(names)-1]
		}
		if _, ok := v[name]; !ok {
			return false
		}
		if len(path) == 1 {
			delete(v, name)
			return true
		}
		return cut(v[name], path[1:])
	case []any:
		return len(v) > 0 && path[0] == "[]" && len(path) > 1 && cut(v[0], path[1:])
	}
	return false
}
