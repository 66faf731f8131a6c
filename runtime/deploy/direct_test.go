package deploy

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// answers listens and writes one line for each of AUTH and PING.
func answers(t *testing.T, auth, ping string) (addr string, asked chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	asked = make(chan string, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		in := bufio.NewReader(conn)
		var said []string
		for range 5 + 3 { // the lines of both commands
			line, err := in.ReadString('\n')
			if err != nil {
				break
			}
			said = append(said, strings.TrimSpace(line))
		}
		asked <- strings.Join(said, " ")
		_, _ = conn.Write([]byte(auth + "\r\n" + ping + "\r\n"))
	}()
	return l.Addr().String(), asked
}

func TestPingRedis(t *testing.T) {
	for name, tt := range map[string]struct {
		auth, ping string
		ready      bool
		err        error
	}{
		"ready":          {"+OK", "+PONG", true, nil},
		"loading":        {"+OK", "-LOADING Redis is loading the dataset in memory", false, syscall.ECONNREFUSED},
		"wrong password": {"-WRONGPASS invalid username-password pair", "-NOAUTH", false, nil},
		"no Redis":       {"HTTP/1.1 400 Bad Request", "", false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			addr, asked := answers(t, tt.auth, tt.ping)
			ready, err := pingRedis(t.Context(), addr, "secret word")
			if ready != tt.ready || !errors.Is(err, tt.err) {
				t.Errorf("%v, %v", ready, err)
			}
			if got := <-asked; got != "*2 $4 AUTH $11 secret word *1 $4 PING" {
				t.Errorf("asked %q", got)
			}
		})
	}
}

func TestAsksRedis(t *testing.T) {
	for check, want := range map[string]bool{
		`/bin/sh -c REDISCLI_AUTH="$(cat /run/secrets/bus_password)" redis-cli ping | grep -q PONG`: true,
		"redis-cli ping": true,
		"/ww bus health": false,
		"":               false,
	} {
		if got := asksRedis(strings.SplitN(check, " ", 3)); got != want {
			t.Errorf("%q: %v", check, got)
		}
	}
}

// TestPingRedisEnds: a server that says nothing is given up with the context.
func TestPingRedisEnds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if ready, err := pingRedis(ctx, l.Addr().String(), "x"); ready || err == nil || time.Since(begin) > time.Second {
		t.Errorf("%v, %v after %v", ready, err, time.Since(begin))
	}
}

// TestPersist: a port that is closed, and on this machine one that is slow, is
// asked at again, for so long; every other answer is none.
func TestPersist(t *testing.T) {
	late := &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}
	for name, tt := range map[string]struct {
		here  bool
		err   error         // until it is ready
		ready time.Duration // after that
		ends  time.Duration // at the latest, with no verdict if it isn't ready
	}{
		"at once":          {ready: 0},
		"closed":           {err: syscall.ECONNREFUSED, ready: time.Second, ends: refusals},
		"closed for long":  {err: syscall.ECONNREFUSED, ready: time.Minute, ends: refusals},
		"slow":             {err: late, ready: time.Second},
		"another's":        {err: errors.New("is not container a"), ready: time.Second},
		"not ready":        {ready: time.Second},
		"here, closed":     {here: true, err: syscall.ECONNREFUSED, ready: 9 * time.Second, ends: busy},
		"here, slow":       {here: true, err: late, ready: 9 * time.Second, ends: busy},
		"here, for long":   {here: true, err: late, ready: time.Minute, ends: busy},
		"here, not ready":  {here: true, ready: time.Second},
		"here, another's":  {here: true, err: errors.New("is not container a"), ready: time.Second},
		"here, no network": {here: true, err: syscall.ENETUNREACH, ready: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				err := persist(t.Context(), func() bool { return tt.here }, func() (bool, error) {
					ready := time.Since(begin) >= tt.ready
					if ready {
						return true, nil
					}
					return false, tt.err
				})
				took := time.Since(begin)
				switch {
				case tt.ready <= tt.ends:
					if err != nil || took > tt.ready+50*time.Millisecond {
						t.Errorf("%v after %v", err, took)
					}
				case !errors.Is(err, errNoVerdict), took < tt.ends, took > tt.ends+50*time.Millisecond:
					t.Errorf("%v after %v", err, took)
				}
			})
		})
	}
}

func TestPersistIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	err := persist(ctx, func() bool { return true }, func() (bool, error) { cancel(); return false, syscall.ECONNREFUSED })
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestBridged: what isn't on a bridge of this machine isn't taken for it.
func TestBridged(t *testing.T) {
	for _, ip := range []string{"127.0.0.1", "::1", "203.0.113.9", "", "no address"} {
		if bridged(ip) {
			t.Errorf("%q counts as on a bridge", ip)
		}
	}
}
