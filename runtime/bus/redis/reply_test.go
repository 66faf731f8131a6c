package redis

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestReadStreams(t *testing.T) {
	const reply = "*2\r\n" +
		"*2\r\n$1\r\nq\r\n*2\r\n" +
		"*2\r\n$3\r\n5-1\r\n*2\r\n$1\r\nm\r\n$4\r\na\r\nb\r\n" +
		"*2\r\n$4\r\n5-12\r\n*6\r\n$1\r\nx\r\n$1\r\ny\r\n$1\r\nh\r\n$2\r\n{}\r\n$1\r\nm\r\n$0\r\n\r\n" +
		"*2\r\n$4\r\nwake\r\n*0\r\n"
	got, err := readStreams([]byte(reply))
	if err != nil || len(got) != 2 || got[0].stream != "q" || len(got[0].list) != 2 || got[1].stream != "wake" || len(got[1].list) != 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	first, second := got[0].list[0], got[0].list[1]
	if first.place != (entryID{5, 1}) || string(first.m) != "a\r\nb" || first.h != nil {
		t.Errorf("%+v", first)
	}
	if second.place != (entryID{5, 12}) || len(second.m) != 0 || string(second.h) != "{}" {
		t.Errorf("%+v", second)
	}
	if got, err := readStreams([]byte("*-1\r\n")); err != nil || len(got) != 0 {
		t.Errorf("nothing: %+v, %v", got, err)
	}
	for i := range len(reply) { // whatever is cut off
		if _, err := readStreams([]byte(reply[:i])); err == nil {
			t.Errorf("%q passes", reply[:i])
		}
	}
}

func FuzzReadStreams(f *testing.F) {
	f.Add([]byte("*1\r\n*2\r\n$1\r\nq\r\n*1\r\n*2\r\n$3\r\n5-1\r\n*2\r\n$1\r\nm\r\n$1\r\na\r\n"))
	f.Add([]byte("*999999999\r\n"))
	f.Add([]byte("*1\r\n*2\r\n$-7\r\n"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = readStreams(b) // neither panics nor takes memory that the reply hasn't
	})
}

// TestReply: however its strings arrive, a reply is all of them.
func TestReply(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	for _, chunk := range []int{1, 7, 4096} {
		var r reply
		_, _ = r.Write([]byte("$100000\r\n"))
		src := slowly{strings.NewReader(long + "\r\nrest"), chunk}
		if n, err := io.CopyN(&r, src, int64(len(long)+2)); err != nil || n != int64(len(long)+2) {
			t.Fatal(n, err)
		}
		if want := "$100000\r\n" + long + "\r\n"; string(r.buf) != want {
			t.Errorf("in pieces of %d: %d bytes", chunk, len(r.buf))
		}
	}
	var r reply
	if _, err := io.CopyN(&r, bytes.NewReader([]byte("short")), 10); err != io.EOF {
		t.Errorf("%v", err)
	}
	if !slices.Equal(r.buf, []byte("short")) {
		t.Errorf("%q", r.buf)
	}
}

// slowly reads so much at a time.
type slowly struct {
	io.Reader
	most int
}

func (s slowly) Read(p []byte) (int, error) { return s.Reader.Read(p[:min(len(p), s.most)]) }
