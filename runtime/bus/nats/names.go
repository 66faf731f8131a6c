package nats

import (
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"

	"woodwork.dev/ww/runtime/bus"
)

// partitions is how many parts a component's queue has: the most replicas that
// work on it at the same time.
const partitions = 16

// names are the subjects, streams and buckets of a project.
type names struct{ project string }

func newNames(project string) (names, error) {
	if project == "" {
		project = "default"
	}
	t := token(project)
	if len(t) > 128 {
		return names{}, fmt.Errorf("project %q is too long for the name of a stream: at most 128 letters", project[:32]+"…")
	}
	return names{t}, nil
}

// token writes any name so that it can be a part of a subject, of a key and of
// a stream's name: what isn't a letter, a digit or - is _ and two hex digits,
// an underscore is two.
func token(name string) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-':
			b.WriteByte(c)
		case c == '_':
			b.WriteString("__")
		default:
			fmt.Fprintf(&b, "_%02X", c)
		}
	}
	return b.String()
}

func untoken(t string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(t); i++ {
		switch {
		case t[i] != '_':
			b.WriteByte(t[i])
		case i+1 < len(t) && t[i+1] == '_':
			b.WriteByte('_')
			i++
		case i+2 < len(t):
			c, err := strconv.ParseUint(t[i+1:i+3], 16, 8)
			if err != nil {
				return "", err
			}
			b.WriteByte(byte(c))
			i += 2
		default:
			return "", errors.New("a name ends in the middle of an escape")
		}
	}
	return b.String(), nil
}

func (n names) stream(kind string) string { return "ww_" + n.project + "_" + kind }

func (n names) subject(parts ...string) string {
	return "ww." + n.project + "." + strings.Join(parts, ".")
}

// queue is the subject of one part of a component's queue.
func (n names) queue(component string, part int) string {
	return n.subject("q", token(component), strconv.Itoa(part))
}

// queues covers all parts of a component's queue.
func (n names) queues(component string) string { return n.subject("q", token(component), "*") }

// queued takes the subject of a queue apart.
func (n names) queued(subject string) (component string, part int, err error) {
	t := strings.Split(subject, ".")
	if len(t) != 5 || t[2] != "q" {
		return "", 0, fmt.Errorf("%q is no subject of a queue", subject)
	}
	if part, err = strconv.Atoi(t[4]); err != nil || part < 0 || part >= partitions {
		return "", 0, fmt.Errorf("%q has no part of a queue", subject)
	}
	component, err = untoken(t[3])
	return component, part, err
}

func (n names) mark(component string, part int, seq uint64) string {
	return n.subject("m", token(component), strconv.Itoa(part), strconv.FormatUint(seq, 10))
}

func (n names) done(component string) string { return n.subject("done", token(component)) }
func (n names) dead(component string) string { return n.subject("dead", token(component)) }
func (n names) dropped() string              { return n.subject("dropped") }
func (n names) topics() string               { return n.subject("topic") }
func (n names) ask() string                  { return n.subject("ask") }

func (n names) trail(session string) string {
	return n.subject("trail", strconv.FormatUint(hash(session), 36))
}

// An inbox has one subject for whole answers, which are kept, and one for the
// pieces of a stream, which aren't.
func (n names) answers(instance string) string { return n.subject("in", token(instance), "whole") }
func (n names) chunks(instance string) string  { return n.subject("in", token(instance), "chunk") }

// partOf is the part of the queue that a message goes to.
func partOf(m *bus.Message) int {
	key := m.SessionID
	if key == "" {
		key = m.ID
	}
	return int(hash(key) % partitions)
}

func hash(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s)) // never fails
	return h.Sum64()
}
