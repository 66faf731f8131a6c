package deploy

import (
	"bufio"
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
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
