package redis

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"unicode"

	"woodwork.dev/ww/runtime/bus"
)

// partitions is how many streams the queue of a component has, and so how many
// replicas can share it. The scripts know it as well.
const partitions = 16

// partition says on which of its receiver's streams a message goes: all of a
// session on one, and all copies of a message.
func partition(m *bus.Message) int {
	h := fnv.New32a()
	if m.SessionID != "" {
		_, _ = h.Write([]byte(m.SessionID)) // never fails
	} else {
		_, _ = h.Write([]byte(m.ID))
	}
	return int(h.Sum32() % partitions)
}

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
func (k keyspace) version() string { return k.of("version") }
func (k keyspace) tailing() string { return k.of("tailing") }
func (k keyspace) tail() string    { return k.of("tail") }
func (k keyspace) trail() string   { return k.of("trail") }
func (k keyspace) dropped() string { return k.of("dropped") }

func (k keyspace) stream(component string, partition int) string {
	return k.of("q", component, strconv.Itoa(partition))
}
func (k keyspace) heads(component string, partition int) string {
	return k.of("heads", component, strconv.Itoa(partition))
}
func (k keyspace) strikes(component string, partition int) string {
	return k.of("strikes", component, strconv.Itoa(partition))
}
func (k keyspace) wake(component string) string { return k.of("wake", component) }
func (k keyspace) done(component string) string { return k.of("done", component) }
func (k keyspace) dead(component string) string { return k.of("dead", component) }
func (k keyspace) inbox(instance string) string { return k.of("inbox", instance) }
