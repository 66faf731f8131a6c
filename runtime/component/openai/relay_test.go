package openai

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

func TestRelay(t *testing.T) {
	type come struct {
		after time.Duration
		piece string
	}
	const ms = time.Millisecond
	long := strings.Repeat("x", 600)
	for name, tt := range map[string]struct {
		come []come
		want []string // with the time of each
	}{
		"nothing":         {nil, nil},
		"the first":       {[]come{{30 * ms, "a"}}, []string{"30ms a"}},
		"slow":            {[]come{{0, "a"}, {60 * ms, "b"}, {50 * ms, "c"}}, []string{"0s a", "60ms b", "110ms c"}},
		"fast":            {[]come{{0, "a"}, {20 * ms, "b"}, {20 * ms, "c"}, {20 * ms, "d"}}, []string{"0s a", "50ms bc", "60ms d"}},
		"then silence":    {[]come{{0, "a"}, {1 * ms, "b"}, {time.Minute, "c"}}, []string{"0s a", "50ms b", "1m0.001s c"}},
		"the end at once": {[]come{{0, "a"}, {0, "b"}}, []string{"0s a", "0s b"}},
		"much":            {[]come{{0, "a"}, {0, long}, {0, long}, {0, "b"}}, []string{"0s a", "0s " + long + long, "0s b"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pieces, began, whole := make(chan string), time.Now(), ""
				for _, c := range tt.come {
					whole += c.piece
				}
				go func() {
					defer close(pieces)
					for _, c := range tt.come {
						time.Sleep(c.after) // virtual
						pieces <- c.piece
					}
				}()
				var sent []string
				got, err := relay(pieces, func(text string) error {
					sent = append(sent, time.Since(began).String()+" "+text)
					return nil
				})
				if err != nil || got != whole || !slices.Equal(sent, tt.want) {
					t.Errorf("got %q, %q, %v; want %q", got, sent, err, tt.want)
				}
			})
		})
	}
}

func TestRelayEnds(t *testing.T) {
	pieces := make(chan string, 2)
	pieces <- "a"
	if _, err := relay(pieces, func(string) error { return io.ErrClosedPipe }); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v", err)
	}
	pieces <- strings.Repeat("x", bus.MaxMessageBytes)
	pieces <- "y"
	if _, err := relay(pieces, func(string) error { return nil }); !bus.IsPermanent(err) {
		t.Errorf("too large: %v", err)
	}
}

func TestPiecesTooLong(t *testing.T) {
	_, err := pieces(strings.NewReader("data: "+strings.Repeat("x", bus.MaxMessageBytes+1)), func(string) error { return nil })
	if !bus.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
}
