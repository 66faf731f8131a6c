package enginetest

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

func flush(w http.ResponseWriter) {
	_ = http.NewResponseController(w).Flush()
}

func (e *Engine) streamEvents(w http.ResponseWriter, r *http.Request) (reply, error) {
	f, err := parseFilters(r)
	if err != nil {
		return reply{}, err
	}
	since, cut := parseTime(r.URL.Query().Get("since")), openStream(r)
	end := parseTime(r.URL.Query().Get("until"))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	flush(w)
	past := false
	if !end.IsZero() {
		e.after(time.Until(end), func() { past = true })
	}
	e.mu.Lock()
	next := len(e.events)
	if !since.IsZero() {
		next = 0
	}
	e.mu.Unlock()
	enc := json.NewEncoder(w)
	for {
		var ev event
		found := false
		if !e.until(r.Context(), cut, func() bool {
			for ; next < len(e.events) && !found; next++ {
				ev = e.events[next]
				found = !ev.at.Before(since) && (end.IsZero() || !ev.at.After(end)) && f.event(ev)
			}
			return found || past
		}) {
			panic(http.ErrAbortHandler)
		}
		if !found {
			return streamed, nil
		}
		if err := enc.Encode(map[string]any{
			"Type": "container", "Action": ev.action, "status": ev.action, "id": ev.id,
			"Actor": map[string]any{"ID": ev.id, "Attributes": ev.attr},
			"time":  ev.at.Unix(), "timeNano": ev.at.UnixNano(),
		}); err != nil {
			return streamed, nil
		}
		flush(w)
	}
}

// parseTime reads the API's seconds.nanoseconds; zero if there is none.
func parseTime(s string) time.Time {
	sec, frac, _ := strings.Cut(s, ".")
	n, err := strconv.ParseInt(sec, 10, 64)
	if err != nil {
		return time.Time{}
	}
	nano, _ := strconv.ParseInt((frac + "000000000")[:9], 10, 64)
	return time.Unix(n, nano)
}

// frame writes output as the engine does: with a header that says which stream
// it is and how long, unless there is a terminal.
func frame(w io.Writer, tty, stderr bool, data []byte) error {
	if !tty {
		head := [8]byte{1}
		if stderr {
			head[0] = 2
		}
		binary.BigEndian.PutUint32(head[4:], uint32(len(data)))
		if _, err := w.Write(head[:]); err != nil {
			return err
		}
	}
	_, err := w.Write(data)
	return err
}

func (e *Engine) containerLogs(w http.ResponseWriter, r *http.Request) (reply, error) {
	q, cut := r.URL.Query(), openStream(r)
	e.mu.Lock()
	c := e.find(r.PathValue("id"))
	e.mu.Unlock()
	if c == nil {
		return reply{}, errorf(http.StatusNotFound, "No such container: %s", r.PathValue("id"))
	}
	e.mu.Lock()
	next := 0
	if n, err := strconv.Atoi(q.Get("tail")); err == nil {
		next = max(0, len(c.log)-n)
	}
	e.mu.Unlock()
	w.WriteHeader(http.StatusOK)
	flush(w)
	since, stamps := parseTime(q.Get("since")), q.Get("timestamps") == "1"
	if !e.sendLog(r, cut, c, next, q.Get("follow") == "1", func(l logLine) error {
		if l.at.Before(since) || l.Stderr && q.Get("stderr") != "1" || !l.Stderr && q.Get("stdout") != "1" {
			return nil
		}
		stamp := ""
		if stamps {
			stamp = l.at.UTC().Format("2006-01-02T15:04:05.000000000Z07:00 ")
		}
		for text := l.text(); ; {
			part := text[:min(len(text), linePart)]
			text = text[len(part):]
			if err := frame(w, c.config.Tty, l.Stderr, []byte(stamp+part)); err != nil || text == "" {
				flush(w)
				return err
			}
		}
	}) {
		panic(http.ErrAbortHandler)
	}
	return streamed, nil
}

// linePart is the size of the parts in which an engine keeps, and sends, what
// is longer.
const linePart = 16 << 10

func (l logLine) text() string {
	if l.raw {
		return l.Text
	}
	return l.Text + "\n"
}

// sendLog sends a container's output from a line on, and, if it is to follow,
// until the container ends. It is false if the stream was cut.
func (e *Engine) sendLog(r *http.Request, cut <-chan struct{}, c *ctr, next int, follow bool, send func(logLine) error) bool {
	for {
		var lines []logLine
		ended := false
		if !e.until(r.Context(), cut, func() bool {
			lines = c.log[next:]
			next = len(c.log)
			ended = !follow || !c.running() && c.state != "restarting" || e.find(c.id) != c
			return len(lines) > 0 || ended
		}) {
			return false
		}
		for _, l := range lines {
			if send(l) != nil {
				return true
			}
		}
		if ended {
			return true
		}
	}
}

// hijack takes a connection over, as the engine does for terminals.
func hijack(w http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, err
	}
	_, err = conn.Write([]byte("HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"))
	if err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	return conn, rw, nil
}

func (e *Engine) attachContainer(w http.ResponseWriter, r *http.Request) (reply, error) {
	var c *ctr
	var from int
	cut := openStream(r)
	if _, err := e.with(r, func(found *ctr) (reply, error) {
		c, from = found, len(found.log)
		if !c.running() {
			return reply{}, errorf(http.StatusConflict, "cannot attach to a stopped container, start it first")
		}
		return streamed, nil
	}); err != nil {
		return reply{}, err
	}
	conn, rw, err := hijack(w)
	if err != nil {
		return streamed, nil
	}
	stop := e.closeWithEngine(conn)
	defer stop()
	if r.URL.Query().Get("stdin") == "1" {
		e.wg.Go(func() {
			_, _ = io.Copy(c.stdin, rw)
			c.stdin.close()
		})
	}
	e.sendLog(r, cut, c, from, true, func(l logLine) error {
		return frame(conn, c.config.Tty, l.Stderr, []byte(l.text()))
	})
	return streamed, nil
}

// closeWithEngine closes a connection when the engine ends, or the function that
// it returns is called.
func (e *Engine) closeWithEngine(conn net.Conn) func() {
	done := make(chan struct{})
	e.wg.Go(func() {
		select {
		case <-e.ctx.Done():
		case <-done:
		}
		_ = conn.Close()
	})
	return func() { close(done) }
}

// echo copies a container's input to its output until it ends. mu is held.
func (e *Engine) echo(c *ctr, in *pipe) {
	e.wg.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, err := in.Read(buf)
			e.mu.Lock()
			if n > 0 {
				c.log = append(c.log, logLine{time.Now(), Line{Text: string(buf[:n])}, true})
			}
			if err != nil {
				e.die(c, 0, false)
			}
			e.wake()
			e.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
}

// pipe is a container's input: writes never block.
type pipe struct {
	mu     sync.Mutex
	more   *sync.Cond
	data   []byte
	closed bool
}

func newPipe() *pipe {
	p := &pipe{}
	p.more = sync.NewCond(&p.mu)
	return p
}

func (p *pipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0, errors.New("the container has ended")
	}
	p.data = append(p.data, b...)
	p.more.Broadcast()
	return len(b), nil
}

func (p *pipe) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.data) == 0 && !p.closed {
		p.more.Wait()
	}
	if len(p.data) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.data)
	p.data = p.data[n:]
	return n, nil
}

func (p *pipe) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.more.Broadcast()
}
