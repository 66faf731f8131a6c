package host

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"strings"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/bus/connect"
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
//	WOODWORK_MESSAGE_BUS  redis://message-bus:6379, nats://message-bus:4222, or
//	                      file:///run/secrets/NAME where the URL itself is a secret;
//	                      see connect.FromEnv for what holds where it is absent
//	WW_PROJECT            the project, which prefixes all keys on the bus; "default" if absent
//	WW_ADDR               where its HTTP server listens; :8080 if absent
//	WW_GRACE              time for stopping, such as 10s
//	WW_SECRETS_DIR        where secrets are files; /run/secrets if absent
//
//	OTEL_EXPORTER_OTLP_ENDPOINT  who takes traces, such as http://collector:4318; none if
//	                             absent. The other variables of OTLP over HTTP hold too
//
// The password of the bus is in the secret bus_password, where there is one.
func FromEnv(getenv func(string) string, builders map[string]component.Builder) (Options, error) {
	c, err := configFromEnv(getenv)
	if err != nil {
		return Options{}, err
	}
	dir := cmp.Or(getenv("WW_SECRETS_DIR"), DefaultSecretsDir)
	o, err := New(c, builders, component.SecretFiles(dir))
	if err != nil {
		return Options{}, err
	}
	o.Stdin, o.Addr, o.SecretsDir = os.Stdin, getenv("WW_ADDR"), dir
	o.Log = slog.New(slog.NewJSONHandler(os.Stderr, nil))
	if g := getenv("WW_GRACE"); g != "" {
		if o.Grace, err = time.ParseDuration(g); err != nil {
			return Options{}, fmt.Errorf("WW_GRACE: %w", err)
		}
	}
	o.Traces = tracesFromEnv(getenv)
	o.OpenBus, err = busFromEnv(getenv, o.secrets, o.Log)
	return o, err
}

// New makes the options of a host from a component's configuration alone: its
// settings of the queue are read, and the rest is as in the zero Options. secret
// gives the values of secrets.
func New(c component.Config, builders map[string]component.Builder, secret func(name string) (string, error)) (Options, error) {
	o := Options{Name: c.Name, Config: c, Builders: builders, secrets: component.NewSecrets(secret)}
	return o, o.queueSettings()
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
	address, err := connect.FromEnv(getenv)
	if err != nil {
		return nil, err
	}
	if name, ok := strings.CutPrefix(address, "file://"); ok {
		if address, err = secrets.Lookup(path.Base(name)); err != nil {
			return nil, fmt.Errorf("the URL of the bus: %w", err)
		}
		if err := connect.Check(address); err != nil {
			return nil, fmt.Errorf("the URL of the bus, in %s: %w", name, err)
		}
	}
	o := connect.Options{URL: address, Project: getenv("WW_PROJECT"), Log: slog.New(secrets.Handler(log.Handler()))}
	return func(ctx context.Context) (bus.Bus, registry.Registry, error) {
		o := o
		var err error
		if o.Password, err = secrets.Lookup(busPassword); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, err
		}
		// Open goes on trying by itself, but only its error says why it must.
		ctx, cancel := context.WithTimeout(ctx, openTimeout)
		defer cancel()
		return connect.Open(ctx, o)
	}, nil
}
