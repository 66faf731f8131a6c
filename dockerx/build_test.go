package dockerx

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/dockerx/enginetest"
	"woodwork.dev/ww/runtime/deploy"
)

// writeTree writes files; a name that ends in a slash is a directory.
func writeTree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			continue
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestBuild(t *testing.T) {
	eachEngine(t, func(t *testing.T, h *harness) {
		ref := h.project.Name + ":1"
		dir := writeTree(t, map[string]string{
			"Dockerfile": "FROM scratch\nCOPY . /files\nLABEL built=by-the-test\n", ".dockerignore": "skipped\n", "kept": "1", "skipped/x": "2",
		})
		defer func() {
			for range 2 { // the second time it is gone
				if err := h.RemoveImage(context.WithoutCancel(h.ctx), ref); err != nil {
					t.Errorf("remove image: %v", err)
				}
			}
		}()
		var lines []string
		spec := deploy.BuildSpec{Service: "a", Image: ref, Build: &types.BuildConfig{Context: dir}, Labels: map[string]string{"more": "labels"}}
		id, err := h.Build(h.ctx, spec, func(l string) { lines = append(lines, l) })
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(id, "sha256:") || !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "Step 2/") }) {
			t.Errorf("id %q, output %q", id, lines)
		}
		h.project.Services["a"] = types.ServiceConfig{Name: "a", Image: ref}
		if o := h.observe(); o.Images[ref] != id {
			t.Errorf("images: %v, want %s", o.Images, id)
		}
		if h.fake == nil {
			again, err := h.Build(h.ctx, spec, nil)
			if err != nil || again != id {
				t.Errorf("the cache isn't used: %s, %v, want %s", again, err, id)
			}
		}
	})
}

func TestBuildFails(t *testing.T) {
	eachEngine(t, func(t *testing.T, h *harness) {
		build := &types.BuildConfig{Context: t.TempDir(), DockerfileInline: "FROM scratch\nCOPY missing /\n"}
		spec := deploy.BuildSpec{Service: "a", Image: h.project.Name + ":1", Build: build}
		if h.fake != nil {
			h = newFake(t, enginetest.Options{BuildErrors: map[string]string{spec.Image: "COPY failed: file not found in build context"}})
		}
		_, err := h.Build(h.ctx, spec, nil)
		e := wantKind(t, err, deploy.BuildFailed)
		if len(e.Output) == 0 || !strings.HasPrefix(e.Output[0], "Step 2/2 : COPY missing") || !strings.Contains(e.Error(), "COPY failed") {
			t.Errorf("error %v, output %q", e, e.Output)
		}
		ctx, cancel := context.WithCancel(h.ctx)
		cancel()
		if _, err := h.Build(ctx, spec, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("with a context that has ended: %v", err)
		}
	})
}

// TestRemoveImageOfOthers: that what an image was built upon has just gone, with
// another one, is no failure; the image itself is gone in the end.
func TestRemoveImageOfOthers(t *testing.T) {
	h := newFake(t, enginetest.Options{})
	build := &types.BuildConfig{Context: t.TempDir(), DockerfileInline: "FROM scratch\nLABEL a=b\n"}
	if _, err := h.Build(h.ctx, deploy.BuildSpec{Service: "a", Image: "a:1", Build: build}, nil); err != nil {
		t.Fatal(err)
	}
	h.fake.Inject(enginetest.Fault{Op: "image.remove", N: 1, Kind: enginetest.Fail, Message: "unrecognized image ID sha256:5b64"})
	if err := h.RemoveImage(h.ctx, "a:1"); err != nil {
		t.Error(err)
	}
	h.fake.Inject(enginetest.Fault{Op: "image.remove", N: 1, Kind: enginetest.Fail, Message: "unrecognized image ID sha256:5b64"})
	if err := h.RemoveImage(h.ctx, "a:1"); err != nil {
		t.Errorf("one that is gone: %v", err)
	}
	if n := len(h.fake.Calls("image.remove")); n != 3 {
		t.Errorf("%d removals", n)
	}
}

// TestBuildLosesLayer: what was removed under a build, with another image, is
// built anew; what goes on being lost is told.
func TestBuildLosesLayer(t *testing.T) {
	const lost = "failed to get digest sha256:d0f0: open /var/lib/docker/image/overlay2/imagedb/content/sha256/d0f0: no such file or directory"
	h := newFake(t, enginetest.Options{BuildErrors: map[string]string{"b:1": lost}})
	h.fake.Inject(enginetest.Fault{Op: "image.build", N: 1, Kind: enginetest.Fail, Message: lost})
	build := &types.BuildConfig{Context: t.TempDir(), DockerfileInline: "FROM scratch\nLABEL a=b\n"}
	if id, err := h.Build(h.ctx, deploy.BuildSpec{Service: "a", Image: "a:1", Build: build}, nil); err != nil || id == "" {
		t.Errorf("image %q, error %v", id, err)
	}
	_, err := h.Build(h.ctx, deploy.BuildSpec{Service: "b", Image: "b:1", Build: build}, nil)
	wantKind(t, err, deploy.BuildFailed)
	if n := len(h.fake.Calls("image.build")); n != 2+3 {
		t.Errorf("%d builds", n)
	}
}

func TestBuildKeys(t *testing.T) {
	h := newFake(t, enginetest.Options{BuildKit: true})
	dir := writeTree(t, map[string]string{"Dockerfile": "FROM scratch\n"})
	for key, b := range map[string]types.BuildConfig{
		"secrets":             {Secrets: []types.ServiceSecretConfig{{Source: "x"}}},
		"ssh":                 {SSH: types.SSHConfig{{ID: "default"}}},
		"additional_contexts": {AdditionalContexts: types.Mapping{"a": "b"}},
		"cache_to":            {CacheTo: []string{"x"}},
		"privileged":          {Privileged: true},
		"entitlements":        {Entitlements: []string{"x"}},
	} {
		b.Context = dir
		_, err := h.Build(h.ctx, deploy.BuildSpec{Service: "a", Image: "wwtest:1", Build: &b}, nil)
		e := wantKind(t, err, deploy.Unsupported)
		if !strings.Contains(e.Error(), "build."+key) || !strings.Contains(e.Remedy, "docker build") {
			t.Errorf("%s: %v; %s", key, e, e.Remedy)
		}
	}
	value := "v"
	_, err := h.Build(h.ctx, deploy.BuildSpec{Service: "a", Image: "wwtest:1", Platform: "linux/arm64", NoCache: true, Build: &types.BuildConfig{
		Context: dir, Target: "t", Tags: []string{"wwtest:2"}, Network: "host", Args: types.MappingWithEquals{"A": &value, "HTTP_PROXY": nil},
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	q := h.fake.Calls("image.build")[0].Query
	if q.Get("version") != "1" || q.Get("target") != "t" || q.Get("platform") != "linux/arm64" || q.Get("nocache") != "1" ||
		q.Get("networkmode") != "host" || !slices.Equal(q["t"], []string{"wwtest:1", "wwtest:2"}) || q.Get("buildargs") != `{"A":"v","HTTP_PROXY":null}` {
		t.Errorf("query: %v", q)
	}
}

func TestBuildContext(t *testing.T) {
	for name, tt := range map[string]struct {
		files map[string]string
		build types.BuildConfig
		want  []string
	}{
		"everything": {
			files: map[string]string{"Dockerfile": "FROM scratch", "a": "", "d/b": ""},
			want:  []string{"Dockerfile", "a", "d/", "d/b"},
		},
		"ignored": {
			files: map[string]string{"Dockerfile": "FROM scratch", ".dockerignore": "d\n*.log\n!keep.log\nDockerfile\n", "d/b": "", "x.log": "", "keep.log": ""},
			want:  []string{".dockerignore", "Dockerfile", "keep.log"},
		},
		"excepted below ignored": {
			files: map[string]string{"Dockerfile": "FROM scratch", ".dockerignore": "d\n!d/keep\n", "d/drop": "", "d/keep": ""},
			want:  []string{".dockerignore", "Dockerfile", "d/keep"},
		},
		"the Dockerfile's own ignore file": {
			files: map[string]string{"sub/Other": "FROM scratch", "sub/Other.dockerignore": "b", ".dockerignore": "a", "a": "", "b": ""},
			build: types.BuildConfig{Dockerfile: "sub/Other"},
			want:  []string{".dockerignore", "a", "sub/", "sub/Other", "sub/Other.dockerignore"},
		},
		"ignored directory of the Dockerfile": {
			files: map[string]string{"sub/Other": "FROM scratch", "sub/x": "", ".dockerignore": "sub"},
			build: types.BuildConfig{Dockerfile: "sub/Other"},
			want:  []string{".dockerignore", "sub/Other"},
		},
		"inline": {
			files: map[string]string{"a": ""},
			build: types.BuildConfig{DockerfileInline: "FROM scratch\nLABEL a=b"},
			want:  []string{".dockerfile.4afb9d5a8a2d5dd2", ".dockerignore", "a"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFake(t, enginetest.Options{})
			b := tt.build
			b.Context = writeTree(t, tt.files)
			if _, err := h.Build(h.ctx, deploy.BuildSpec{Service: "a", Image: "wwtest:1", Build: &b}, nil); err != nil {
				t.Fatal(err)
			}
			got := h.fake.BuildContext("wwtest:1")
			names := slices.Sorted(maps.Keys(got))
			for i, n := range names {
				if strings.HasPrefix(n, ".dockerfile.") {
					names[i] = tt.want[0]
				}
			}
			if !slices.Equal(names, tt.want) {
				t.Errorf("sent %q, want %q", names, tt.want)
			}
		})
	}
}

func TestContextIsDeterministic(t *testing.T) {
	dir := writeTree(t, map[string]string{"Dockerfile": "FROM scratch", "z": "1", "a/b": "2", "a.c": "3"})
	if err := os.Symlink("../outside", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	var sent [2]bytes.Buffer
	for i := range sent {
		c, err := openContext(&types.BuildConfig{Context: dir})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.write(t.Context(), &sent[i]); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(sent[0].Bytes(), sent[1].Bytes()) {
		t.Error("the same directory gives two streams")
	}
	if !bytes.Contains(sent[0].Bytes(), []byte("../outside")) {
		t.Error("the symbolic link isn't sent as one")
	}
}

func TestBaseOf(t *testing.T) {
	other := "golang:1.99"
	for _, tt := range []struct {
		args map[string]*string
		tail []string
		want string
	}{
		{nil, []string{"Step 1/3 : FROM alpine:3 AS build"}, "alpine:3"},
		{nil, []string{"Step 1/3 : ARG GO_IMAGE=golang:1", "Step 2/3 : FROM ${GO_IMAGE} AS build"}, "golang:1"},
		{map[string]*string{"GO_IMAGE": &other}, []string{"Step 1/3 : ARG GO_IMAGE=golang:1", "Step 2/3 : FROM $GO_IMAGE"}, other},
		{nil, []string{"Step 2/3 : FROM $GO_IMAGE"}, "$GO_IMAGE"},
		{nil, []string{"Step 1/3 : FROM alpine", "Step 2/3 : RUN false"}, ""},
	} {
		if got := baseOf(tt.args, tt.tail); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.tail, got, tt.want)
		}
	}
}
