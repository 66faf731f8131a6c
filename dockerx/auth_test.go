package dockerx

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"woodwork.dev/ww/dockerx/enginetest"
)

func newestFake() enginetest.Options { return enginetest.Options{} }

// installHelper puts a credential helper on the path that answers with text.
func installHelper(t *testing.T, name, text string, code string) {
	t.Helper()
	dir := t.TempDir()
	script := "#!/bin/sh\nread server\nprintf '%s' '" + text + "'\nexit " + code + "\n"
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-"+name), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestCredentials(t *testing.T) {
	auth := base64.StdEncoding.EncodeToString([]byte("user:pass:word"))
	installHelper(t, "good", `{"ServerURL":"x","Username":"from-helper","Secret":"s"}`, "0")
	installHelper(t, "token", `{"Username":"<token>","Secret":"identity"}`, "0")
	installHelper(t, "empty", "credentials not found in native keychain", "1")
	installHelper(t, "bad", `hidden-value`, "1")
	for name, tt := range map[string]struct {
		config, host             string
		user, password, identity string
		fails                    bool
	}{
		"none":              {config: `{}`, host: "r.example"},
		"file":              {config: `{"auths":{"r.example":{"auth":"` + auth + `"}}}`, host: "r.example", user: "user", password: "pass:word"},
		"file, as a URL":    {config: `{"auths":{"https://r.example/v1/":{"auth":"` + auth + `"}}}`, host: "r.example", user: "user", password: "pass:word"},
		"hub":               {config: `{"auths":{"https://index.docker.io/v1/":{"auth":"` + auth + `"}}}`, host: "docker.io", user: "user", password: "pass:word"},
		"another registry":  {config: `{"auths":{"r.example":{"auth":"` + auth + `"}}}`, host: "other.example"},
		"identity token":    {config: `{"auths":{"r.example":{"identitytoken":"i"}}}`, host: "r.example", identity: "i"},
		"store":             {config: `{"credsStore":"good"}`, host: "r.example", user: "from-helper", password: "s"},
		"helper":            {config: `{"credsStore":"bad","credHelpers":{"r.example":"token"}}`, host: "r.example", identity: "identity"},
		"helper knows none": {config: `{"credsStore":"empty"}`, host: "r.example"},
		"helper fails":      {config: `{"credsStore":"bad"}`, host: "r.example", fails: true},
		"helper missing":    {config: `{"credsStore":"missing"}`, host: "r.example", fails: true},
		"helper is a path":  {config: `{"credsStore":"../x"}`, host: "r.example", fails: true},
		"no base64":         {config: `{"auths":{"r.example":{"auth":"hidden-value!"}}}`, host: "r.example", fails: true},
		"no JSON":           {config: `{"auths":{"r.example":{"auth":hidden-value}}}`, host: "r.example", fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "config.json"), tt.config)
			e := &Engine{configDir: dir}
			got, err := e.credentials(t.Context(), tt.host)
			if (err != nil) != tt.fails {
				t.Fatalf("error %v", err)
			}
			if err != nil && strings.Contains(err.Error(), "hidden-value") {
				t.Errorf("a value is in %q", err)
			}
			if got.Username != tt.user || got.Password != tt.password || got.IdentityToken != tt.identity {
				t.Errorf("%+v", got)
			}
		})
	}
}
