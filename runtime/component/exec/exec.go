// Package exec is the component that hands messages to a program of any
// language.
//
// Settings:
//
//	command      the program and its arguments: an array, or a string that is
//	             split at blanks without a shell: 'single' and "double" quotes
//	             keep blanks, a backslash keeps the next character
//	mode         "message" (default) or "lines"
//	output       "text" (default): the result is a string; "json": it is JSON
//	timeout      of one message (default "60s"); then the program is killed,
//	             with all that it started
//	environment  further variables: an object, or an array of NAME=VALUE
//	workdir      where the program runs
//
// # Mode message
//
// One process for each message. The payload is its standard input, a string as
// it is and anything else as JSON; WW_SESSION_ID, WW_MESSAGE_ID and WW_SENDER
// are in its environment. Its standard output, without one line break at the
// end, is the result. A status other than 0 is an error with the last lines of
// the standard error in it, and the message is tried again; but 64 to 78
// (sysexits.h) say that trying again is of no use, except for 75 (EX_TEMPFAIL).
//
// # Mode lines
//
// One process for all messages, which is started again when it ends. Both
// sides write one JSON object a line. It reads
//
//	{"id":"7","session_id":"…","sender":"…","payload":…}
//
// and answers in any order, one or more messages at a time:
//
//	{"id":"7","chunk":…}                         a piece of the answer, any number
//	{"id":"7","payload":…}                       the result; null sends nothing on, and
//	                                             is the answer of whoever asked
//	{"id":"7","error":"…","permanent":false}     no result; permanent: don't try again
//
// What it writes to its standard error is logged. At the end its standard
// input is closed; it has two seconds to end by itself.
//
// # Processes
//
// A program leads a process group, and what it has started and left behind is
// killed when it ends. All programs of the component are in env.Processes, which
// may limit them; one that is killed for its memory says so.
package exec

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
	"woodwork.dev/ww/runtime/process"
)

const (
	maxOutput = 16 << 20               // bytes of one result
	tailLines = 10                     // of standard error in an error
	linger    = 2 * time.Second        // for a program that was told to end
	leftovers = 500 * time.Millisecond // for the output of one that has ended and left something behind
)

type settings struct {
	Command     command            `json:"command"`
	Mode        string             `json:"mode"`
	Output      string             `json:"output"`
	Timeout     component.Duration `json:"timeout"`
	Environment environment        `json:"environment"`
	Workdir     string             `json:"workdir"`
}

// Build makes an exec component.
func Build(_ context.Context, env component.Env) (*component.Instance, error) {
	s := settings{Mode: "message", Output: "text", Timeout: component.Duration(time.Minute)}
	if err := env.Decode(&s); err != nil {
		return nil, err
	}
	if len(s.Command) == 0 {
		return nil, errors.New(`setting "command" is missing: name the program, such as command: ["python", "tool.py"]`)
	}
	if s.Output != "text" && s.Output != "json" {
		return nil, fmt.Errorf(`setting "output": want "text" or "json", got %q`, s.Output)
	}
	if s.Workdir != "" {
		if fi, err := os.Stat(s.Workdir); err != nil || !fi.IsDir() {
			return nil, fmt.Errorf(`setting "workdir": there is no directory %s`, s.Workdir)
		}
	}
	p := program{args: s.Command, dir: s.Workdir, env: append(os.Environ(), s.Environment...), group: env.Processes}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf(`setting "command": %w`, err)
	}
	switch s.Mode {
	case "message":
		r := &runner{program: p, json: s.Output == "json", timeout: time.Duration(s.Timeout)}
		return &component.Instance{Handle: r.handle, Timed: true}, nil
	case "lines":
		w := start(p, time.Duration(s.Timeout), env.Log)
		return &component.Instance{Handle: w.handle, Timed: true, Close: w.close}, nil
	}
	return nil, fmt.Errorf(`setting "mode": want "message" or "lines", got %q`, s.Mode)
}

// program is what is run.
type program struct {
	args  []string
	dir   string
	env   []string
	group *process.Group
}

func (p program) check() error {
	name := p.args[0]
	if strings.ContainsAny(name, `/\`) && p.dir != "" && !filepath.IsAbs(name) {
		name = filepath.Join(p.dir, name)
	}
	if _, err := exec.LookPath(name); err != nil {
		return fmt.Errorf("there is no program %q where the component runs: %w", p.args[0], errors.Unwrap(err))
	}
	return nil
}

// command returns a process that is to be started in the component's group, and
// is killed with all that it has started when ctx is done.
func (p program) command(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.args[0], p.args[1:]...)
	cmd.Dir, cmd.Env = p.dir, slices.Clone(p.env)
	cmd.WaitDelay = leftovers
	return cmd
}

type runner struct {
	program program
	json    bool
	timeout time.Duration
}

func (r *runner) handle(ctx context.Context, m bus.Message, _ component.Out) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.timeout, fmt.Errorf("%s ran for longer than %s and was killed", r.program.args[0], r.timeout))
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	stdout := &limited{stop: stop}
	stderr := &tail{}
	cmd := r.program.command(ctx)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(component.Text(m.Payload)), stdout, stderr
	cmd.Env = append(cmd.Env, variable("WW_SESSION_ID", m.SessionID), variable("WW_MESSAGE_ID", m.ID), variable("WW_SENDER", m.Sender))
	running, err := r.program.group.Start(cmd)
	if err == nil {
		err = running.Wait()
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it ended well, but left something behind that held its output open
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
		if errors.Is(err, errOutput) {
			err = bus.Permanent(err)
		}
		return nil, withTail(err, stderr)
	}
	if err != nil {
		return nil, failure(r.program.args[0], err, stderr)
	}
	return r.result(stdout.b.Bytes())
}

func (r *runner) result(out []byte) (json.RawMessage, error) {
	if !r.json {
		out = bytes.TrimSuffix(bytes.TrimSuffix(out, []byte("\n")), []byte("\r"))
		return component.JSONString(string(out)), nil
	}
	out = bytes.TrimSpace(out)
	if len(out) == 0 {
		return nil, nil
	}
	if !json.Valid(out) {
		return nil, bus.Permanent(fmt.Errorf(`the output of %s is no JSON, which "output" asks for`, r.program.args[0]))
	}
	return out, nil
}

// failure turns the end of a program into an error.
func failure(name string, err error, stderr *tail) error {
	var killed *process.KilledError
	if errors.As(err, &killed) {
		return withTail(fmt.Errorf("%s was %w", name, killed), stderr)
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return fmt.Errorf("run %s: %w", name, err)
	}
	err = withTail(fmt.Errorf("%s: %w", name, exit), stderr)
	if code := exit.ExitCode(); code >= 64 && code <= 78 && code != 75 {
		return bus.Permanent(err)
	}
	return err
}

func withTail(err error, stderr *tail) error {
	if text := stderr.String(); text != "" {
		return fmt.Errorf("%w: %s", err, text)
	}
	return err
}

// variable is an environment variable; a NUL in it would keep the program from
// being started.
func variable(name, value string) string {
	return name + "=" + strings.ReplaceAll(value, "\x00", "")
}

// environment is a setting: an object or an array of NAME=VALUE.
type environment []string

// Want describes the setting.
func (environment) Want() string { return "an object or an array of NAME=VALUE" }

// UnmarshalJSON reads either form.
func (e *environment) UnmarshalJSON(b []byte) error {
	var list []string
	if json.Unmarshal(b, &list) == nil {
		for _, v := range list {
			if name, _, ok := strings.Cut(v, "="); !ok || name == "" {
				return errors.New("no NAME=VALUE")
			}
		}
		*e = list
		return nil
	}
	var vars map[string]json.RawMessage
	if err := json.Unmarshal(b, &vars); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		raw := vars[name]
		if name == "" || strings.ContainsAny(name, "=\x00") || raw[0] == '{' || raw[0] == '[' {
			return errors.New("no variable")
		}
		*e = append(*e, variable(name, component.Text(raw)))
	}
	return nil
}
