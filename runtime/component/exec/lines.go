package exec

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
	"woodwork.dev/ww/runtime/process"
)

const (
	firstPause = 100 * time.Millisecond // before a program is started again
	lastPause  = 10 * time.Second
)

var errEnded = errors.New("the program ended")

// worker is the long-lived program of the mode lines.
type worker struct {
	program program
	timeout time.Duration
	log     *slog.Logger

	cancel context.CancelFunc
	done   chan struct{}

	current process.Current[run]
}

// run is one run of the program.
type run struct {
	kill  context.CancelFunc
	ended chan struct{}
	why   error // it ended; to be read after that

	write sync.Mutex // one line at a time
	stdin io.Writer
	log   *slog.Logger

	mu    sync.Mutex
	last  int
	calls map[string]*call
	odd   string // the last line that is no answer
}

// call is a message that waits for its answer.
type call struct {
	answers chan response
	gone    chan struct{} // closed when nobody reads answers any more
}

type request struct {
	ID      string          `json:"id"`
	Session string          `json:"session_id"`
	Sender  string          `json:"sender"`
	Payload json.RawMessage `json:"payload"`
}

type response struct {
	ID        string          `json:"id"`
	Payload   json.RawMessage `json:"payload"`
	Chunk     json.RawMessage `json:"chunk"`
	Error     *string         `json:"error"`
	Permanent bool            `json:"permanent"`
}

// start runs the program until close.
func start(p program, timeout time.Duration, log *slog.Logger) *worker {
	ctx, cancel := context.WithCancel(context.Background())
	w := &worker{program: p, timeout: timeout, log: log, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		w.supervise(ctx)
	}()
	return w
}

// supervise starts the program again whenever it ends, with longer pauses as
// long as it ends soon.
func (w *worker) supervise(ctx context.Context) {
	pause := firstPause
	for {
		began := time.Now()
		err := w.once(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > lastPause {
			pause = firstPause
		}
		w.log.Warn("the program ended and is started again", "program", w.program.args[0], "error", err, "pause", pause.String())
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		pause = min(2*pause, lastPause)
	}
}

// once runs the program once. When ctx is done its standard input is closed,
// and what hasn't ended a moment later is killed.
func (w *worker) once(ctx context.Context) error {
	alive, kill := context.WithCancel(context.WithoutCancel(ctx))
	defer kill()
	cmd := w.program.command(alive)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	p := &run{kill: kill, ended: make(chan struct{}), stdin: stdin, calls: map[string]*call{}, log: w.log}
	// Writers, and not StdoutPipe: Wait reaps the process as soon as it ends and
	// returns when all that it wrote has been read.
	answers := &splitter{max: maxOutput, whole: true, line: p.receive}
	diagnostics := &splitter{max: 1 << 16, line: func(b []byte) { w.log.Info("program", "stderr", string(b)) }}
	cmd.Stdout, cmd.Stderr = killer{answers, kill}, diagnostics
	running, err := w.program.group.Start(cmd)
	if err != nil {
		return err
	}
	w.current.Set(p)
	stop := context.AfterFunc(ctx, func() {
		_ = stdin.Close() // the program may have ended by itself
		select {
		case <-p.ended:
		case <-time.After(linger):
			kill()
		}
	})
	defer stop()
	p.why = running.Wait()
	answers.end()
	diagnostics.end()
	w.current.Set(nil)
	close(p.ended)
	return p.why
}

func (w *worker) close() error {
	w.cancel()
	<-w.done
	return nil
}

func (w *worker) handle(ctx context.Context, m bus.Message, out component.Out) (json.RawMessage, error) {
	p, err := w.running(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, w.timeout, fmt.Errorf("%s gave no answer within %s", w.program.args[0], w.timeout))
	defer cancel()
	id, c := p.enter()
	defer p.leave(id, c)
	// A program that takes nothing and gives nothing is stuck: it is killed, and
	// that also ends a write that it doesn't read.
	defer context.AfterFunc(ctx, p.kill)()
	if err := p.send(request{id, m.SessionID, m.Sender, m.Payload}); err != nil {
		return nil, w.broken(ctx, p, err)
	}
	for {
		r, err := p.next(c)
		switch {
		case err != nil:
			return nil, w.broken(ctx, p, err)
		case r.Error != nil:
			return nil, r.err()
		case r.Chunk == nil && string(r.Payload) == "null":
			return nil, nil
		case r.Chunk == nil && r.Payload == nil:
			return nil, fmt.Errorf("%s answers with neither payload, chunk nor error", w.program.args[0])
		case r.Chunk == nil:
			return r.Payload, nil
		}
		if err := out.Chunk(ctx, r.Chunk); err != nil {
			return nil, err
		}
	}
}

// running gives the program as it runs. A pause before it is started again is none
// of the time that an answer has.
func (w *worker) running(ctx context.Context) (*run, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lastPause+w.timeout, fmt.Errorf("%s didn't run within %s", w.program.args[0], lastPause+w.timeout))
	defer cancel()
	return w.current.Wait(ctx, w.done)
}

// next returns the next answer; what came before the end counts.
func (p *run) next(c *call) (response, error) {
	select {
	case r := <-c.answers:
		return r, nil
	case <-p.ended:
	}
	select {
	case r := <-c.answers:
		return r, nil
	default:
		return response{}, p.end()
	}
}

// end is why there is no answer of a program that has ended.
func (p *run) end() error {
	var killed *process.KilledError
	if errors.As(p.why, &killed) {
		return killed
	}
	return errEnded
}

func (r response) err() error {
	if r.Permanent {
		return bus.Permanent(errors.New(*r.Error))
	}
	return errors.New(*r.Error)
}

// broken is why there is no answer: the time was over, or the program died. What
// it wrote that is no answer may have been meant as one.
func (w *worker) broken(ctx context.Context, p *run, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	} else {
		err = fmt.Errorf("%s: %w", w.program.args[0], err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.odd != "" {
		err = fmt.Errorf("%w; it wrote a line that is no answer: %s", err, p.odd)
	}
	return err
}

// strange keeps a line that is no answer, and logs it.
func (p *run) strange(line []byte, err error) {
	text := strings.ToValidUTF8(string(line[:min(len(line), 200)]), "\uFFFD")
	p.log.Warn("a line of the program is no answer", "error", err, "line", text)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.odd = text
}

func (p *run) enter() (string, *call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last++
	id := strconv.Itoa(p.last)
	c := &call{answers: make(chan response, 64), gone: make(chan struct{})}
	p.calls[id] = c
	return id, c
}

func (p *run) leave(id string, c *call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.calls, id)
	close(c.gone)
}

func (p *run) send(r request) error {
	if len(r.Payload) == 0 {
		r.Payload = json.RawMessage("null")
	}
	b, err := json.Marshal(r) // also takes line breaks out of the payload
	if err != nil {
		return bus.Permanent(err)
	}
	p.write.Lock()
	defer p.write.Unlock()
	_, err = p.stdin.Write(append(b, '\n'))
	return err
}

// receive hands a line of the program to the call that waits for it.
func (p *run) receive(line []byte) {
	var r response
	if err := json.Unmarshal(line, &r); err != nil {
		p.strange(line, err)
		return
	}
	p.mu.Lock()
	c := p.calls[r.ID]
	p.mu.Unlock()
	switch {
	case c == nil && r.ID == "":
		p.strange(line, errors.New(`it has no "id"`))
		return
	case c == nil:
		p.log.Warn("the program answered what nobody waits for", "id", r.ID)
		return
	}
	select {
	case c.answers <- r:
	case <-c.gone:
	}
}

// killer ends a program whose output can't be understood.
type killer struct {
	io.Writer
	kill context.CancelFunc
}

func (k killer) Write(p []byte) (int, error) {
	n, err := k.Writer.Write(p)
	if err != nil {
		k.kill()
	}
	return n, err
}
