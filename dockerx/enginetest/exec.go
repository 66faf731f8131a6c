package enginetest

import (
	"encoding/json"
	"io"
	"net/http"
	"sync"
)

// Exec is a command that is run in a container.
type Exec struct {
	Container string // its name
	Service   string
	Cmd, Env  []string
	User      string
	Stdin     io.Reader // at its end if none is attached
	Stdout    io.Writer
	Stderr    io.Writer
}

type execution struct {
	ctr     *ctr
	tty     bool
	stdin   bool
	call    Exec
	running bool
	code    int
}

func (e *Engine) createExec(_ http.ResponseWriter, r *http.Request) (reply, error) {
	var req struct {
		Cmd, Env    []string
		User        string
		Tty         bool
		AttachStdin bool
	}
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		return reply{}, errorf(http.StatusBadRequest, "invalid JSON: %v", err)
	}
	return e.with(r, func(c *ctr) (reply, error) {
		if !c.running() {
			return reply{}, errorf(http.StatusConflict, "Container %s is not running", c.id)
		}
		id := e.newID()
		e.execs[id] = &execution{ctr: c, tty: req.Tty, stdin: req.AttachStdin, call: Exec{
			Container: c.name, Service: c.service(), Cmd: req.Cmd, Env: req.Env, User: req.User,
		}}
		return reply{http.StatusCreated, map[string]string{"Id": id}}, nil
	})
}

func (e *Engine) execution(r *http.Request) (*execution, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	x := e.execs[r.PathValue("id")]
	if x == nil {
		return nil, errorf(http.StatusNotFound, "No such exec instance: %s", r.PathValue("id"))
	}
	return x, nil
}

// framed writes output in frames. Both streams share the connection.
type framed struct {
	mu          *sync.Mutex
	w           io.Writer
	tty, stderr bool
}

func (f framed) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := frame(f.w, f.tty, f.stderr, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (e *Engine) startExec(w http.ResponseWriter, r *http.Request) (reply, error) {
	x, err := e.execution(r)
	if err != nil {
		return reply{}, err
	}
	conn, rw, err := hijack(w)
	if err != nil {
		return streamed, nil
	}
	stop := e.closeWithEngine(conn)
	defer stop()
	var mu sync.Mutex
	call := x.call
	call.Stdin = http.NoBody
	if x.stdin {
		call.Stdin = rw
	}
	call.Stdout = framed{&mu, conn, x.tty, false}
	call.Stderr = framed{&mu, conn, x.tty, true}
	code := 0
	e.setExec(x, true, 0)
	if e.opts.Exec != nil {
		code = e.opts.Exec(call)
	}
	e.setExec(x, false, code)
	return streamed, nil
}

func (e *Engine) setExec(x *execution, running bool, code int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	x.running, x.code = running, code
}

func (e *Engine) inspectExec(_ http.ResponseWriter, r *http.Request) (reply, error) {
	x, err := e.execution(r)
	if err != nil {
		return reply{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return ok(map[string]any{"ID": r.PathValue("id"), "ContainerID": x.ctr.id, "Running": x.running, "ExitCode": x.code})
}
