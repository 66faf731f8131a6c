package deploy

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/runtime/plan"
)

// LabelPort holds the port of a component's health endpoints.
const LabelPort = "dev.woodwork.port"

const (
	// dialTimeout is how long a packet to a container on this very machine may
	// take. Where there is no way to it (the engine runs in a virtual machine),
	// nothing answers at all.
	dialTimeout = 250 * time.Millisecond
	// refusals is how long a container may have its port closed before it is
	// looked at in another way as well.
	refusals = 2 * time.Second
	// busy is that where the container is on a bridge of this very machine: it is
	// the machine that is slow then, and every other way is slower.
	busy = 10 * time.Second
)

// direct asks a component for its readiness over the project's network, where
// the engine is on this machine. The question waits for its answer, costs no
// call of the engine and no process in the container. errNoVerdict where the
// component can't be reached like that.
func (e *executor) direct(ctx context.Context, s plan.Step, id, port string) error {
	return e.knock(ctx, s, id, port, func(addr string) (bool, error) {
		var verdict struct {
			Ready bool `json:"ready"`
		}
		_, err := Ask(ctx, addr, "/readyz?wait="+e.timeout.String(), id, &verdict)
		return verdict.Ready, err
	})
}

// directBus asks a project's own Redis what its health check asks. That it
// takes the project's password tells that it is the one that is meant.
func (e *executor) directBus(ctx context.Context, svc types.ServiceConfig, s plan.Step, id string) error {
	for _, secret := range svc.Secrets {
		if file := e.project.Secrets[secret.Source].File; secret.Source == busPassword && file != "" {
			password, err := os.ReadFile(file)
			if err != nil {
				return errNoVerdict
			}
			return e.knock(ctx, s, id, svc.Labels[LabelPort], func(addr string) (bool, error) {
				return pingRedis(ctx, addr, strings.TrimSpace(string(password)))
			})
		}
	}
	return errNoVerdict
}

// asksRedis reports whether a health check is that of a Redis: another bus would
// take our question for an attack.
func asksRedis(test []string) bool {
	return slices.ContainsFunc(test, func(arg string) bool { return strings.Contains(arg, "redis-cli") })
}

const (
	phaseBus    = "bus"
	busPassword = "bus_password" // the secret
)

// pingRedis reports whether a Redis has loaded its data and answers.
func pingRedis(ctx context.Context, addr, password string) (bool, error) {
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := conn.SetDeadline(time.Now().Add(refusals)); err != nil {
		return false, err
	}
	if _, err := fmt.Fprintf(conn, "*2\r\n$4\r\nAUTH\r\n$%d\r\n%s\r\n*1\r\n$4\r\nPING\r\n", len(password), password); err != nil {
		return false, err
	}
	answer := bufio.NewReader(conn)
	for _, want := range []string{"+OK\r\n", "+PONG\r\n"} {
		line, err := answer.ReadString('\n')
		switch {
		case err != nil:
			return false, err
		case strings.HasPrefix(line, "-LOADING"):
			return false, syscall.ECONNREFUSED // not yet
		case line != want:
			return false, nil
		}
	}
	return true, nil
}

// knock asks at a container's port until it is opened and the answer is yes.
func (e *executor) knock(ctx context.Context, s plan.Step, id, port string, ask func(addr string) (bool, error)) error {
	ip, err := e.addresses.of(ctx, s, id)
	if err != nil || ip == "" || port == "" {
		return errNoVerdict
	}
	addr := net.JoinHostPort(ip, port)
	return persist(ctx, func() bool { return bridged(ip) }, func() (bool, error) { return ask(addr) })
}

// persist asks until the answer is yes, or no answer can be expected any more:
// errNoVerdict then. here tells whether what is asked is on this very machine.
func persist(ctx context.Context, here func() bool, ask func() (bool, error)) error {
	begin := time.Now()
	for pause := 3 * time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		ready, err := ask()
		if err == nil && ready {
			return nil
		}
		var late net.Error
		refused := errors.Is(err, syscall.ECONNREFUSED)
		switch waited := time.Since(begin); {
		case refused && waited <= refusals:
		case waited > busy, !refused && !(errors.As(err, &late) && late.Timeout()), !here():
			return errNoVerdict
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// bridged reports whether an address is on a bridge that this machine has, so that
// nothing else can have that address. A network of that range behind another kind
// of interface proves nothing.
func bridged(ip string) bool {
	addr := net.ParseIP(ip)
	interfaces, _ := net.Interfaces()
	for _, i := range interfaces {
		if _, err := os.Stat(filepath.Join("/sys/class/net", i.Name, "bridge")); err != nil {
			continue
		}
		addrs, _ := i.Addrs()
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.Contains(addr) {
				return true
			}
		}
	}
	return false
}

// nearby keeps no connection: what it asks may be gone the next moment.
var nearby = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: dialTimeout}).DialContext}}

// Ask gets JSON from a component's own endpoint, and the status that it came
// with, over the project's network: for an engine that is Near. It is an error
// where the answer isn't that of the container with this id: another machine may
// have the address.
func Ask(ctx context.Context, addr, path, id string, answer any) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		return 0, err
	}
	res, err := nearby.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(http.MaxBytesReader(nil, res.Body, 64<<10))
	if err != nil {
		return 0, err
	}
	var from struct {
		Instance string `json:"instance"`
	}
	if err := json.Unmarshal(body, &from); err != nil {
		return 0, fmt.Errorf("%s answers what isn't JSON: %w", addr, err)
	}
	if from.Instance == "" || !strings.HasPrefix(id, from.Instance) {
		return 0, fmt.Errorf("%s is not container %s", addr, id)
	}
	return res.StatusCode, json.Unmarshal(body, answer)
}
