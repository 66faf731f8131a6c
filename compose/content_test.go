package compose

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const contents = `name: x
services:
  inline: {image: i, configs: [inline]}
  variable: {image: i, secrets: [variable]}
  file: {image: i, secrets: [{source: file, target: a}, {source: file, target: b}]}
  twin: {image: i, secrets: [file]}
  folder: {image: i, configs: [folder]}
  none: {image: i}
configs:
  inline: {content: "level=${LEVEL}"}
  folder: {file: ./folder}
secrets:
  variable: {environment: TOKEN}
  file: {file: ./key}
`

func contentHashes(t *testing.T, dir string) map[string]string {
	t.Helper()
	all, err := ContentHashes(mustLoad(t, Request{Files: []string{dir + "/x.yml"}}).Project)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestContentHashes(t *testing.T) {
	clearEnvironment(t, map[string]string{"LEVEL": "1", "TOKEN": "tiny"})
	dir := folder(t, map[string]string{"x.yml": contents, "key": "k1", "folder/a": "a"})
	before := contentHashes(t, dir)
	if _, ok := before["none"]; ok || len(before) != 5 {
		t.Errorf("%v", before)
	}
	for service, h := range before {
		if len(h) != 64 {
			t.Errorf("%s: %q", service, h)
		}
	}
	if before["file"] == before["twin"] {
		t.Error("two services' digests tell that they have the same secret")
	}
	for name, tt := range map[string]struct {
		change  func(t *testing.T)
		changes string
	}{
		"nothing":         {func(*testing.T) {}, ""},
		"inline":          {func(t *testing.T) { t.Setenv("LEVEL", "2") }, "inline"},
		"variable":        {func(t *testing.T) { t.Setenv("TOKEN", "other") }, "variable"},
		"no variable":     {func(t *testing.T) { clearEnvironment(t, nil); os.Unsetenv("TOKEN") }, "variable"},
		"file":            {func(t *testing.T) { write(t, dir+"/key", "k2") }, "file twin"},
		"no file":         {func(t *testing.T) { os.Remove(dir + "/key") }, "file twin"},
		"empty file":      {func(t *testing.T) { write(t, dir+"/key", "") }, "file twin"},
		"within a folder": {func(t *testing.T) { write(t, dir+"/folder/a", "b") }, ""},
		"another path": {func(t *testing.T) {
			write(t, dir+"/other", "k1")
			write(t, dir+"/x.yml", strings.Replace(contents, "./key", "./other", 1))
		}, "file twin"},
		"a lost key": {func(t *testing.T) { os.Remove(filepath.Join(dir, ContentKeyFile)) }, "file folder inline twin variable"},
	} {
		t.Run(name, func(t *testing.T) {
			clearEnvironment(t, map[string]string{"LEVEL": "1", "TOKEN": "tiny"})
			write(t, dir+"/x.yml", contents)
			write(t, dir+"/key", "k1")
			before := contentHashes(t, dir)
			tt.change(t)
			var changed []string
			after := contentHashes(t, dir)
			for _, service := range []string{"file", "folder", "inline", "twin", "variable"} {
				if after[service] != before[service] {
					changed = append(changed, service)
				}
			}
			if got := strings.Join(changed, " "); got != tt.changes {
				t.Errorf("changed: %q, want %q", got, tt.changes)
			}
		})
	}
}

func TestContentKey(t *testing.T) {
	clearEnvironment(t, map[string]string{"LEVEL": "1", "TOKEN": "tiny"})
	dir := folder(t, map[string]string{"x.yml": contents, "plain.yml": "name: x\nservices: {none: {image: i}}\n", "key": "k"})
	if all, err := ContentHashes(mustLoad(t, Request{Files: []string{dir + "/plain.yml"}}).Project); err != nil || len(all) > 0 {
		t.Errorf("%v, %v", all, err)
	}
	if _, err := os.Stat(filepath.Join(dir, Folder)); err == nil {
		t.Error("a project without contents gets a key")
	}
	contentHashes(t, dir)
	info, err := os.Stat(filepath.Join(dir, ContentKeyFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v", info, err)
	}
	if ignored, err := os.ReadFile(filepath.Join(dir, Folder, ".gitignore")); err != nil || !strings.Contains(string(ignored), "\n*\n") {
		t.Errorf("git would take the key: %s, %v", ignored, err)
	}
	// Two projects of the same content have nothing in common.
	other := folder(t, map[string]string{"x.yml": contents, "key": "k"})
	if contentHashes(t, other)["inline"] == contentHashes(t, dir)["inline"] {
		t.Error("the digest isn't keyed")
	}
	write(t, filepath.Join(dir, ContentKeyFile), "short")
	if _, err := ContentHashes(mustLoad(t, Request{Files: []string{dir + "/x.yml"}}).Project); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("a broken key: %v", err)
	}
}

// TestContentKeyElsewhere: a project may lie where nothing can be written. A
// file in the place of .ww stands for that, as root may write anywhere.
func TestContentKeyElsewhere(t *testing.T) {
	config := t.TempDir()
	clearEnvironment(t, map[string]string{"LEVEL": "1", "TOKEN": "tiny", "XDG_CONFIG_HOME": config, "HOME": config})
	dir := folder(t, map[string]string{"x.yml": contents, "key": "k", Folder: ""})
	if a, b := contentHashes(t, dir), contentHashes(t, dir); a["inline"] != b["inline"] || a["inline"] == "" {
		t.Errorf("%v and %v", a, b)
	}
	made, err := filepath.Glob(config + "/ww/*")
	if err != nil || len(made) != 1 {
		t.Errorf("keys: %v, %v", made, err)
	}
}
