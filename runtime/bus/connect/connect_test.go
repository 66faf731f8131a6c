package connect_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/bus/bustest"
	"woodwork.dev/ww/runtime/bus/connect"
	"woodwork.dev/ww/runtime/bus/nats/embedded"
	"woodwork.dev/ww/runtime/registry"
)

const secret = "s3cr3t"

// Whatever the URL names takes a message and an announcement.
func TestOpen(t *testing.T) {
	server, err := embedded.Start(embedded.Options{MemoryOnly: true, Password: secret})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	for name, o := range map[string]connect.Options{
		"memory": {URL: connect.Memory},
		"redis":  {URL: bustest.StartRedis(t)},
		"nats":   {URL: server.URL(), Password: secret},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			b, r, err := connect.Open(ctx, o)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			if err := b.Publish(ctx, bus.Message{Target: "a", Payload: json.RawMessage("1")}); err != nil {
				t.Error(err)
			}
			if err := r.Announce(ctx, registry.Entry{Name: "a", Instance: "1"}); err != nil {
				t.Error(err)
			}
			if es, err := r.List(ctx); err != nil || len(es) != 1 {
				t.Errorf("registry: %+v, %v", es, err)
			}
		})
	}
}

// A bus that can't be reached is an error, of which the password is no part.
func TestOpenErrors(t *testing.T) {
	nobody := bustest.Nobody()
	for url, want := range map[string]string{
		"redis://:" + secret + "@" + nobody:   nobody,
		"nats://u:" + secret + "@" + nobody:   nobody,
		"amqp://u:" + secret + "@" + nobody:   `scheme "amqp"`,
		"nats://u:" + secret + "@h:x%zz":      "percent-encoded",
		secret:                                "no URL",
		"nats://":                             "no host",
		"redis://:" + secret + "@h:1/notanum": "DATABASE",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		b, _, err := connect.Open(ctx, connect.Options{URL: url})
		cancel()
		switch {
		case err == nil:
			b.Close()
			t.Errorf("%s: opened", url)
		case !strings.Contains(err.Error(), want):
			t.Errorf("%s: %q doesn't contain %q", url, err, want)
		case strings.Contains(err.Error(), secret):
			t.Errorf("the password is in %q", err)
		}
	}
}

func TestFromEnv(t *testing.T) {
	for _, test := range []struct {
		env       map[string]string
		want, err string
	}{
		{env: map[string]string{"WOODWORK_MESSAGE_BUS": "nats://a", "REDIS_URL": "redis://b"}, want: "nats://a"},
		{env: map[string]string{"WOODWORK_MESSAGE_BUS": "file:///run/secrets/X"}, want: "file:///run/secrets/X"},
		{env: map[string]string{"WOODWORK_MESSAGE_BUS": "auto", "REDIS_URL": "redis://b", "NATS_URL": "nats://c"}, want: "redis://b"},
		{env: map[string]string{"NATS_URL": "nats://c", "WOODWORK_ENV": "development"}, want: "nats://c"},
		{env: map[string]string{"WOODWORK_ENV": "development"}, want: connect.Memory},
		{env: map[string]string{"WOODWORK_ENV": "production"}, err: "no bus"},
		{env: map[string]string{}, err: "WOODWORK_MESSAGE_BUS is not set"},
		{env: map[string]string{"NATS_URL": "http://" + secret}, err: "NATS_URL"},
	} {
		got, err := connect.FromEnv(func(k string) string { return test.env[k] })
		if got != test.want || (err == nil) != (test.err == "") {
			t.Errorf("%v: got %q, %v", test.env, got, err)
		}
		if err != nil && (!strings.Contains(err.Error(), test.err) || strings.Contains(err.Error(), secret)) {
			t.Errorf("%v: %v", test.env, err)
		}
	}
}
