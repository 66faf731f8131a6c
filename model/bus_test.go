package model

import (
	"strings"
	"testing"
)

func TestBusURLs(t *testing.T) {
	for src, want := range map[string]string{
		`"redis://host:6379"`:                            "",
		`"rediss://host/1"`:                              "",
		`"redis+cluster://a:1?addr=b:2"`:                 "",
		`"nats://host"`:                                  "",
		`"redis://[fd00::1]:6379"`:                       "",
		`$REDIS_URL`:                                     "",
		`"localhost:6379"`:                               "the message bus's URL has no scheme",
		`"kafka://host"`:                                 `"kafka://" is no message bus`,
		`"redis://host:70000"`:                           `"70000" in the message bus's URL is no port`,
		`"redis://host:0"`:                               `"0" in the message bus's URL is no port`,
		`"nats://host:port"`:                             "the port in the message bus's URL is no number",
		`"redis://:se%cret@host"`:                        "the message bus's URL can't be read: a password's special characters have to be percent-encoded",
		`"redis://:6379"`:                                "the message bus's URL names no host",
		`redis { url = "nats://host" }`:                  `"nats://" is not the URL of a redis bus`,
		`nats { nats_url = "host:4222" }`:                "the message bus's URL has no scheme",
		`redis { url = "redis://127.1.2.3" }`:            "containers can't reach a message bus on 127.1.2.3: there that is the container itself",
		`"redis://localhost:6379"`:                       "containers can't reach a message bus on localhost: there that is the container itself",
		`"nats://[::1]:4222"`:                            "containers can't reach a message bus on ::1: there that is the container itself",
		`redis { redis_url = "redis://0.0.0.0:6379" }`:   "containers can't reach a message bus on 0.0.0.0: there that is the container itself",
		`redis { url = "redis://host.docker.internal" }`: "",
	} {
		_, diags := resolve(t, "d = docker { message_bus = "+src+" }")
		got := ""
		if len(diags) > 0 {
			got = diags[0].Message
		}
		if got != want || len(diags) > 1 {
			t.Errorf("%s: %v, want %q", src, diags, want)
		}
		if strings.Contains(got, "se%cret") {
			t.Errorf("%s: the password is shown", src)
		}
	}
	// What doesn't run in containers reaches this machine.
	if _, diags := resolve(t, `l = local { message_bus = "redis://127.0.0.1:6379" }`); len(diags) > 0 {
		t.Errorf("a local deployment: %v", diags)
	}
}
