// Package connect opens a message bus by its URL. It alone knows the backends.
package connect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/bus/memory"
	"woodwork.dev/ww/runtime/bus/nats"
	"woodwork.dev/ww/runtime/bus/redis"
	"woodwork.dev/ww/runtime/registry"
)

// Memory is the URL of a bus within this process.
const Memory = "memory://"

// Options of a bus.
type Options struct {
	URL      string
	Password string // in place of the URL's
	Project  string // keeps systems apart that share a server
	Log      *slog.Logger
}

// Check says why a URL can't be that of a bus. It never quotes the URL, which
// may hold a password.
func Check(url string) error {
	_, err := backend(url)
	return err
}

func backend(url string) (string, error) {
	scheme, rest, ok := strings.Cut(url, "://")
	switch {
	case !ok:
		return "", errors.New("it is no URL such as redis://message-bus:6379 or nats://message-bus:4222")
	case scheme == "memory":
		return "memory", nil
	case rest == "":
		return "", fmt.Errorf("the URL names no host: write %s://HOST[:PORT]", scheme)
	}
	switch scheme {
	case "redis", "rediss", "unix", "redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel":
		return "redis", nil
	case "nats", "tls", "ws", "wss":
		return "nats", nil
	}
	return "", fmt.Errorf("it has the scheme %q: a bus has redis://, rediss://, unix://, nats://, tls:// or memory://", scheme)
}

// Open connects to the bus that the URL names, and to its registry, which lives
// as long as the bus. It goes on trying until ctx is done; that the bus can't
// be reached is an error, and never a reason to take another.
func Open(ctx context.Context, o Options) (bus.Bus, registry.Registry, error) {
	kind, err := backend(o.URL)
	if err != nil {
		return nil, nil, fmt.Errorf("the URL of the bus: %w", err)
	}
	switch kind {
	case "redis":
		b, err := redis.Open(ctx, redis.Options{URL: o.URL, Password: o.Password, Project: o.Project, Log: o.Log})
		if err != nil {
			return nil, nil, err
		}
		return b, b.Registry(), nil
	case "nats":
		b, err := nats.Open(ctx, nats.Options{URL: o.URL, Password: o.Password, Project: o.Project, Log: o.Log})
		if err != nil {
			return nil, nil, err
		}
		return b, b.Registry(), nil
	default:
		return memory.New(memory.Options{Log: o.Log}), registry.NewMemory(), nil
	}
}

// FromEnv returns the URL of the bus that the environment asks for: what
// WOODWORK_MESSAGE_BUS says, or else REDIS_URL, or else NATS_URL. Where all are
// empty, or WOODWORK_MESSAGE_BUS is "auto" and the others are empty, it is up
// to WOODWORK_ENV: development gets a bus in memory, anything else is an error,
// since it would lose what it is given.
func FromEnv(getenv func(string) string) (url string, err error) {
	if url := getenv("WOODWORK_MESSAGE_BUS"); url != "" && url != "auto" {
		return named("WOODWORK_MESSAGE_BUS", url)
	}
	for _, variable := range []string{"REDIS_URL", "NATS_URL"} {
		if url := getenv(variable); url != "" {
			return named(variable, url)
		}
	}
	switch env := getenv("WOODWORK_ENV"); env {
	case "development":
		return Memory, nil
	case "":
		return "", errors.New("WOODWORK_MESSAGE_BUS is not set: give it the URL of the bus, such as redis://message-bus:6379; " +
			"or WOODWORK_ENV=development for one in memory")
	default:
		return "", fmt.Errorf("WOODWORK_ENV is %q and there is no bus: set WOODWORK_MESSAGE_BUS to its URL, such as redis://message-bus:6379", env)
	}
}

// named accepts file:// as well, for whoever keeps the URL in a file.
func named(variable, url string) (string, error) {
	if strings.HasPrefix(url, "file://") {
		return url, nil
	}
	if err := Check(url); err != nil {
		return "", fmt.Errorf("%s: %w", variable, err)
	}
	return url, nil
}
