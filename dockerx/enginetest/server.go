package enginetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// FaultKind is what happens to a call.
type FaultKind int

const (
	// Fail answers with Status and Message, without doing anything.
	Fail FaultKind = iota
	// Hang never answers.
	Hang
	// Cut closes the connection without an answer.
	Cut
	// Late answers after Delay.
	Late
	// Lost does what is asked, and closes the connection without an answer.
	Lost
)

// Fault is what is to go wrong.
type Fault struct {
	Op      string // as in Call
	Target  string // only calls with this target; empty: all
	N       int    // only the n-th of them from now on, the first being 1; 0: each
	Kind    FaultKind
	Status  int    // of Fail; 0: 500
	Message string // of Fail
	Delay   time.Duration
	seen    int
}

// Inject has calls go wrong from now on.
func (e *Engine) Inject(f Fault) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.faults = append(e.faults, &f)
}

// apiError is an answer that isn't a success.
type apiError struct {
	status int
	msg    string
}

func (e *apiError) Error() string { return e.msg }

func errorf(status int, format string, args ...any) *apiError {
	return &apiError{status, fmt.Sprintf(format, args...)}
}

// reply is what a handler answers with: a status, and a body that becomes JSON.
type reply struct {
	status int
	body   any
}

type handlerFunc func(w http.ResponseWriter, r *http.Request) (reply, error)

// hijacked and streamed replies have been written by the handler.
var streamed = reply{}

func (e *Engine) routes() map[string]struct {
	op string
	h  handlerFunc
} {
	type route = struct {
		op string
		h  handlerFunc
	}
	return map[string]route{
		"GET /_ping":                     {"ping", e.ping},
		"HEAD /_ping":                    {"ping", e.ping},
		"GET /version":                   {"version", e.version},
		"GET /info":                      {"info", e.info},
		"GET /events":                    {"events", e.streamEvents},
		"GET /containers/json":           {"container.list", e.listContainers},
		"POST /containers/create":        {"container.create", e.createContainer},
		"GET /containers/{id}/json":      {"container.inspect", e.inspectContainer},
		"POST /containers/{id}/start":    {"container.start", e.startContainer},
		"POST /containers/{id}/stop":     {"container.stop", e.stopContainer},
		"POST /containers/{id}/rename":   {"container.rename", e.renameContainer},
		"POST /containers/{id}/pause":    {"container.pause", e.pauseContainer},
		"POST /containers/{id}/unpause":  {"container.unpause", e.unpauseContainer},
		"POST /containers/{id}/kill":     {"container.kill", e.killContainer},
		"POST /containers/{id}/wait":     {"container.wait", e.waitContainer},
		"POST /containers/{id}/resize":   {"container.resize", e.resizeContainer},
		"POST /containers/{id}/attach":   {"container.attach", e.attachContainer},
		"GET /containers/{id}/logs":      {"container.logs", e.containerLogs},
		"PUT /containers/{id}/archive":   {"container.copy", e.copyToContainer},
		"DELETE /containers/{id}":        {"container.remove", e.removeContainer},
		"POST /containers/{id}/exec":     {"exec.create", e.createExec},
		"POST /exec/{id}/start":          {"exec.start", e.startExec},
		"GET /exec/{id}/json":            {"exec.inspect", e.inspectExec},
		"GET /networks":                  {"network.list", e.listNetworks},
		"GET /networks/{id}":             {"network.inspect", e.inspectNetwork},
		"POST /networks/create":          {"network.create", e.createNetwork},
		"POST /networks/{id}/connect":    {"network.connect", e.connectNetwork},
		"POST /networks/{id}/disconnect": {"network.disconnect", e.disconnectNetwork},
		"DELETE /networks/{id}":          {"network.remove", e.removeNetwork},
		"GET /volumes":                   {"volume.list", e.listVolumes},
		"POST /volumes/create":           {"volume.create", e.createVolume},
		"DELETE /volumes/{id}":           {"volume.remove", e.removeVolume},
		"GET /images/json":               {"image.list", e.listImages},
		"POST /images/create":            {"image.pull", e.pullImage},
		"GET /images/{id...}":            {"image.inspect", e.inspectImage},
		"POST /images/{id...}":           {"image.tag", e.tagImage},
		"DELETE /images/{id...}":         {"image.remove", e.removeImage},
		"GET /distribution/{id...}":      {"image.ask", e.askRegistry},
		"POST /build":                    {"image.build", e.buildImage},
	}
}

// enter counts a request that is being answered, unless the engine has ended.
func (e *Engine) enter() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended {
		return false
	}
	e.wg.Add(1)
	return true
}

func (e *Engine) handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, route := range e.routes() {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { e.serve(w, r, route.op, route.h) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if e.behind != nil {
			e.behind.ServeHTTP(w, r)
			return
		}
		answer(w, reply{}, errorf(http.StatusNotFound, "page not found: enginetest knows no %s %s", r.Method, r.URL.Path))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !e.enter() {
			return
		}
		defer e.wg.Done()
		path, err := e.unversioned(r.URL.Path)
		if err != nil {
			answer(w, reply{}, err)
			return
		}
		r2 := r.Clone(r.Context())
		r2.URL.Path, r2.URL.RawPath = path, ""
		mux.ServeHTTP(w, r2)
	})
}

var versioned = regexp.MustCompile(`^/v(\d+)\.(\d+)(/.*)$`)

// unversioned takes the version off a path, and refuses one that is too new.
func (e *Engine) unversioned(path string) (string, error) {
	m := versioned.FindStringSubmatch(path)
	if m == nil {
		return path, nil
	}
	if e.behind == nil && !e.speaks(m[1]+"."+m[2]) {
		return "", errorf(http.StatusBadRequest, "client version %s.%s is too new. Maximum supported API version is %s", m[1], m[2], e.opts.APIVersion)
	}
	return m[3], nil
}

// speaks tells whether the engine's API is at least of a version.
func (e *Engine) speaks(version string) bool {
	minor := func(v string) int {
		_, s, _ := strings.Cut(v, ".")
		n, _ := strconv.Atoi(s)
		return n
	}
	return minor(e.opts.APIVersion) >= minor(version)
}

func (e *Engine) serve(w http.ResponseWriter, r *http.Request, op string, h handlerFunc) {
	call := Call{Op: op, Target: r.PathValue("id"), Query: r.URL.Query()}
	if r.Header.Get("Content-Type") == "application/json" {
		data, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		call.Body = data
		r.Body = io.NopCloser(bytes.NewReader(data))
	}
	r = e.cuttable(r)
	f := e.record(call)
	if f != nil && !e.suffer(w, r, f) {
		return
	}
	if e.behind != nil {
		h = e.forward
		if f != nil && f.Kind == Lost {
			r = r.WithContext(context.WithValue(r.Context(), lostKey{}, true))
		}
	}
	rep, err := h(w, r)
	if f != nil && f.Kind == Lost {
		panic(http.ErrAbortHandler)
	}
	answer(w, rep, err)
}

// record notes a call, and returns the fault that is due for it.
func (e *Engine) record(c Call) *Fault {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls = append(e.calls, c)
	e.wake()
	var due *Fault
	for _, f := range e.faults {
		if f.Op != c.Op || f.Target != "" && f.Target != c.Target {
			continue
		}
		f.seen++
		if due == nil && (f.N == 0 || f.N == f.seen) {
			due = f
		}
	}
	return due
}

// suffer does what a fault says; true if the call goes on after that.
func (e *Engine) suffer(w http.ResponseWriter, r *http.Request, f *Fault) bool {
	switch f.Kind {
	case Fail:
		status := f.Status
		if status == 0 {
			status = http.StatusInternalServerError
		}
		answer(w, reply{}, errorf(status, "%s", f.Message))
	case Hang:
		select {
		case <-r.Context().Done():
		case <-e.ctx.Done():
		}
		panic(http.ErrAbortHandler) // an end without an answer, not an empty one
	case Cut:
		panic(http.ErrAbortHandler)
	case Lost:
		return true
	case Late:
		t := time.NewTimer(f.Delay)
		defer t.Stop()
		select {
		case <-t.C:
			return true
		case <-r.Context().Done():
		}
	}
	return false
}

func answer(w http.ResponseWriter, rep reply, err error) {
	if err != nil {
		status := http.StatusInternalServerError
		if api, ok := err.(*apiError); ok {
			status = api.status
		}
		rep = reply{status, map[string]string{"message": err.Error()}}
	}
	if rep.status == 0 {
		return
	}
	if rep.body == nil {
		w.WriteHeader(rep.status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(rep.status)
	_ = json.NewEncoder(w).Encode(rep.body)
}

func ok(body any) (reply, error) { return reply{http.StatusOK, body}, nil }

func done() (reply, error) { return reply{http.StatusNoContent, nil}, nil }

func (e *Engine) ping(w http.ResponseWriter, _ *http.Request) (reply, error) {
	builder := "1"
	if e.opts.BuildKit {
		builder = "2"
	}
	h := w.Header()
	h.Set("Api-Version", e.opts.APIVersion)
	h.Set("Ostype", "linux")
	h.Set("Builder-Version", builder)
	h.Set("Docker-Experimental", "false")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusOK)
	return streamed, nil
}

func (e *Engine) version(http.ResponseWriter, *http.Request) (reply, error) {
	return ok(map[string]any{
		"Version": "0.0-enginetest", "ApiVersion": e.opts.APIVersion, "MinAPIVersion": "1.24",
		"Os": "linux", "Arch": "amd64",
	})
}

func (e *Engine) info(http.ResponseWriter, *http.Request) (reply, error) {
	info := map[string]any{
		"ServerVersion": "0.0-enginetest", "OSType": "linux", "Architecture": "x86_64", "NCPU": 2,
		"MemoryLimit": true, "SwapLimit": true, "CpuCfsQuota": true, "PidsLimit": true,
		"SystemTime": time.Now().Format(time.RFC3339Nano),
	}
	maps.Copy(info, e.opts.Info)
	return ok(info)
}
