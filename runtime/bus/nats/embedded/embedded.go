// Package embedded runs a NATS server with JetStream in this process: the bus
// of a system that needs nothing from outside, and of tests.
package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"woodwork.dev/ww/runtime/bus"
)

// Options of a server.
type Options struct {
	StoreDir string // where messages are kept
	Addr     string // host:port to listen on; 127.0.0.1 and any free port if empty
	User     string // "ww" if empty
	Password string // none is asked for if empty

	// MemoryOnly is for tests and trials: what is kept goes with Shutdown, and
	// nothing is synced. StoreDir may be empty.
	MemoryOnly bool

	Log *slog.Logger
}

// readyWithin is how long a server may take to read its store: far more than
// it needs.
const readyWithin = 5 * time.Minute

// Server is a server that runs.
type Server struct {
	s       *server.Server
	addr    string
	scratch string // of MemoryOnly
}

// Start starts a server and returns when it accepts connections. It syncs every
// write before it is acknowledged. It has no signals of its own: call Shutdown.
func Start(o Options) (*Server, error) {
	e := &Server{}
	host, port, err := split(cmp.Or(o.Addr, "127.0.0.1:0"))
	if err != nil {
		return nil, fmt.Errorf("bus server: address %q: %w", o.Addr, err)
	}
	dir := o.StoreDir
	switch {
	case o.MemoryOnly:
		if dir, err = os.MkdirTemp("", "ww-bus-"); err != nil {
			return nil, fmt.Errorf("bus server: %w", err)
		}
		e.scratch = dir
	case dir == "":
		return nil, errors.New("bus server: it has no folder for its messages: give it a store")
	}
	conf := &server.Options{
		ServerName: "ww", Host: host, Port: port,
		JetStream: true, StoreDir: dir, SyncAlways: !o.MemoryOnly,
		JetStreamMaxMemory: 1 << 30, JetStreamMaxStore: 1 << 50, // the disk is the limit
		MaxPayload: bus.MaxMessageBytes + 1<<20, MaxPending: 256 << 20,
		MaxControlLine: 8 << 10,
		NoSigs:         true, NoSystemAccount: false, DisableJetStreamBanner: true,
	}
	if o.Password != "" {
		conf.Username, conf.Password = cmp.Or(o.User, "ww"), o.Password
	}
	if e.s, err = server.NewServer(conf); err != nil {
		e.clean()
		return nil, fmt.Errorf("bus server: %w", err)
	}
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	failed := make(chan string, 1)
	e.s.SetLoggerV2(logger{log, failed}, false, false, false)
	e.s.Start()
	select {
	case why := <-failed: // it has shut itself down
		e.Shutdown()
		return nil, fmt.Errorf("bus server: %s", why)
	default:
	}
	if !e.s.ReadyForConnections(readyWithin) || !e.s.JetStreamEnabled() {
		e.Shutdown()
		return nil, fmt.Errorf("bus server: it can't be started on %s with its store in %s: see its log", cmp.Or(o.Addr, "a free port"), dir)
	}
	e.addr = e.s.Addr().String()
	return e, nil
}

func split(addr string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	if port, err = strconv.Atoi(p); err != nil {
		return "", 0, errors.New("the port is no number")
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return cmp.Or(host, "0.0.0.0"), port, nil
}

// Addr is where it listens.
func (e *Server) Addr() string { return e.addr }

// URL is what to connect to, without the password.
func (e *Server) URL() string { return (&url.URL{Scheme: "nats", Host: e.addr}).String() }

// Shutdown stops the server, with all that it has acknowledged on its disk.
func (e *Server) Shutdown() {
	e.s.Shutdown()
	e.s.WaitForShutdown()
	e.clean()
}

func (e *Server) clean() {
	if e.scratch != "" {
		_ = os.RemoveAll(e.scratch) // it is in the folder for such things
	}
}

// logger hands on what the server says.
type logger struct {
	log    *slog.Logger
	failed chan<- string
}

func (l logger) say(level slog.Level, format string, v ...any) {
	l.log.Log(context.Background(), level, strings.TrimSpace(fmt.Sprintf(format, v...)))
}

func (l logger) Noticef(format string, v ...any) { l.say(slog.LevelInfo, format, v...) }

// Warnf leaves out what the server thinks of settings that are ours: nobody who
// reads it could change them.
func (l logger) Warnf(format string, v ...any) {
	if !strings.HasPrefix(format, "Plaintext passwords detected") && !strings.HasPrefix(format, "Maximum payloads over ") {
		l.say(slog.LevelWarn, format, v...)
	}
}

func (l logger) Errorf(format string, v ...any) { l.say(slog.LevelError, format, v...) }
func (l logger) Debugf(format string, v ...any) { l.say(slog.LevelDebug, format, v...) }
func (l logger) Tracef(format string, v ...any) { l.say(slog.LevelDebug, format, v...) }
func (l logger) Fatalf(format string, v ...any) {
	l.say(slog.LevelError, format, v...)
	select {
	case l.failed <- fmt.Sprintf(format, v...):
	default:
	}
}
