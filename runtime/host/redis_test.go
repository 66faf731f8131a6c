package host_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus/bustest"
	"woodwork.dev/ww/runtime/component"
	"woodwork.dev/ww/runtime/component/builtin"
	"woodwork.dev/ww/runtime/component/componenttest"
	"woodwork.dev/ww/runtime/host"
)

// fromEnv returns the options of a container with that configuration.
func fromEnv(t *testing.T, url, secrets string, c component.Config) host.Options {
	t.Helper()
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{
		"COMPONENT_NAME": c.Name, "COMPONENT_TYPE": c.Kind + " " + c.Type, "COMPONENT_CONFIG": string(raw),
		"WOODWORK_MESSAGE_BUS": url, "WW_PROJECT": "p", "WW_SECRETS_DIR": secrets,
	}
	o, err := host.FromEnv(func(name string) string { return env[name] }, builtin.Builders())
	if err != nil {
		t.Fatal(err)
	}
	o.Addr, o.Stdin = "127.0.0.1:0", nil
	return o
}

func post(t *testing.T, addr, accept, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// TestSystemOnRedis runs a whole system as its containers would: an api, two
// templates, one that joins them, and a console.
func TestSystemOnRedis(t *testing.T) {
	const password = "bus-pass-word"
	server := bustest.NewRedis(t, "--appendonly", "no", "--requirepass", password)
	secrets := t.TempDir()
	if err := os.WriteFile(filepath.Join(secrets, "bus_password"), []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	component := func(kind, typ, name, settings string, to ...string) *running {
		return start(t, fromEnv(t, server.URL, secrets, component.Config{Name: name, Kind: kind, Type: typ, To: to, Settings: json.RawMessage(settings)}))
	}
	screen := &componenttest.Buffer{}
	out := fromEnv(t, server.URL, secrets, componentConfig("output", "console", "screen"))
	out.Stdout = screen
	start(t, out)
	component("core", "template", "both", `{"template":"{{.parts.a}} {{.parts.b}}","join":["a","b"]}`, "screen")
	component("core", "template", "a", `{"template":"{{upper .payload}}"}`, "both")
	component("core", "template", "b", `{"template":"{{lower .payload}}"}`, "both")
	in := component("input", "api", "in", `{"timeout":"20s"}`, "a", "b")
	for range 20 {
		status, body := post(t, in.addr, "", `{"value":"Hello","session":"s"}`)
		if status != 200 || !strings.Contains(body, `"value":"HELLO hello"`) || !strings.Contains(body, `"session_id":"s"`) {
			t.Fatalf("got %d %s", status, body)
		}
	}
	if got, want := screen.String(), strings.Repeat("HELLO hello\n", 20); got != want {
		t.Errorf("the console shows %q", got)
	}

	// The bus goes away and comes back: so does readiness, by itself.
	server.Kill()
	in.eventually("/readyz", 503, "the message bus can't be reached")
	if status, body := post(t, in.addr, "", `1`); status != 503 || body != `{"error":"the component can't deliver messages now: try again later"}`+"\n" {
		t.Errorf("without the bus: %d %s", status, body)
	}
	if _, body := in.get("/readyz"); !strings.Contains(body, `"ready":false,"state":"disconnected"`) {
		t.Errorf("readyz: %s", body)
	}
	if _, body := in.get("/health"); !strings.Contains(body, `"state":"disconnected"`) || !strings.Contains(body, `"bus":{"reachable":false,"error":`) {
		t.Errorf("health: %s", body)
	}
	server.Start()
	if err := host.Probe(t.Context(), in.addr, patience); err != nil {
		t.Fatal(err)
	}
	status, body := post(t, in.addr, "text/event-stream", `"Again"`)
	if status != 200 || !strings.Contains(body, `"value":"AGAIN again"`) {
		t.Errorf("after that: %d %s", status, body)
	}
	if log := in.log.String(); strings.Contains(log, password) || !strings.Contains(log, "the message bus is back") {
		t.Errorf("log: %s", log)
	}
	if err := in.stop(); err != nil {
		t.Error(err)
	}
}

func componentConfig(kind, typ, name string) component.Config {
	return component.Config{Name: name, Kind: kind, Type: typ}
}

func TestWrongBusPassword(t *testing.T) {
	server := bustest.NewRedis(t, "--appendonly", "no", "--requirepass", "right-one")
	secrets := t.TempDir()
	if err := os.WriteFile(filepath.Join(secrets, "bus_password"), []byte("wrong-one"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := launch(t, fromEnv(t, server.URL, secrets, componentConfig("output", "console", "c")))
	r.eventually("/readyz", 503, "WRONGPASS")
	if _, body := r.get("/readyz"); strings.Contains(body, "wrong-one") {
		t.Errorf("the password is shown: %s", body)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

func TestFromEnv(t *testing.T) {
	good := map[string]string{
		"COMPONENT_NAME": "c", "COMPONENT_TYPE": "output console", "WOODWORK_MESSAGE_BUS": "redis://message-bus:6379",
		"COMPONENT_CONFIG": `{"name":"c","kind":"output","type":"console","to":["d"],"settings":{"raw":true}}`,
	}
	for _, tt := range []struct{ name, value, want string }{
		{"", "", ""},
		{"COMPONENT_NAME", "", ""},
		{"COMPONENT_TYPE", "console", ""},
		{"COMPONENT_TYPE", "", ""},
		{"COMPONENT_NAME", "d", `COMPONENT_NAME says "d", but COMPONENT_CONFIG says "c"`},
		{"COMPONENT_TYPE", "output api", `COMPONENT_TYPE says "api", but COMPONENT_CONFIG says "console"`},
		{"COMPONENT_CONFIG", "", ""},
		{"COMPONENT_CONFIG", `{"name":"topsecret}`, `COMPONENT_CONFIG is no JSON of a component`},
		{"COMPONENT_CONFIG", `{} {}`, `COMPONENT_CONFIG is no JSON of a component`},
		{"WOODWORK_MESSAGE_BUS", "", `WOODWORK_MESSAGE_BUS is not set`},
		{"WOODWORK_MESSAGE_BUS", "message-bus", `WOODWORK_MESSAGE_BUS: it is no URL`},
		{"WOODWORK_MESSAGE_BUS", "nats://x:1", ""},
		{"WOODWORK_MESSAGE_BUS", "amqp://x:1", `WOODWORK_MESSAGE_BUS: `},
	} {
		o, err := host.FromEnv(func(name string) string {
			if name == tt.name {
				return tt.value
			}
			return good[name]
		}, builtin.Builders())
		if tt.want != "" {
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "topsecret") {
				t.Errorf("%s=%s: %v", tt.name, tt.value, err)
			}
			continue
		}
		if err != nil || o.Name != "c" || o.Config.Kind != "output" || o.Config.Type != "console" || o.OpenBus == nil || o.SecretsDir != host.DefaultSecretsDir {
			t.Errorf("%s=%s: %+v, %v", tt.name, tt.value, o, err)
		}
	}
	if _, err := host.FromEnv(func(string) string { return "" }, nil); err == nil || !strings.Contains(err.Error(), "COMPONENT_NAME") {
		t.Errorf("an empty environment: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	o := fromEnv(t, "redis://127.0.0.1:1", t.TempDir(), componentConfig("output", "console", "c"))
	if _, _, err := o.OpenBus(ctx); err == nil {
		t.Error("a bus where none is")
	}
}

func FuzzFromEnv(f *testing.F) {
	f.Add("c", "output console", `{"name":"c","to":["d"]}`, "redis://x:1")
	f.Fuzz(func(t *testing.T, name, typ, config, url string) {
		env := map[string]string{"COMPONENT_NAME": name, "COMPONENT_TYPE": typ, "COMPONENT_CONFIG": config, "WOODWORK_MESSAGE_BUS": url}
		o, err := host.FromEnv(func(n string) string { return env[n] }, nil)
		if err == nil && (o.Config.Name == "" || o.Config.Kind == "" || o.Config.Type == "" || o.OpenBus == nil) {
			t.Errorf("%+v", o)
		}
	})
}
