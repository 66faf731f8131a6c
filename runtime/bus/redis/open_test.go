package redis_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/bus/bustest"
	"woodwork.dev/ww/runtime/bus/redis"
)

const secret = "s3cr3t-p4ss"

func TestOpenErrors(t *testing.T) {
	locked := bustest.NewRedis(t, "--requirepass", "right")
	openServer := bustest.StartRedis(t)
	refused := bustest.Nobody()
	for name, test := range map[string]struct {
		opts redis.Options
		want []string
	}{
		"no URL":         {redis.Options{Password: secret}, []string{"redis://"}},
		"other scheme":   {redis.Options{URL: "http://:" + secret + "@h:1"}, []string{"redis://", "rediss://"}},
		"broken URL":     {redis.Options{URL: "redis://:" + secret + "/x#@h:port"}, []string{"can't be read", "percent-encoded"}},
		"broken escape":  {redis.Options{URL: "redis://:" + secret + "%zz@h"}, []string{"percent-encoded"}},
		"bad database":   {redis.Options{URL: "redis://:" + secret + "@h:1/" + secret}, []string{"host h", "DATABASE"}},
		"bad project":    {redis.Options{URL: "redis://h", Project: "a:b"}, []string{"project"}},
		"refused":        {redis.Options{URL: "redis://:" + secret + "@" + refused}, []string{refused, "refused", "running"}},
		"unknown host":   {redis.Options{URL: "redis://:" + secret + "@no-such-host.invalid:6379"}, []string{"no-such-host.invalid", "check"}},
		"wrong password": {redis.Options{URL: locked.URL, Password: secret}, []string{locked.Addr, "refuses the password"}},
		"wrong in URL":   {redis.Options{URL: "redis://:" + secret + "@" + locked.Addr}, []string{locked.Addr, "refuses the password"}},
		"no password":    {redis.Options{URL: locked.URL}, []string{locked.Addr, "password"}},
		"no TLS":         {redis.Options{URL: strings.Replace(openServer, "redis:", "rediss:", 1)}, []string{"127.0.0.1"}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			b, err := redis.Open(ctx, test.opts)
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

func TestOpenWaitsForServer(t *testing.T) {
	server := bustest.NewRedis(t)
	server.Kill()
	opened := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		b, err := redis.Open(ctx, fast(server.URL, "p"))
		if err == nil {
			err = b.Close()
		}
		opened <- err
	}()
	server.Start()
	if err := receive(t, opened, "Open"); err != nil {
		t.Error(err)
	}
}

func TestPassword(t *testing.T) {
	server := bustest.NewRedis(t, "--requirepass", "right")
	b := open(t, redis.Options{URL: server.URL, Password: "right"})
	if err := b.Healthy(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestDownAndBack(t *testing.T) {
	server := bustest.NewRedis(t)
	b := open(t, fast(server.URL, "p"))
	server.Kill()
	if err := b.Healthy(t.Context()); err == nil || !strings.Contains(err.Error(), server.Addr) {
		t.Errorf("healthy while it is down: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := b.Publish(ctx, bus.Message{Target: "a"})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), server.Addr) {
		t.Errorf("publish while it is down: %v", err)
	}
	server.Start()
	publish(t, b, bus.Message{Target: "a"})
	if err := b.Healthy(t.Context()); err != nil {
		t.Errorf("healthy when it is back: %v", err)
	}
}
