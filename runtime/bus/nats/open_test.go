package nats_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/bus/bustest"
	"woodwork.dev/ww/runtime/bus/nats"
	"woodwork.dev/ww/runtime/bus/nats/embedded"
)

const secret = "s3cr3t-p4ss"

func TestOpenErrors(t *testing.T) {
	locked := start(t, embedded.Options{MemoryOnly: true, Password: "right"})
	refused := bustest.Nobody()
	for name, test := range map[string]struct {
		opts nats.Options
		want []string
	}{
		"no URL":         {nats.Options{Password: secret}, []string{"nats://"}},
		"other scheme":   {nats.Options{URL: "http://u:" + secret + "@h:1"}, []string{"nats://", "tls://"}},
		"broken URL":     {nats.Options{URL: "nats://u:" + secret + "/x#@h:port"}, []string{"can't be read", "percent-encoded"}},
		"broken escape":  {nats.Options{URL: "nats://u:" + secret + "%zz@h"}, []string{"percent-encoded"}},
		"long project":   {nats.Options{URL: "nats://h", Project: strings.Repeat("x", 200)}, []string{"project", "128"}},
		"refused":        {nats.Options{URL: "nats://u:" + secret + "@" + refused}, []string{refused, "refused", "running"}},
		"unknown host":   {nats.Options{URL: "nats://u:" + secret + "@no-such-host.invalid"}, []string{"no-such-host.invalid:4222", "check"}},
		"wrong password": {nats.Options{URL: locked.URL(), Password: secret}, []string{locked.Addr(), "refuses the password"}},
		"wrong in URL":   {nats.Options{URL: "nats://ww:" + secret + "@" + locked.Addr()}, []string{locked.Addr(), "refuses the password"}},
		"wrong token":    {nats.Options{URL: "nats://" + secret + "@" + locked.Addr()}, []string{locked.Addr(), "refuses the password"}},
		"no password":    {nats.Options{URL: locked.URL()}, []string{locked.Addr(), "wants a password"}},
		"no TLS":         {nats.Options{URL: strings.Replace(locked.URL(), "nats:", "tls:", 1)}, []string{locked.Addr()}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			b, err := nats.Open(ctx, test.opts)
			if err == nil {
				b.Close()
				t.Fatal("opened")
			}
			for _, w := range test.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q doesn't contain %q", err, w)
				}
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the password is in %q", err)
			}
		})
	}
}

func TestPassword(t *testing.T) {
	server := start(t, embedded.Options{MemoryOnly: true, Password: "right"})
	for _, o := range []nats.Options{
		{URL: server.URL(), Password: "right"},
		{URL: "nats://ww:right@" + server.Addr()},
	} {
		if err := open(t, o).Healthy(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestDownAndBack(t *testing.T) {
	server := bustest.NewNATS(t)
	server.Kill()
	opened := make(chan *nats.Bus, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		b, err := nats.Open(ctx, fast(server.URL, "p"))
		if err != nil {
			t.Error(err)
		}
		opened <- b
	}()
	server.Start() // Open waits for it
	b := receive(t, opened, "Open")
	if b == nil {
		return
	}
	defer b.Close()
	got := sink(t, b, "a")
	server.Kill()
	bustest.Until(t, "the loss to be seen", func() bool {
		err := b.Healthy(t.Context())
		return err != nil && strings.Contains(err.Error(), server.Addr)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := b.Publish(ctx, bus.Message{Target: "a"})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), server.Addr) {
		t.Errorf("publish while it is down: %v", err)
	}
	server.Start()
	publish(t, b, message("a", 1))
	receive(t, got, "a message after the restart")
	if err := b.Healthy(t.Context()); err != nil {
		t.Errorf("healthy when it is back: %v", err)
	}
}

// A server that takes less than messages may have says so at once.
func TestSmallServer(t *testing.T) {
	b := open(t, fast(bustest.StartNATS(t, "max_payload: 64KB"), "p"))
	m := bus.Message{Target: "a", Payload: []byte(`"` + strings.Repeat("x", 70<<10) + `"`)}
	if err := b.Publish(t.Context(), m); !errors.Is(err, bus.ErrTooLarge) || !strings.Contains(err.Error(), "max_payload") {
		t.Errorf("got %v", err)
	}
}
