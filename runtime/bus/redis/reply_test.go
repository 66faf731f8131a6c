package redis

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
)

// give writes a reply as the client does: each line and its end, and strings by
// io.CopyN.
func give(src *bufio.Reader, r *reply) error {
	line, err := src.ReadSlice('\n')
	if err != nil {
		return err
	}
	if len(line) < 3 || line[len(line)-2] != '\r' {
		return errors.New("not a line")
	}
	line = line[:len(line)-2]
	_, _ = r.Write(line)
	_, _ = r.Write([]byte("\r\n"))
	n, err := strconv.Atoi(string(line[1:]))
	if err != nil || n < 0 {
		return nil
	}
	switch line[0] {
	case '$':
		_, err := io.CopyN(r, src, int64(n)+2)
		return err
	case '*':
		for range n {
			if err := give(src, r); err != nil {
				return err
			}
		}
	}
	return nil
}

func read(src io.Reader) ([]entries, error) {
	var r reply
	if err := give(bufio.NewReaderSize(src, 16), &r); err != nil {
		return nil, err
	}
	return r.result()
}

func TestReply(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	whole := "*2\r\n" +
		"*2\r\n$1\r\nq\r\n*3\r\n" +
		"*2\r\n$3\r\n5-1\r\n*2\r\n$1\r\nm\r\n$4\r\na\r\nb\r\n" +
		"*2\r\n$4\r\n5-12\r\n*6\r\n$1\r\nx\r\n$1\r\ny\r\n$1\r\nh\r\n$2\r\n{}\r\n$1\r\nm\r\n$0\r\n\r\n" +
		"*2\r\n$4\r\n5-13\r\n*2\r\n$1\r\nm\r\n$100000\r\n" + long + "\r\n" +
		"*2\r\n$4\r\nwake\r\n*0\r\n"
	for _, most := range []int{1, 7, 4096} { // however its strings arrive, a reply is all of them
		got, err := read(slowly{strings.NewReader(whole), most})
		if err != nil || len(got) != 2 || got[0].stream != "q" || len(got[0].list) != 3 || got[1].stream != "wake" || len(got[1].list) != 0 {
			t.Fatalf("%+v, %v", got, err)
		}
		first, second, third := got[0].list[0], got[0].list[1], got[0].list[2]
		if first.place != (entryID{5, 1}) || first.id != "5-1" || string(first.m) != "a\r\nb" || first.h != nil {
			t.Errorf("%+v", first)
		}
		if second.place != (entryID{5, 12}) || second.m == nil || len(second.m) != 0 || string(second.h) != "{}" {
			t.Errorf("%+v", second)
		}
		if string(third.m) != long {
			t.Errorf("%d bytes", len(third.m))
		}
	}
	if got, err := read(strings.NewReader("*-1\r\n")); err != nil || len(got) != 0 {
		t.Errorf("nothing: %+v, %v", got, err)
	}
	for i := range len(whole) { // whatever is cut off
		if i > 300 && i < len(whole)-100 {
			continue // in the long one
		}
		if _, err := read(strings.NewReader(whole[:i])); err == nil {
			t.Errorf("%q passes", whole[:i])
		}
	}
	for _, other := range []string{"$1\r\nx\r\n", "+OK\r\n", ":1\r\n", "*1\r\n*3\r\n", "*1\r\n$1\r\nx\r\n", "*1\r\n*2\r\n$-1\r\n", "*1\r\n*2\r\n$1\r\nq\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*1\r\n$1\r\nm\r\n"} {
		if got, err := read(strings.NewReader(other)); err == nil {
			t.Errorf("%q passes: %+v", other, got)
		}
	}
	var r reply
	if err := give(bufio.NewReader(strings.NewReader("-MOVED 1 127.0.0.1:1\r\n")), &r); err != nil || !r.refused {
		t.Errorf("%v, %+v", err, r)
	}
}

func FuzzReply(f *testing.F) {
	f.Add([]byte("*1\r\n*2\r\n$1\r\nq\r\n*1\r\n*2\r\n$3\r\n5-1\r\n*2\r\n$1\r\nm\r\n$1\r\na\r\n"))
	f.Add([]byte("*999999999\r\n"))
	f.Add([]byte("*1\r\n*2\r\n$-7\r\n"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = read(bytes.NewReader(b)) // neither panics nor takes memory that the reply hasn't
	})
}

// slowly reads so much at a time.
type slowly struct {
	io.Reader
	most int
}

func (s slowly) Read(p []byte) (int, error) { return s.Reader.Read(p[:min(len(p), s.most)]) }
