package dockerx

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func writeContext(t *testing.T, dir, name, meta string) {
	t.Helper()
	sum := sha256.Sum256([]byte(name))
	write(t, filepath.Join(dir, "contexts", "meta", hex.EncodeToString(sum[:]), "meta.json"), meta)
}

func TestEndpoint(t *testing.T) {
	dir := t.TempDir()
	writeContext(t, dir, "remote", `{"Name":"remote","Endpoints":{"docker":{"Host":"tcp://10.0.0.1:2375","SkipTLSVerify":false}}}`)
	writeContext(t, dir, "broken", `{"Name":"broken","Endpoints":{}}`)
	current := t.TempDir()
	write(t, filepath.Join(current, "config.json"), `{"currentContext":"mine","auths":{}}`)
	writeContext(t, current, "mine", `{"Name":"mine","Endpoints":{"docker":{"Host":"unix:///run/mine.sock"}}}`)
	for name, tt := range map[string]struct {
		options Options
		env     map[string]string
		want    string // the host, or a part of the error
		fails   bool
	}{
		"default":            {want: "unix:///var/run/docker.sock"},
		"host":               {options: Options{Host: "tcp://h:1"}, env: map[string]string{"DOCKER_HOST": "tcp://e:1"}, want: "tcp://h:1"},
		"DOCKER_HOST":        {env: map[string]string{"DOCKER_HOST": "tcp://e:1", "DOCKER_CONTEXT": "remote"}, want: "tcp://e:1"},
		"DOCKER_CONTEXT":     {options: Options{ConfigDir: dir}, env: map[string]string{"DOCKER_CONTEXT": "remote"}, want: "tcp://10.0.0.1:2375"},
		"DOCKER_CONFIG":      {env: map[string]string{"DOCKER_CONFIG": current}, want: "unix:///run/mine.sock"},
		"context":            {options: Options{ConfigDir: dir, Context: "remote"}, env: map[string]string{"DOCKER_HOST": "tcp://e:1"}, want: "tcp://10.0.0.1:2375"},
		"default context":    {options: Options{ConfigDir: current, Context: "default"}, want: "unix:///var/run/docker.sock"},
		"current context":    {options: Options{ConfigDir: current}, want: "unix:///run/mine.sock"},
		"ssh":                {options: Options{Host: "ssh://user@host:22"}, want: "ssh://user@host:22"},
		"both":               {options: Options{Host: "tcp://h:1", Context: "remote"}, want: "leave one out", fails: true},
		"unknown context":    {options: Options{ConfigDir: dir, Context: "none"}, want: "docker context ls", fails: true},
		"context of another": {options: Options{ConfigDir: dir, Context: "broken"}, want: "no docker endpoint", fails: true},
		"scheme":             {options: Options{Host: "ftp://h"}, want: "scheme", fails: true},
		"no scheme":          {options: Options{Host: "h:2375"}, want: "tcp://host:port", fails: true},
		"path":               {options: Options{Host: "tcp://h:1/x"}, want: "path", fails: true},
		"password":           {options: Options{Host: "ssh://user:pw@host"}, want: "password", fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			tt.options.Getenv = func(k string) string { return tt.env[k] }
			if tt.options.ConfigDir == "" && tt.env["DOCKER_CONFIG"] == "" {
				tt.options.ConfigDir = t.TempDir()
			}
			e, err := Open(t.Context(), tt.options)
			switch {
			case tt.fails && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("error %v, want …%s…", err, tt.want)
			case !tt.fails && err != nil:
				t.Error(err)
			case !tt.fails && e.Host() != tt.want:
				t.Errorf("host %s, want %s", e.Host(), tt.want)
			}
		})
	}
}

func TestTLS(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.45")
		w.Header().Set("Content-Type", "application/json")
		if strings.HasSuffix(r.URL.Path, "/version") {
			_, _ = w.Write([]byte(`{"Version":"27.0","Os":"linux","Arch":"arm64"}`))
		}
	}))
	defer srv.Close()
	certs := t.TempDir()
	write(t, filepath.Join(certs, "ca.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})))
	host := "tcp://" + srv.Listener.Addr().String()
	for name, tt := range map[string]struct {
		env map[string]string
		ok  bool
	}{
		"verified":    {map[string]string{"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": certs}, true},
		"unverified":  {map[string]string{"DOCKER_CERT_PATH": t.TempDir()}, true},
		"not trusted": {map[string]string{"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": t.TempDir()}, false},
		"plain":       {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := Open(t.Context(), Options{Host: host, ConfigDir: t.TempDir(), Getenv: func(k string) string { return tt.env[k] }})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = e.Close() }()
			info, err := e.Info(t.Context())
			if tt.ok && (err != nil || info.Version != "27.0" || info.Arch != "arm64" || info.APIVersion != "1.45" || info.Host != host) {
				t.Errorf("%+v, %v", info, err)
			}
			if !tt.ok && err == nil {
				t.Errorf("it works: %+v", info)
			}
		})
	}
}

func TestInfo(t *testing.T) {
	eachEngine(t, func(t *testing.T, h *harness) {
		info, err := h.Info(h.ctx)
		if err != nil || info.OS != "linux" || info.Arch == "" || info.Version == "" || info.APIVersion == "" || info.Host != h.Host() || info.BuildKit {
			t.Errorf("%+v, %v", info, err)
		}
	})
}

func TestAPIVersionFromEnvironment(t *testing.T) {
	h := newFake(t, newestFake())
	e, err := Open(t.Context(), Options{Host: h.fake.Host(), ConfigDir: t.TempDir(), Getenv: func(k string) string {
		return map[string]string{"DOCKER_API_VERSION": "1.43"}[k]
	}})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := e.Info(t.Context()); err != nil || info.APIVersion != "1.43" {
		t.Errorf("%+v, %v", info, err)
	}
}
