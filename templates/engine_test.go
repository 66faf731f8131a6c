package templates_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/dockerx"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/templates"
)

const busybox = "busybox:stable"

// builder builds images on the real engine, and removes them afterwards.
type builder struct {
	*dockerx.Engine
	t   *testing.T
	ctx context.Context
}

// engine fails a test where no engine answers, unless WW_TEST_ENGINE=off.
func engine(t *testing.T) *builder {
	t.Helper()
	if os.Getenv("WW_TEST_ENGINE") == "off" {
		t.Skip("WW_TEST_ENGINE=off")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	e, err := dockerx.Open(ctx, dockerx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	if _, err := e.Info(ctx); err != nil {
		t.Fatalf("this test needs a Docker Engine (WW_TEST_ENGINE=off leaves such tests out): %v", err)
	}
	if err := exec.CommandContext(ctx, "docker", "image", "inspect", busybox).Run(); err != nil {
		t.Fatalf("this test needs the image %s: `make images` brings it", busybox)
	}
	return &builder{e, t, ctx}
}

// program builds ww.
func program(t *testing.T) templates.Binary {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ww")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", name, "woodwork.dev/ww/cmd/ww")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build ww: %v\n%s", err, out)
	}
	t.Setenv(templates.BinaryVariable, name)
	b, err := templates.FindBinary("")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// folder builds an image from a folder, and returns its name and the output.
func (b *builder) folder(name, dir string, args map[string]string) (image string, output []string) {
	b.t.Helper()
	image = fmt.Sprintf("wwtest-templates-%s-%d:1", name, os.Getpid())
	build := &types.BuildConfig{Context: dir, Args: types.MappingWithEquals{}}
	for k, v := range args {
		build.Args[k] = &v
	}
	_, err := b.Build(b.ctx, deploy.BuildSpec{
		Service: name, Image: image, Build: build, Labels: map[string]string{"dev.woodwork.test": "wwtest-templates"},
	}, func(line string) { output = append(output, line) })
	if err != nil {
		b.t.Fatalf("build %s: %v\n%s", name, err, strings.Join(output, "\n"))
	}
	b.t.Cleanup(func() {
		if err := b.RemoveImage(context.WithoutCancel(b.ctx), image); err != nil {
			b.t.Errorf("remove image: %v", err)
		}
	})
	return image, output
}

// context writes a context and builds it.
func (b *builder) context(c templates.Context, err error) (image string, output []string) {
	b.t.Helper()
	dir := b.t.TempDir()
	if err == nil {
		err = c.Write(dir)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return b.folder(c.Name, filepath.Join(dir, c.Name), c.Args)
}

// run runs a container to its end. Words before the image are docker's.
func (b *builder) run(words ...string) string {
	b.t.Helper()
	args := append([]string{"run", "--rm", "--network", "none", "--read-only", "--cap-drop", "ALL", "--label", "dev.woodwork.test=wwtest-templates"}, words...)
	out, err := exec.CommandContext(b.ctx, "docker", args...).CombinedOutput()
	if err != nil {
		b.t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func source(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil { // others can read it in the image all the same
			t.Fatal(err)
		}
	}
	return dir
}

func TestImages(t *testing.T) {
	b := engine(t)
	binary := program(t)
	for name, test := range map[string]func(*builder, templates.Binary){
		"builtin": builtinImage, "exec": execImage, "own": ownImage, "python": pythonImage,
	} {
		t.Run(name, func(t *testing.T) { test(&builder{b.Engine, t, b.ctx}, binary) })
	}
}

func builtinImage(b *builder, binary templates.Binary) {
	image, _ := b.context(templates.Builtin(binary), nil)
	if out := b.run(image, "--help"); !strings.Contains(out, "USAGE") || !strings.Contains(out, "compose") {
		b.t.Errorf("ww --help says %s", out)
	}
}

func execImage(b *builder, binary templates.Binary) {
	t := b.t
	dir := source(t, map[string]string{"hello.txt": "from a file\n", "sub/x": "deep\n", ".env": "KEY=secret\n"})
	if err := os.Symlink("sub/x", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	image, _ := b.context(templates.Exec("exec", busybox, dir, binary))
	out := b.run("--entrypoint", "sh", image, "-c", "id -u; id -g; pwd; cat hello.txt sub/x link; ls -A; touch x 2>/dev/null || echo refused")
	if want := "65532\n65532\n/app\nfrom a file\ndeep\ndeep\nhello.txt\nlink\nsub\nrefused\n"; out != want {
		t.Errorf("the command sees %q, want %q", out, want)
	}
	if out := b.run(image, "--help"); !strings.Contains(out, "USAGE") {
		t.Errorf("its entry point says %s", out)
	}
	if err := os.WriteFile(filepath.Join(dir, "hello.txt"), []byte("changed\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, output := b.context(templates.Exec("exec-changed", busybox, dir, binary))
	if !usesCache(output, "COPY ww") || usesCache(output, "COPY app/") {
		t.Errorf("a change of the sources copies ww again:\n%s", strings.Join(output, "\n"))
	}
	image, _ = b.context(templates.Exec("plain", busybox, "", binary))
	if out := b.run("--entrypoint", "pwd", image); out != "/app\n" {
		t.Errorf("without a source: %q", out)
	}
}

func ownImage(b *builder, binary templates.Binary) {
	t := b.t
	dir := source(t, map[string]string{
		"Dockerfile":    "FROM " + busybox + "\nRUN echo built by $(id -u) > /built\nWORKDIR /srv\nCOPY . .\nUSER 1234\nENTRYPOINT [\"false\"]\nCMD [\"x\"]",
		".dockerignore": "*\n!data\n", "data/f": "kept\n", "dropped": "",
	})
	image, _ := b.context(templates.Own("own", filepath.Join(dir, "Dockerfile"), binary))
	out := b.run("--entrypoint", "sh", image, "-c", "id -u; cat /built; ls -A; cat data/f")
	if want := "65532\nbuilt by 0\nDockerfile\ndata\nww.component\nkept\n"; out != want {
		t.Errorf("the command sees %q, want %q", out, want)
	}
	if out := b.run(image, "--help"); !strings.Contains(out, "USAGE") {
		t.Errorf("its entry point says %s", out)
	}
}

// pythonImage uses a base image whose pip and python write down what they
// are called with.
func pythonImage(b *builder, binary templates.Binary) {
	t := b.t
	base, _ := b.folder("python-base", source(t, map[string]string{
		"Dockerfile": "FROM " + busybox + "\nCOPY pip python /bin/\nRUN chmod 755 /bin/pip /bin/python\n",
		"pip":        "#!/bin/sh\n{ echo \"pip $*\"; id -u; ls -A /app; cat requirements.txt; } > /pip.log\n",
		"python":     "#!/bin/sh\necho \"python $*\"; id -u; pwd; cat \"$1\"; echo \"$PYTHONUNBUFFERED$PYTHONDONTWRITEBYTECODE\"\n",
	}), nil)
	dir := source(t, map[string]string{"src/main.py": "print(1)\n", "requirements.txt": "requests==2.32.0\n"})
	python := func(name, requirements string) (string, []string) {
		if requirements != "" {
			requirements = filepath.Join(dir, requirements)
		}
		return b.context(templates.Python(name, base, filepath.Join(dir, "src"), requirements, binary))
	}
	image, _ := python("python", "requirements.txt")
	out := b.run("--entrypoint", "sh", image, "-c", "cat /pip.log; python main.py; ls -A")
	want := "pip install --no-cache-dir --disable-pip-version-check -r requirements.txt\n0\nrequirements.txt\nrequests==2.32.0\n" +
		"python main.py\n65532\n/app\nprint(1)\n11\nmain.py\nrequirements.txt\n"
	if out != want {
		t.Errorf("they were called so: %q, want %q", out, want)
	}

	if err := os.WriteFile(filepath.Join(dir, "src", "main.py"), []byte("print(2)\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, output := python("python-changed", "requirements.txt")
	if log := strings.Join(output, "\n"); !strings.Contains(log, "pip install") || !usesCache(output, "RUN if") || usesCache(output, "COPY app/") || !usesCache(output, "COPY ww") {
		t.Errorf("a change of the sources installs the requirements, or copies ww, again:\n%s", log)
	}

	image, _ = python("python-bare", "")
	if out := b.run("--entrypoint", "sh", image, "-c", "ls /pip.log 2>/dev/null || echo none"); out != "none\n" {
		t.Errorf("without requirements pip was called: %q", out)
	}
}

// usesCache reports whether the builder took a step from its cache.
func usesCache(output []string, step string) bool {
	for i, line := range output {
		if strings.HasPrefix(line, "Step ") && strings.Contains(line, step) {
			return i+1 < len(output) && strings.Contains(output[i+1], "Using cache")
		}
	}
	return false
}
