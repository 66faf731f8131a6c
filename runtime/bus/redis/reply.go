package redis

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// raw is an entry of a stream.
type raw struct {
	id    string
	place entryID
	m, h  []byte
}

// entries are what a read brought of one stream.
type entries struct {
	stream string
	list   []raw
}

// xread reads streams. The client's own commands make eight objects of each
// entry, which costs more than all else that a message needs on its way: here a
// reply is taken apart as it comes.
func xread(ctx context.Context, client redis.UniversalClient, args ...any) ([]entries, error) {
	var r reply
	if err := client.Process(ctx, redis.NewRawWriteToCmd(ctx, &r, args...)); err != nil {
		return nil, err
	}
	if r.refused {
		// The client knows what to do about an error, such as that another node
		// of a cluster has the keys. What is read now is read again.
		return nil, client.Process(ctx, redis.NewCmd(ctx, args...))
	}
	return r.result()
}

// reply is where the client writes the reply of XREAD (RESP 2), piece by piece: a
// line and its end, and a string by ReadFrom. A message goes to its place from
// there, however much there is.
type reply struct {
	streams []entries
	next    step
	left    [3]int  // streams, entries of one, and fields of one that are to come
	name    [8]byte // the field whose value comes, as far as it matters
	scratch []byte
	refused bool  // it is an error
	bad     error // the first thing that wasn't as expected
}

// step is what a reply has next.
type step int

const (
	streamsStep step = iota // how many streams
	streamStep              // a pair of a name and
	nameStep
	entriesStep // how many entries
	entryStep   // a pair of an id and
	idStep
	fieldsStep // how many fields and values
	fieldStep
	valueStep
	overStep
)

func (r *reply) result() ([]entries, error) {
	if r.bad == nil && r.next != overStep {
		r.unexpected("the end")
	}
	if r.bad != nil {
		return nil, r.bad
	}
	return r.streams, nil
}

func (r *reply) unexpected(what string) {
	if r.bad == nil {
		r.bad = fmt.Errorf("read: the server's reply has %.40q where it should not be (%d)", what, r.next)
	}
}

// Write implements io.Writer: it takes a line or the end of one.
func (r *reply) Write(line []byte) (int, error) {
	switch {
	case r.bad != nil || string(line) == "\r\n":
	case len(line) > 0 && line[0] == '-' && r.next == streamsStep:
		r.refused = true
	case len(line) > 1 && line[0] == '*':
		if n, err := strconv.Atoi(string(line[1:])); err != nil || !r.array(n) {
			r.unexpected(string(line))
		}
	case len(line) > 1 && line[0] == '$' && line[1] != '-' && r.text():
		// What it has comes with ReadFrom.
	default:
		r.unexpected(string(line))
	}
	return len(line), nil
}

// text reports whether a string may come.
func (r *reply) text() bool {
	return r.next == nameStep || r.next == idStep || r.next == fieldStep || r.next == valueStep
}

// array takes how many things come; it is false where none may.
func (r *reply) array(n int) bool {
	const some = 4096 // a server doesn't say more than it has, but who knows
	switch r.next {
	case streamsStep:
		r.streams, r.left[0] = make([]entries, 0, max(min(n, some), 0)), n
		r.nextStream()
	case streamStep:
		r.next = nameStep
		return n == 2
	case entriesStep:
		s := &r.streams[len(r.streams)-1]
		s.list, r.left[1] = make([]raw, 0, max(min(n, some), 0)), n
		r.nextEntry()
	case entryStep:
		r.next = idStep
		return n == 2
	case fieldsStep:
		r.left[2] = n / 2
		r.nextField()
		return n%2 == 0 || n == -1
	default:
		return false
	}
	return n >= -1
}

func (r *reply) nextStream() {
	if r.next = streamStep; r.left[0] <= 0 {
		r.next = overStep
	}
	r.left[0]--
}

func (r *reply) nextEntry() {
	if r.next = entryStep; r.left[1] <= 0 {
		r.nextStream()
		return
	}
	r.left[1]--
}

func (r *reply) nextField() {
	if r.next = fieldStep; r.left[2] <= 0 {
		r.nextEntry()
		return
	}
	r.left[2]--
}

// ReadFrom implements io.ReaderFrom: it takes a string and the end of its line.
func (r *reply) ReadFrom(src io.Reader) (n int64, err error) {
	l, ok := src.(*io.LimitedReader)
	if !ok || r.bad != nil || !r.text() {
		r.unexpected("a string")
		return io.Copy(io.Discard, src)
	}
	var b []byte
	into := r.value()
	if into == nil {
		b = r.scratch[:0]
	}
	if ahead, ok := l.R.(*bufio.Reader); ok && int64(ahead.Buffered()) >= l.N {
		all, _ := ahead.Peek(int(l.N)) // it is there
		b = append(b, all...)          // whose room needs no clearing
		k, _ := ahead.Discard(len(all))
		n, l.N = int64(k), l.N-int64(k)
	}
	for l.N > 0 {
		if len(b) == cap(b) {
			b = slices.Grow(b, int(min(l.N, readBytes)))
		}
		k, err := src.Read(b[len(b):cap(b)])
		b, n = b[:len(b)+k], n+int64(k)
		if errors.Is(err, io.EOF) {
			return n, nil // who copies sees that there should be more
		}
		if err != nil {
			return n, err
		}
	}
	if b, ok = bytes.CutSuffix(b, []byte("\r\n")); !ok {
		r.unexpected("a string without an end")
		return n, nil
	}
	if into == nil {
		r.scratch = b
		r.take(b)
		return n, nil
	}
	*into = b[:len(b):len(b)]
	r.nextField()
	return n, nil
}

// value is where the string that comes is kept; nil where it isn't.
func (r *reply) value() *[]byte {
	if r.next != valueStep {
		return nil
	}
	list := r.streams[len(r.streams)-1].list
	switch e := &list[len(list)-1]; r.name {
	case [8]byte{'m'}:
		return &e.m
	case [8]byte{'h'}:
		return &e.h
	}
	return nil
}

// take has a string that isn't kept itself.
func (r *reply) take(b []byte) {
	switch r.next {
	case nameStep:
		r.streams = append(r.streams, entries{stream: string(b)})
		r.next = entriesStep
	case idStep:
		s := &r.streams[len(r.streams)-1]
		id := string(b)
		s.list = append(s.list, raw{id: id, place: parseID(id)})
		r.next = fieldsStep
	case fieldStep:
		r.name = [8]byte{}
		copy(r.name[:], b)
		r.next = valueStep
	default:
		r.nextField()
	}
}
