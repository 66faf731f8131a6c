package isolated

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
)

// failure is an error on its way to the other side: its text, and what callers ask
// errors for.
type failure struct {
	Text      string        `json:"text"`
	Is        string        `json:"is,omitempty"`    // one of known, or "panic"
	Stack     string        `json:"stack,omitempty"` // of a panic
	Permanent bool          `json:"permanent,omitempty"`
	Again     time.Duration `json:"again,omitempty"` // see bus.RetryAfter
}

var known = map[string]error{
	"absent": fs.ErrNotExist, "eof": io.EOF, "draining": component.ErrDraining, "full": bus.ErrFull, "too large": bus.ErrTooLarge,
	"closed": bus.ErrClosed, "canceled": context.Canceled, "timeout": context.DeadlineExceeded,
}

func describe(err error) *failure {
	f := &failure{Text: err.Error(), Permanent: bus.IsPermanent(err)}
	f.Again, _ = bus.RetryDelay(err)
	for name, k := range known {
		if errors.Is(err, k) {
			f.Is = name
		}
	}
	if p := (*bus.PanicError)(nil); errors.As(err, &p) {
		f.Is, f.Stack = "panic", string(p.Stack)
	}
	return f
}

// remote is an error of the other side.
type remote struct {
	text string
	is   error // nil: it is like no other
}

func (r *remote) Error() string { return r.text }
func (r *remote) Unwrap() error { return r.is }

func (f *failure) err() error {
	var err error = &remote{f.Text, known[f.Is]}
	switch {
	case f.Is == "panic":
		err = &remote{f.Text, &bus.PanicError{Value: f.Text, Stack: []byte(f.Stack)}}
	case f.Is == "eof" && f.Text == io.EOF.Error():
		err = io.EOF
	}
	if f.Permanent {
		return bus.Permanent(err)
	}
	if f.Again > 0 {
		return bus.RetryAfter(f.Again, err)
	}
	return err
}
