package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/runtime/plan"
)

// ComponentError says that a component's container is not as it should be.
type ComponentError struct {
	Service   string
	Container string
	ExitCode  int // meaningful when Exited
	Exited    bool
	Reason    string   // what happened: "exited with code 3", "was not ready after 60s"
	Remedy    string   // what to try, where that is known
	Logs      []string // its last lines
	Started   bool     // it ran, and could write some
	Check     *Check   // its health check, where that is what failed
}

// Check is a health check that failed.
type Check struct {
	ExitCode int      // negative where it was cut off, or couldn't be run
	Output   []string // its last lines
}

func (e *ComponentError) Error() string { return e.Service + " " + e.Reason }

// LogLines is how many of a failed component's last lines are shown.
const LogLines = 20

// logsWithin is how long a failed component's last lines may take.
const logsWithin = 5 * time.Second

// brokenError is the verdict on a container that isn't as it should be.
type brokenError struct {
	reason string
	code   *int // of its end
}

func (e *brokenError) Error() string { return e.reason }

var errRemoved = &brokenError{reason: "was removed by someone else"}

func exited(code int) *brokenError {
	return &brokenError{fmt.Sprintf("exited with code %d", code), &code}
}

func isNotFound(err error) bool {
	var ee *EngineError
	return errors.As(err, &ee) && ee.Kind == NotFound
}

// failure makes the error of a component, with the last lines of its log and of
// its health check. probed is how our own run of that came out last, for when the
// engine hasn't made one yet; it may be nil.
func (e *executor) failure(ctx context.Context, s plan.Step, id string, b *brokenError, probed *Check) error {
	ctx, cancel := context.WithTimeout(ctx, logsWithin)
	defer cancel()
	err := &ComponentError{Service: s.Service, Container: plan.FinalName(s.Name), Reason: b.reason, Logs: Tail(ctx, e.driver, id, LogLines), Started: true}
	if b.code != nil {
		err.Exited, err.ExitCode = true, *b.code
		if restarts(e.project.Services[s.Service]) > 0 {
			err.Logs = lastLife(err.Logs)
		}
		return err
	}
	err.Check = probed
	if c, inspected := e.driver.Inspect(ctx, id); inspected == nil && c.Check != nil {
		var out lines
		_, _ = out.Write([]byte(c.Check.Output))
		err.Check = &Check{c.Check.ExitCode, out.last(LogLines)}
	}
	return err
}

// moment matches when a line was written, as most logs have it.
var moment = regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.,\d]*(Z|[+-]\d\d:?\d\d)?`)

// lastLife leaves one of several times the same lines, but for when they were
// written, which is what a container writes that ends and is started again.
func lastLife(logs []string) []string {
	said := make([]string, len(logs))
	for i, l := range logs {
		said[i] = moment.ReplaceAllString(l, "")
	}
	for n := 1; n <= len(logs)/2; n++ {
		again := true
		for i := n; i < len(logs) && again; i++ {
			again = said[i] == said[i-n]
		}
		switch {
		case again && len(logs) < LogLines:
			return logs[:n] // it begins where a life does
		case again:
			return logs[len(logs)-n:]
		}
	}
	return logs
}

// unstartable makes a component's error of one that the engine has with its
// program; any other one stays.
func unstartable(err error, s plan.Step) error {
	var ee *EngineError
	if !errors.As(err, &ee) || ee.Kind != NoProgram {
		return err
	}
	return &ComponentError{Service: s.Service, Container: plan.FinalName(s.Name), Reason: "can't be started: " + ee.Err.Error(), Remedy: ee.Remedy}
}

// oneShot reports whether a service is expected to end.
func oneShot(s types.ServiceConfig) bool {
	policy, _ := restartPolicy(s)
	return policy == types.RestartPolicyNo || policy == types.RestartPolicyOnFailure
}

// retriesOf is how often the engine starts a service again that fails, where
// that is to lead to a success in the end.
func retriesOf(s types.ServiceConfig) int {
	if policy, n := restartPolicy(s); policy == types.RestartPolicyOnFailure {
		return n
	}
	return 0
}

// restartPolicy gives a service's policy, and how often it applies at most.
func restartPolicy(s types.ServiceConfig) (policy string, attempts int) {
	if s.Deploy != nil && s.Deploy.RestartPolicy != nil {
		p := s.Deploy.RestartPolicy
		attempts = math.MaxInt
		if p.MaxAttempts != nil && *p.MaxAttempts > 0 {
			attempts = int(*p.MaxAttempts)
		}
		switch p.Condition {
		case "none", types.RestartPolicyNo:
			return types.RestartPolicyNo, 0
		case types.RestartPolicyOnFailure:
			return types.RestartPolicyOnFailure, attempts
		}
		return types.RestartPolicyAlways, math.MaxInt
	}
	policy, most, _ := strings.Cut(s.Restart, ":")
	switch n, err := strconv.Atoi(most); {
	case policy == "" || policy == types.RestartPolicyNo:
		return types.RestartPolicyNo, 0
	case err == nil && n > 0:
		return policy, n
	}
	return policy, math.MaxInt
}

// Tail gives the last lines of a container's log, as far as they can be had.
func Tail(ctx context.Context, d Driver, id string, n int) []string {
	var out lines
	if err := d.Logs(ctx, id, LogOptions{Tail: fmt.Sprint(n)}, &out, &out); err != nil && out.text.Len() == 0 {
		return nil
	}
	return out.last(n)
}

// lines keeps what several streams write.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// last gives the last lines; nil if nothing was written.
func (l *lines) last(n int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.TrimRight(l.text.String(), "\r\n")
	if text == "" {
		return nil
	}
	all := strings.Split(text, "\n")
	for i := range all {
		all[i] = strings.TrimRight(all[i], "\r")
	}
	return all[max(0, len(all)-n):]
}
