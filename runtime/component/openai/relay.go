package openai

import (
	"strings"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

// Models speak in pieces of a few letters. One message for each would cost the
// bus more than it tells anybody, so those that come at short intervals go
// together; the first one goes at once.
const (
	relayEvery = 50 * time.Millisecond
	relaySize  = 1 << 10
)

// relay sends on what comes in pieces, and returns the whole of it.
func relay(pieces <-chan string, send func(string) error) (string, error) {
	var whole strings.Builder
	var last time.Time       // when something was sent
	var due <-chan time.Time // for what isn't sent yet
	sent := 0
	flush := func() error {
		text := whole.String()[sent:]
		sent, last, due = whole.Len(), time.Now(), nil
		if text == "" {
			return nil
		}
		return send(text)
	}
	for {
		select {
		case piece, more := <-pieces:
			if !more {
				return whole.String(), flush()
			}
			if whole.Len()+len(piece) > bus.MaxMessageBytes {
				return "", errTooLarge
			}
			whole.WriteString(piece)
			wait := relayEvery - time.Since(last)
			if wait > 0 && whole.Len()-sent < relaySize {
				if due == nil {
					due = time.After(wait)
				}
				continue
			}
		case <-due:
		}
		if err := flush(); err != nil {
			return "", err
		}
	}
}
