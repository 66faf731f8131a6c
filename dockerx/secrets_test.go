package dockerx

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/dockerx/enginetest"
	"woodwork.dev/ww/runtime/deploy"
)

const secretValue = "not-for-an-error"

func withSecrets(h *harness) types.ServiceConfig {
	p := h.project
	p.Environment = types.Mapping{"TOKEN": secretValue}
	p.Secrets = types.Secrets{"token": {Name: "token", Environment: "TOKEN"}}
	p.Configs = types.Configs{"conf": {Name: "conf", Content: "inline"}}
	mode := types.FileMode(0o440)
	s := h.service("a", "run")
	s.Secrets = []types.ServiceSecretConfig{
		{Source: "token"},
		{Source: "token", Target: "second", UID: "1234", GID: "4321", Mode: &mode},
	}
	s.Configs = []types.ServiceConfigObjConfig{{Source: "conf", Target: "/etc/app/conf"}}
	return s
}

func TestCopiedSecrets(t *testing.T) {
	eachEngine(t, func(t *testing.T, h *harness) {
		s := withSecrets(h)
		s.User = "1234:4321" // it must read all of them
		id := h.started(s)
		if h.fake != nil {
			files := h.fake.Files(id)
			second := files["/run/secrets/second"]
			if files["/run/secrets/token"].Content != secretValue || files["/run/secrets/token"].Mode != 0o444 ||
				second.Mode != 0o440 || second.UID != 1234 || second.GID != 4321 || files["/etc/app/conf"].Content != "inline" {
				t.Errorf("files: %+v", files)
			}
			if n := len(h.fake.Calls("container.copy")); n != 1 {
				t.Errorf("%d calls to copy, want 1", n)
			}
			return
		}
		var out bytes.Buffer
		code, err := h.Exec(h.ctx, id, deploy.ExecSpec{
			Cmd: []string{"/app", "show", "/run/secrets/token", "/run/secrets/second", "/etc/app/conf"}, Stdout: &out,
		})
		want := "/run/secrets/token 0:0 444 not-for-an-error\n" +
			"/run/secrets/second 1234:4321 440 not-for-an-error\n" +
			"/etc/app/conf 0:0 444 inline\n"
		if err != nil || code != 0 || out.String() != want {
			t.Errorf("exit code %d, %v:\n%swant\n%s", code, err, out.String(), want)
		}
	})
}

func TestMountedSecret(t *testing.T) {
	eachEngine(t, func(t *testing.T, h *harness) {
		file := filepath.Join(h.project.WorkingDir, "token.txt")
		if err := os.WriteFile(file, []byte("from a file"), 0o644); err != nil {
			t.Fatal(err)
		}
		h.project.Secrets = types.Secrets{"token": {Name: "token", File: file}}
		s := h.service("a", "run")
		s.ReadOnly = true
		s.Secrets = []types.ServiceSecretConfig{{Source: "token"}}
		id := h.started(s)
		if h.fake != nil {
			return
		}
		var out bytes.Buffer
		code, err := h.Exec(h.ctx, id, deploy.ExecSpec{Cmd: []string{"/app", "show", "/run/secrets/token"}, Stdout: &out})
		if err != nil || code != 0 || !strings.HasSuffix(out.String(), " 644 from a file\n") {
			t.Errorf("exit code %d, %v: %s", code, err, out.String())
		}
	})
}

func TestRefusedSecrets(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*types.Project, *types.ServiceConfig)
		kind   deploy.ErrorKind
		says   []string
	}{
		"read-only": {func(_ *types.Project, s *types.ServiceConfig) { s.ReadOnly = true }, deploy.Unsupported, []string{"token", "read_only", "service a"}},
		"external": {func(p *types.Project, _ *types.ServiceConfig) {
			p.Secrets["token"] = types.SecretConfig{External: true}
		}, deploy.Unsupported, []string{"token", "external"}},
		"driver": {func(p *types.Project, _ *types.ServiceConfig) {
			p.Secrets["token"] = types.SecretConfig{Environment: "TOKEN", Driver: "x"}
		}, deploy.Unsupported, []string{"driver"}},
		"unset":      {func(p *types.Project, _ *types.ServiceConfig) { p.Environment = nil }, deploy.Invalid, []string{"TOKEN", "not set"}},
		"hidden":     {func(_ *types.Project, s *types.ServiceConfig) { s.Tmpfs = types.StringList{"/run:size=1m"} }, deploy.Unsupported, []string{"tmpfs", "/run"}},
		"undeclared": {func(p *types.Project, _ *types.ServiceConfig) { p.Secrets = nil }, deploy.Invalid, []string{"token", "declared"}},
		"owner":      {func(_ *types.Project, s *types.ServiceConfig) { s.Secrets[1].UID = "root" }, deploy.Invalid, []string{"uid", "root"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFake(t, enginetest.Options{})
			s := withSecrets(h)
			tt.change(h.project, &s)
			err := checkKeys(h.project, s, target{api: "1.51"})
			if err == nil {
				_, err = convert(h.project, h.spec(s, 1), nil, "1.51")
			}
			e := wantKind(t, err, tt.kind)
			for _, want := range tt.says {
				if !strings.Contains(e.Error(), want) {
					t.Errorf("%q doesn't say %q", e, want)
				}
			}
			if strings.Contains(e.Error()+e.Remedy, secretValue) {
				t.Errorf("the value is in %q", e)
			}
		})
	}
}
