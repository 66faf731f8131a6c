package isolated

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"woodwork.dev/ww/runtime/component"
)

const (
	// maxFrame bounds what one side reads at once: a message with its envelope.
	maxFrame = 64 << 20
	// linger is how long something may take to end once it was told to.
	linger = 2 * time.Second
)

// errOver is the error of calls that the other side can't answer any more.
var errOver = errors.New("the other side has ended")

// frame is what goes over the pipe, as JSON with its length before it.
type frame struct {
	Word   string          `json:"word"` // call, return, cancel or log
	ID     uint64          `json:"id,omitempty"`
	Method string          `json:"method,omitempty"`
	Of     uint64          `json:"of,omitempty"` // the call that this one is made for, in the other direction
	Body   json.RawMessage `json:"body,omitempty"`
	Error  *failure        `json:"error,omitempty"`
}

// peer is one of two sides that call each other.
type peer struct {
	// serve answers what the other side calls. Its context is that of the call
	// of this side within which that was done, if any.
	serve func(ctx context.Context, method string, body json.RawMessage) (any, error)
	log   func(context.Context, json.RawMessage) // nil: none comes
	stuck func()                                 // is called when a call doesn't return though it was cancelled; nil: nothing to do

	writing sync.Mutex
	out     io.Writer

	mu      sync.Mutex
	last    uint64
	calls   map[uint64]*pending
	serving map[uint64]context.CancelFunc
	over    chan struct{} // closed when nothing is read any more
}

// pending is a call that has no answer yet.
type pending struct {
	ctx    context.Context
	pieces component.Out // of the answer; nil: there are none
	answer chan frame
}

func newPeer(out io.Writer) *peer {
	return &peer{out: out, calls: map[uint64]*pending{}, serving: map[uint64]context.CancelFunc{}, over: make(chan struct{})}
}

// read serves, and receives answers, until in ends or ctx is done, which has to
// end in. When it returns nothing is served any more, and all calls have failed.
func (p *peer) read(ctx context.Context, in io.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(p.over)
	defer cancel()
	for {
		f, err := readFrame(in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch f.Word {
		case "call":
			p.begin(ctx, f, &wg)
		case "cancel":
			p.mu.Lock()
			stop := p.serving[f.ID]
			p.mu.Unlock()
			if stop != nil {
				stop()
			}
		case "return":
			p.mu.Lock()
			c := p.calls[f.ID]
			delete(p.calls, f.ID)
			p.mu.Unlock()
			if c != nil {
				c.answer <- f
			}
		case "log":
			if p.log != nil {
				p.log(p.within(ctx, f.Of), f.Body)
			}
		default:
			return fmt.Errorf("the other side says %q, which means nothing", f.Word)
		}
	}
}

type (
	withinKey struct{} // the number of the call that is being served
	piecesKey struct{} // the component.Out of the call within which it is
)

// within is the context of a call of this side; live where there is none.
func (p *peer) within(live context.Context, id uint64) context.Context {
	p.mu.Lock()
	defer p.mu.Unlock()
	if of := p.calls[id]; of != nil {
		return context.WithValue(of.ctx, piecesKey{}, of.pieces)
	}
	return live
}

func (p *peer) begin(live context.Context, f frame, wg *sync.WaitGroup) {
	ctx, cancel := context.WithCancel(context.WithValue(p.within(live, f.Of), withinKey{}, f.ID))
	p.mu.Lock()
	p.serving[f.ID] = cancel
	p.mu.Unlock()
	wg.Go(func() {
		defer cancel()
		defer context.AfterFunc(live, cancel)()
		result, err := p.serve(ctx, f.Method, f.Body)
		p.mu.Lock()
		delete(p.serving, f.ID)
		p.mu.Unlock()
		answer := frame{Word: "return", ID: f.ID}
		if err == nil && result != nil {
			answer.Body, err = encode(result)
		}
		if err != nil {
			answer.Error, answer.Body = describe(err), nil
		}
		_ = p.write(answer) // where nobody reads, nobody waits
	})
}

// call calls a method of the other side, which may send pieces of the answer. When
// ctx is done the other side is told, and has a moment to return.
func (p *peer) call(ctx context.Context, method string, in, out any, pieces component.Out) error {
	body, err := encode(in)
	if err != nil {
		return err
	}
	c := &pending{ctx: ctx, pieces: pieces, answer: make(chan frame, 1)}
	p.mu.Lock()
	p.last++
	id := p.last
	p.calls[id] = c
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.calls, id)
		p.mu.Unlock()
	}()
	of, _ := ctx.Value(withinKey{}).(uint64)
	if p.write(frame{Word: "call", ID: id, Method: method, Of: of, Body: body}) != nil {
		return errOver
	}
	answer, err := p.await(ctx, id, c)
	switch {
	case err != nil:
		return err
	case answer.Error != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case answer.Error != nil:
		return answer.Error.err()
	case out == nil || answer.Body == nil:
		return nil
	}
	return json.Unmarshal(answer.Body, out)
}

func (p *peer) await(ctx context.Context, id uint64, c *pending) (frame, error) {
	var late <-chan time.Time
	done := ctx.Done()
	for {
		select {
		case f := <-c.answer:
			return f, nil
		case <-p.over:
			select {
			case f := <-c.answer: // it came before the end
				return f, nil
			default:
				return frame{}, errOver
			}
		case <-done:
			_ = p.write(frame{Word: "cancel", ID: id}) // where nobody reads, it is over
			timer := time.NewTimer(linger)
			defer timer.Stop()
			done, late = nil, timer.C
		case <-late:
			if p.stuck != nil {
				p.stuck()
			}
			return frame{}, context.Cause(ctx)
		}
	}
}

func (p *peer) write(f frame) error {
	body, err := encode(f)
	if err != nil {
		return err
	}
	buf := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(body)), uint32(len(body)))
	p.writing.Lock()
	defer p.writing.Unlock()
	_, err = p.out.Write(append(buf, body...))
	return err
}

// encode writes JSON as it is, without escapes for HTML.
func encode(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func readFrame(in io.Reader) (frame, error) {
	var f frame
	var head [4]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return f, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxFrame {
		return f, fmt.Errorf("the other side sends %d bytes at once: at most %d", n, maxFrame)
	}
	// What is announced need not come: room is made for what is there.
	var body bytes.Buffer
	if _, err := io.CopyN(&body, in, int64(n)); err != nil {
		return f, err
	}
	return f, json.Unmarshal(body.Bytes(), &f)
}
