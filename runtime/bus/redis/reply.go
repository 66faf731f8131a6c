package redis

import (
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
// reply is taken as it comes, into a buffer that is used again.
func xread(ctx context.Context, client redis.UniversalClient, r *reply, args ...any) ([]entries, error) {
	const most = 1 << 20
	if r.buf = r.buf[:0]; cap(r.buf) > most {
		r.buf = nil
	}
	if err := client.Process(ctx, redis.NewRawWriteToCmd(ctx, r, args...)); err != nil {
		return nil, err
	}
	if len(r.buf) > 0 && r.buf[0] == '-' {
		// The client knows what to do about an error, such as that another node
		// of a cluster has the keys. What is read now is read again.
		return nil, client.Process(ctx, redis.NewCmd(ctx, args...))
	}
	return readStreams(r.buf)
}

// reply collects the bytes of one.
type reply struct{ buf []byte }

// Write implements io.Writer.
func (r *reply) Write(p []byte) (int, error) {
	r.buf = append(r.buf, p...)
	return len(p), nil
}

// ReadFrom implements io.ReaderFrom: strings go to their place without another
// buffer.
func (r *reply) ReadFrom(src io.Reader) (n int64, err error) {
	const some = 512
	for {
		if l, ok := src.(*io.LimitedReader); ok {
			if l.N <= 0 {
				return n, nil
			}
			r.buf = slices.Grow(r.buf, int(min(l.N, readBytes)))
		} else {
			r.buf = slices.Grow(r.buf, some)
		}
		k, err := src.Read(r.buf[len(r.buf):cap(r.buf)])
		r.buf, n = r.buf[:len(r.buf)+k], n+int64(k)
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// readStreams takes the reply of XREAD apart (RESP 2), and copies what it has.
func readStreams(b []byte) ([]entries, error) {
	c := cursor{rest: b}
	out := make([]entries, c.array())
	for i := range out {
		c.pair()
		out[i].stream = string(c.text())
		out[i].list = make([]raw, c.array())
		for j := range out[i].list {
			e := &out[i].list[j]
			c.pair()
			e.id = string(c.text())
			e.place = parseID(e.id)
			for n := c.array(); n > 1; n -= 2 {
				switch name, value := c.text(), c.text(); string(name) {
				case "m":
					e.m = append(e.m, value...)
				case "h":
					e.h = append(e.h, value...)
				}
			}
		}
	}
	if c.bad || len(c.rest) > 0 {
		return nil, fmt.Errorf("read: unexpected reply %.100q", b)
	}
	return out, nil
}

// cursor reads a reply. After the first thing that isn't as expected all is
// empty.
type cursor struct {
	rest []byte
	bad  bool
}

// length reads a line that has a kind and a number; -1 is none.
func (c *cursor) length(kind byte) int {
	end := bytes.IndexByte(c.rest, '\n')
	if c.bad || end < 2 || c.rest[0] != kind || c.rest[end-1] != '\r' {
		return c.fail()
	}
	n, err := strconv.Atoi(string(c.rest[1 : end-1]))
	if err != nil || n < -1 {
		return c.fail()
	}
	c.rest = c.rest[end+1:]
	return n
}

func (c *cursor) fail() int {
	c.bad, c.rest = true, nil
	return -1
}

// array returns how many things are next; what isn't there has none.
func (c *cursor) array() int {
	n := c.length('*')
	if n > len(c.rest)/4 { // each takes that much at the least
		n = c.fail()
	}
	return max(n, 0)
}

func (c *cursor) pair() {
	if c.array() != 2 {
		c.fail()
	}
}

// text returns the string that is next.
func (c *cursor) text() []byte {
	n := c.length('$')
	if n < 0 {
		return nil
	}
	if n+2 > len(c.rest) || c.rest[n] != '\r' || c.rest[n+1] != '\n' {
		c.fail()
		return nil
	}
	s := c.rest[:n:n]
	c.rest = c.rest[n+2:]
	return s
}
