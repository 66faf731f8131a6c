package model

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"woodwork.dev/ww/syntax"
)

// Bus is the message bus that the file asks for.
type Bus struct {
	Kind     string // redis, nats or memory
	URL      Value  // string or Env; nil: ours to run
	URLAt    syntax.Span
	Settings *Map
	Span     syntax.Span
}

func (r *resolver) setBus(b *Bus) {
	if b == nil {
		return
	}
	r.checkKeys(b.Settings, busKeys[b.Kind], true, "a "+b.Kind+" bus")
	r.checkURL(b)
	if first := r.project.Bus; first != nil {
		r.errorf(b.Span, "two-buses", "one system has one bus: keep one of them", "there are two message buses").
			Related = []syntax.Related{{Span: first.Span, Message: "first declared here"}}
		return
	}
	r.project.Bus = b
}

// busValue reads the value of `message_bus`: a typed block or a URL.
func (r *resolver) busValue(f *Field) *Bus {
	switch v := f.Value.(type) {
	case *Map:
		if len(v.Head) == 1 && slices.Contains(busKinds, v.Head[0]) {
			return busFromBlock(v.Head[0], v, f.Span)
		}
		r.errorf(f.At, "bad-bus", "write `message_bus = redis { }`; buses are "+strings.Join(busKinds, ", "), "there is no such message bus")
	case string:
		kind := kindOfBus(v)
		scheme, _, ok := strings.Cut(v, "://")
		if kind == "" || !ok {
			message := "the message bus's URL has no scheme"
			if ok {
				message = fmt.Sprintf("%q is no message bus", scheme+"://")
			}
			r.errorf(f.At, "bad-bus", "begin with redis://, rediss://, nats://, tls:// or memory://, such as redis://host:6379", "%s", message)
			return nil
		}
		return &Bus{Kind: kind, URL: v, URLAt: f.At, Settings: &Map{}, Span: f.Span}
	case Env:
		return &Bus{Kind: "redis", URL: v, URLAt: f.At, Settings: &Map{}, Span: f.Span}
	case Ref:
		if slices.Contains(busKinds, v.Name) {
			r.errorf(f.At, "bad-bus", fmt.Sprintf("write `message_bus = %s {}`", v.Name), "a message bus needs a block")
			return nil
		}
		r.errorf(f.At, "bad-bus", "write `message_bus = redis { }`; buses are "+strings.Join(busKinds, ", "), "%q is no message bus", v.Name)
	default:
		r.errorf(f.At, "bad-bus", "write `message_bus = redis { }` or a URL", "this is no message bus")
	}
	return nil
}

func busFromBlock(kind string, m *Map, at syntax.Span) *Bus {
	b := &Bus{Kind: kind, Settings: m, Span: at}
	for _, k := range []string{"url", kind + "_url"} {
		if f := m.Field(k); f != nil && b.URL == nil {
			b.URL, b.URLAt = f.Value, f.At
		}
	}
	return b
}

// busSchemes is which kind of bus a URL means.
var busSchemes = map[string]string{
	"redis": "redis", "rediss": "redis", "redis+cluster": "redis", "rediss+cluster": "redis", "redis+sentinel": "redis", "rediss+sentinel": "redis",
	"nats": "nats", "tls": "nats", "ws": "nats", "wss": "nats", "memory": "memory",
}

func kindOfBus(url string) string {
	scheme, _, _ := strings.Cut(url, "://")
	return busSchemes[scheme]
}

// checkURL looks at a URL that the file itself has. It never quotes more of it
// than its scheme, host and port: the rest may be a password.
func (r *resolver) checkURL(b *Bus) {
	s, ok := b.URL.(string)
	if !ok || b.Kind == "memory" {
		return
	}
	example := map[string]string{"redis": "redis://host:6379", "nats": "nats://host:4222"}[b.Kind]
	bad := func(format string, args ...any) {
		r.errorf(b.URLAt, "bad-bus", "write a URL such as "+example, format, args...)
	}
	scheme, _, ok := strings.Cut(s, "://")
	if !ok {
		bad("the message bus's URL has no scheme")
		return
	}
	if kindOfBus(s) != b.Kind {
		bad("%q is not the URL of a %s bus", scheme+"://", b.Kind)
		return
	}
	u, err := url.Parse(s)
	if err != nil {
		if strings.Contains(err.Error(), "invalid port") {
			bad("the port in the message bus's URL is no number")
		} else {
			bad("the message bus's URL can't be read: a password's special characters have to be percent-encoded")
		}
		return
	}
	if u.Hostname() == "" {
		bad("the message bus's URL names no host")
		return
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			bad("%q in the message bus's URL is no port", p)
			return
		}
	}
	if _, has := u.User.Password(); has {
		r.warnf(b.URLAt, "password-in-file", "keep it in a variable: `url = $REDIS_URL`", "the message bus's URL holds a password")
	}
}

// reachable reports a bus that the containers of a docker deployment can't
// reach, since in each of them its host is the container itself. Without a
// deployment it is `ww compose` that would make one.
func (r *resolver) reachable() {
	b := r.project.Bus
	if b == nil {
		return
	}
	s, ok := b.URL.(string)
	if !ok {
		return
	}
	u, err := url.Parse(s)
	if err != nil || !Loopback(u.Hostname()) {
		return
	}
	isDocker := func(d *Deployment) bool { return d.Kind == "docker" }
	report := r.errorf
	switch {
	case len(r.project.Deployments) == 0:
		report = r.warnf
	case !slices.ContainsFunc(r.project.Deployments, isDocker):
		return
	}
	report(b.URLAt, "unreachable-bus", "leave `message_bus` out and ww runs one, or name the host as containers see it: a service, or host.docker.internal where the engine has that",
		"containers can't reach a message bus on %s: there that is the container itself", u.Hostname())
}

// Loopback tells of a host that is another machine for each container.
func Loopback(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && (ip.Unmap().IsLoopback() || ip.IsUnspecified())
}
