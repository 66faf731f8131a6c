package api

import (
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
)

func wantsStream(r *http.Request) bool {
	for _, accept := range r.Header.Values("Accept") {
		for a := range strings.SplitSeq(accept, ",") {
			if kind, _, _ := mime.ParseMediaType(strings.TrimSpace(a)); kind == "text/event-stream" {
				return true
			}
		}
	}
	return false
}

// stream sends the answers as server-sent events until the whole one.
func (s *server) stream(ctx context.Context, w http.ResponseWriter, in component.Submission, replies bus.Replies) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("X-Accel-Buffering", "no") // for proxies that would hold events back
	w.WriteHeader(http.StatusOK)
	rc := http.NewResponseController(w)
	if rc.Flush() != nil {
		return
	}
	for {
		m, err := replies.Next(ctx)
		name, data := "answer", toAnswer(m, in)
		switch {
		case err != nil:
			name = "error"
			_, data = s.failure(ctx, in, err)
		case m.Chunk():
			name, data = "chunk", answer{Value: m.Payload}
		case m.Error != "":
			name = "error"
		}
		if sendEvent(w, name, data) != nil || rc.Flush() != nil || name != "chunk" {
			return
		}
	}
}

// sendEvent writes one event. JSON has no line breaks, so it is one line of data.
func sendEvent(w http.ResponseWriter, name string, data answer) error {
	b, err := json.Marshal(data)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "event: %s\ndata: %s\n\n", name, b)
	return err
}
