package redis

import (
	"fmt"
	"strings"
	"unicode"
)

const group = "ww"

// keyspace is the prefix of all keys of a project.
type keyspace string

func newKeyspace(project string) (keyspace, error) {
	if project == "" {
		project = "default"
	}
	for _, r := range project {
		if strings.ContainsRune("{}:", r) || unicode.IsSpace(r) || unicode.IsControl(r) {
			return "", fmt.Errorf("project %q contains %q, which the bus can't have in a name", project, r)
		}
	}
	return keyspace("ww:{" + project + "}:"), nil
}

func (k keyspace) of(parts ...string) string { return string(k) + strings.Join(parts, ":") }

func (k keyspace) queues() string  { return k.of("queues") }
func (k keyspace) subs() string    { return k.of("subs") }
func (k keyspace) dropped() string { return k.of("dropped") }

func (k keyspace) stream(component string) string  { return k.of("q", component) }
func (k keyspace) delayed(component string) string { return k.of("delayed", component) }
func (k keyspace) dead(component string) string    { return k.of("dead", component) }
func (k keyspace) alive(component, instance string) string {
	return k.of("alive", component, instance)
}
func (k keyspace) inbox(instance string) string { return k.of("inbox", instance) }

// message lists the keys that scripts about one message get first.
func (k keyspace) message(component, session, id string) []string {
	return []string{
		k.stream(component),
		k.delayed(component),
		k.dead(component),
		k.of("heads", component),
		k.of("parkedn", component),
		k.of("parked", component, session),
		k.of("done", component, id),
	}
}
