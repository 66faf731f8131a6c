package process

import (
	"context"
	"errors"
	"sync"
)

// ErrOver is what Wait returns when nothing will run any more.
var ErrOver = errors.New("the process has ended for good")

// Current is what runs at the moment, of something that is started again when it
// ends, for those who need one and wait while there is none. The zero value has
// none, and is ready.
type Current[T any] struct {
	mu  sync.Mutex
	now *T
	set chan struct{} // closed when there is one; nil while nobody waits for that
}

// Set says what runs from now on; nil: nothing.
func (c *Current[T]) Set(v *T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = v
	if v != nil && c.set != nil {
		close(c.set)
		c.set = nil
	}
}

// Leave has nobody be given v any more.
func (c *Current[T]) Leave(v *T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now == v {
		c.now = nil
	}
}

// Wait returns what runs, once there is something. It returns ErrOver when done is
// closed, and the cause of ctx's end.
func (c *Current[T]) Wait(ctx context.Context, done <-chan struct{}) (*T, error) {
	for {
		v, set := c.get()
		if v != nil {
			return v, nil
		}
		select {
		case <-set:
		case <-done:
			return nil, ErrOver
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (c *Current[T]) get() (*T, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now == nil && c.set == nil {
		c.set = make(chan struct{})
	}
	return c.now, c.set
}
