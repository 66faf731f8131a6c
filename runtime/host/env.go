package host

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path"
	"strings"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/bus/redis"
	"woodwork.dev/ww/runtime/component"
	"woodwork.dev/ww/runtime/registry"
)

// openTimeout is how long one attempt to connect to the bus takes.
const openTimeout = 5 * time.Second

// FromEnv makes the options of a host from the environment of its container:
//
//	COMPONENT_NAME        the name of the component
//	COMPONENT_TYPE        "KIND TYPE", or TYPE alone where the configuration has the kind
//	COMPONENT_CONFIG      component.Config as JSON
//	WOODWORK_MESSAGE_BUS  redis://message-bus:6379, or file:///run/secrets/NAME
//	                      where the URL itself is a secret
//	WW_PROJECT            the project, which prefixes all keys on the bus; "default" if absent
//	WW_GRACE              time for stopping, such as 10s
//	WW_SECRETS_DIR        where secrets are files; /run/secrets if absent
//
// The password of the bus is in the secret bus_password, where there is one.
func FromEnv(getenv func(string) string, builders map[string]component.Builder) (Options, error) {
	c, err := configFromEnv(getenv)
	if err != nil {
		return Options{}, err
	}
	o := Options{Name: c.Name, Config: c, Builders: builders, Stdin: os.Stdin}
	o.SecretsDir = cmp.Or(getenv("WW_SECRETS_DIR"), DefaultSecretsDir)
	o.secrets = component.NewSecrets(component.SecretFiles(o.SecretsDir))
	o.Log = slog.New(slog.NewJSONHandler(os.Stderr, nil))
	if g := getenv("WW_GRACE"); g != "" {
		if o.Grace, err = time.ParseDuration(g); err != nil {
			return Options{}, fmt.Errorf("WW_GRACE: %w", err)
		}
	}
	if o.Concurrency, err = concurrency(c); err != nil {
		return Options{}, err
	}
	o.OpenBus, err = busFromEnv(getenv, o.secrets, o.Log)
	return o, err
}

// concurrency reads the setting of that name, which is every component's.
func concurrency(c component.Config) (int, error) {
	var s struct {
		Concurrency int `json:"concurrency"`
	}
	if len(c.Settings) > 0 && json.Unmarshal(c.Settings, &s) != nil || s.Concurrency < 0 {
		return 0, errors.New("the setting concurrency has to be a whole number from 1 on")
	}
	return s.Concurrency, nil
}

func configFromEnv(getenv func(string) string) (component.Config, error) {
	var c component.Config
	if text := getenv("COMPONENT_CONFIG"); text != "" {
		// The text may hold what isn't for a log, so the error doesn't quote it.
		if err := json.Unmarshal([]byte(text), &c); err != nil {
			return c, errors.New(`COMPONENT_CONFIG is no JSON of a component: want {"name", "kind", "type", "to", "settings"}`)
		}
	}
	if err := agree("COMPONENT_NAME", getenv("COMPONENT_NAME"), &c.Name); err != nil {
		return c, err
	}
	kind, typ, two := strings.Cut(getenv("COMPONENT_TYPE"), " ")
	if !two {
		kind, typ = "", kind
	}
	if err := errors.Join(agree("COMPONENT_TYPE", kind, &c.Kind), agree("COMPONENT_TYPE", typ, &c.Type)); err != nil {
		return c, err
	}
	if c.Name == "" || c.Kind == "" || c.Type == "" {
		return c, errors.New("no component is configured: set COMPONENT_NAME, COMPONENT_TYPE and COMPONENT_CONFIG")
	}
	return c, nil
}

// agree fills in what is empty and refuses what contradicts.
func agree(variable, value string, field *string) error {
	if value == "" || value == *field {
		return nil
	}
	if *field != "" {
		return fmt.Errorf("%s says %q, but COMPONENT_CONFIG says %q", variable, value, *field)
	}
	*field = value
	return nil
}

func busFromEnv(getenv func(string) string, secrets *component.Secrets, log *slog.Logger) (func(context.Context) (bus.Bus, registry.Registry, error), error) {
	address, project := getenv("WOODWORK_MESSAGE_BUS"), getenv("WW_PROJECT")
	if name, ok := strings.CutPrefix(address, "file://"); ok {
		url, err := secrets.Lookup(path.Base(name))
		if err != nil {
			return nil, fmt.Errorf("the URL of the bus: %w", err)
		}
		address = url
	}
	u, err := url.Parse(address)
	switch {
	case address == "":
		return nil, errors.New("WOODWORK_MESSAGE_BUS is not set: give it the URL of the bus, such as redis://message-bus:6379")
	case err != nil || u.Host == "":
		return nil, errors.New("WOODWORK_MESSAGE_BUS is no URL such as redis://message-bus:6379")
	case u.Scheme != "redis" && u.Scheme != "rediss":
		return nil, fmt.Errorf("WOODWORK_MESSAGE_BUS has the scheme %q: a component needs redis:// or rediss://", u.Scheme)
	}
	return func(ctx context.Context) (bus.Bus, registry.Registry, error) {
		password, err := secrets.Lookup(busPassword)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, err
		}
		// Open goes on trying by itself, but only its error says why it must.
		ctx, cancel := context.WithTimeout(ctx, openTimeout)
		defer cancel()
		b, err := redis.Open(ctx, redis.Options{URL: address, Password: password, Project: project, Log: slog.New(secrets.Handler(log.Handler()))})
		if err != nil {
			return nil, nil, err
		}
		return b, b.Registry(), nil
	}, nil
}
