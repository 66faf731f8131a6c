package dockerx

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"gopkg.in/yaml.v3"

	"woodwork.dev/ww/compose"
)

// FuzzComposeFile: whatever a compose file says, reading it, checking it and
// asking the engine for it ends in a project or in an error.
func FuzzComposeFile(f *testing.F) {
	data, err := os.ReadFile("testdata/keys.yaml")
	if err != nil {
		f.Fatal(err)
	}
	var samples map[string]keySample
	if err := yaml.Unmarshal(data, &samples); err != nil {
		f.Fatal(err)
	}
	for key, s := range samples {
		doc := s.Sample
		if firstName(key) != key || doc["services"] == nil && doc["networks"] == nil {
			doc = map[string]any{"services": map[string]any{"s": s.Sample}}
		}
		text, err := yaml.Marshal(doc)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("services: {s: {image: x, ulimits: {nofile: {soft: a}}, healthcheck: {test: [1]}, ports: [{}], volumes: [{}], networks: {n: }}}")
	f.Add("services: {s: {image: x, env_file: [{}], devices: [{}], gpus: [{count: all}], blkio_config: {weight_device: [{}]}}}")
	f.Add("services: {s: }\nnetworks: {n: {ipam: {config: [null]}}}\nsecrets: {s: }\nconfigs: {c: }")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		name := filepath.Join(dir, fmt.Sprintf("%d.yaml", os.Getpid()))
		if err := os.WriteFile(name, []byte("name: fuzz\n"+text), 0o644); err != nil {
			t.Fatal(err)
		}
		l, err := compose.Load(t.Context(), compose.Request{Files: []string{name}})
		if err != nil || l.Project == nil {
			return
		}
		for _, api := range []string{oldAPI, newAPI} {
			_, _ = requestsOf(t, l.Project, target{api, "linux"})
		}
	})
}
