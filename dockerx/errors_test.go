package dockerx

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/containerd/errdefs"

	"woodwork.dev/ww/dockerx/enginetest"
	"woodwork.dev/ww/runtime/bus/bustest"
	"woodwork.dev/ww/runtime/deploy"
)

func openAt(t *testing.T, host string) *Engine {
	t.Helper()
	e, err := Open(t.Context(), Options{Host: host, ConfigDir: t.TempDir(), Getenv: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func TestUnreachable(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale")
	l, err := net.Listen("unix", stale)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = l.Close()
	closed := bustest.Nobody()
	for name, tt := range map[string]struct{ host, remedy string }{
		"no socket":     {"unix://" + filepath.Join(dir, "none"), "start the engine"},
		"stale socket":  {"unix://" + stale, "start the engine"},
		"refused":       {"tcp://" + closed, "check that an engine listens"},
		"unknown names": {"tcp://engine.invalid:2375", "check that an engine listens"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := openAt(t, tt.host).Info(t.Context())
			e := wantKind(t, err, deploy.Unreachable)
			if !strings.Contains(e.Error(), tt.host) || !strings.Contains(e.Remedy, tt.remedy) {
				t.Errorf("%q, remedy %q: want the address %s and %q", e, e.Remedy, tt.host, tt.remedy)
			}
		})
	}
}

func TestDialTimeout(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes the five seconds of the timeout")
	}
	t.Parallel()
	// A listener whose queue is full doesn't answer.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	cfg := endpoint{host: "tcp://" + l.Addr().String(), network: "tcp", address: l.Addr().String()}
	cfg.tls, err = clientTLS(t.TempDir(), true) // the handshake is never answered
	if err != nil {
		t.Fatal(err)
	}
	dial, err := dialer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	e := openAt(t, cfg.host)
	start := time.Now()
	_, err = dial(t.Context(), "", "")
	if kind, _ := e.classify(err); err == nil || kind != deploy.Unreachable {
		t.Errorf("%v is %s", err, kind)
	}
	if d := time.Since(start); d < 4*time.Second || d > 15*time.Second {
		t.Errorf("it took %v", d)
	}
}

func TestClassify(t *testing.T) {
	e := openAt(t, "unix:///run/engine.sock")
	for _, tt := range []struct {
		err    error
		kind   deploy.ErrorKind
		remedy string
	}{
		{&dialError{"unix:///run/engine.sock", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EACCES)}}, deploy.Denied, "group"},
		{&dialError{"unix:///run/engine.sock", fs.ErrNotExist}, deploy.Unreachable, "/run/engine.sock"},
		{errors.New("driver failed programming external connectivity on endpoint a (b): Bind for 0.0.0.0:8080 failed: port is already allocated"), deploy.PortTaken, "host port 8080 "},
		{errors.New("Error starting userland proxy: listen tcp4 127.0.0.1:6379: bind: address already in use"), deploy.PortTaken, "host port 6379 "},
		{errors.New("failed to bind host port for 127.0.0.1:6379:172.18.0.2:6379/tcp: address already in use"), deploy.PortTaken, "host port 6379 "},
		{errors.New("failed to bind host port 0.0.0.0:81/tcp: address already in use"), deploy.PortTaken, "host port 81 "},
		{errors.New("Bind for :::82 failed: port is already allocated"), deploy.PortTaken, "host port 82 "},
		{errors.New("Ports are not available: exposing port TCP 0.0.0.0:83 -> 0.0.0.0:0: listen tcp 0.0.0.0:83: bind"), deploy.PortTaken, "host port 83 "},
		{errors.New("write /var/lib/x: no space left on device"), deploy.DiskFull, "prune"},
		{fmt.Errorf("write: %w", syscall.ENOSPC), deploy.DiskFull, "prune"},
		{errors.New("client version 1.51 is too new. Maximum supported API version is 1.41"), deploy.Other, "DOCKER_API_VERSION"},
		{errors.New(`failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: "/nope": stat /nope: no such file or directory: unknown`), deploy.NoProgram, "`command` or `entrypoint`"},
		{errors.New(`exec: "sleep 10": executable file not found in $PATH`), deploy.NoProgram, "an item for each word"},
		{errors.New(`exec: "/run.sh": permission denied: unknown`), deploy.NoProgram, `["sh", "/run.sh"]`},
		{errors.New("crun: executable file `nope` not found in $PATH: No such file or directory"), deploy.NoProgram, "`command` or `entrypoint`"},
		{fmt.Errorf("Minimum memory limit allowed is 6MB (%w)", errdefs.ErrInvalidArgument), deploy.Invalid, "correct what it names"},
		{errors.New("something else"), deploy.Other, "log"},
	} {
		kind, remedy := e.classify(tt.err)
		if kind != tt.kind || !strings.Contains(remedy, tt.remedy) {
			t.Errorf("%v: %s, %q; want %s, …%s…", tt.err, kind, remedy, tt.kind, tt.remedy)
		}
	}
}

func TestFaults(t *testing.T) {
	for name, tt := range map[string]struct {
		fault enginetest.Fault
		kind  deploy.ErrorKind
	}{
		"fails":     {enginetest.Fault{Kind: enginetest.Fail, Message: "broken"}, deploy.Other},
		"disk full": {enginetest.Fault{Kind: enginetest.Fail, Message: "mkdir x: no space left on device"}, deploy.DiskFull},
		"cut":       {enginetest.Fault{Kind: enginetest.Cut}, deploy.Unreachable},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFake(t, enginetest.Options{Images: []string{testImage}})
			tt.fault.Op = "container.create"
			h.fake.Inject(tt.fault)
			_, err := h.Create(h.ctx, h.project, h.spec(h.service("a", "run"), 1))
			wantKind(t, err, tt.kind)
		})
	}
	t.Run("hangs", func(t *testing.T) {
		h := newFake(t, enginetest.Options{})
		h.fake.Inject(enginetest.Fault{Op: "volume.list", Kind: enginetest.Hang})
		ctx, cancel := context.WithCancel(h.ctx)
		go func() {
			h.fake.AwaitCalls(ctx, 1, "volume.list")
			cancel()
		}()
		if _, err := h.Observe(ctx, "p", nil); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
	t.Run("hangs with the ping", func(t *testing.T) {
		h := newFake(t, enginetest.Options{})
		h.fake.Inject(enginetest.Fault{Op: "ping", N: 1, Kind: enginetest.Hang})
		ctx, cancel := context.WithCancel(h.ctx)
		go func() {
			h.fake.AwaitCalls(ctx, 1, "ping")
			cancel()
		}()
		if _, err := h.Info(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if info, err := h.Info(h.ctx); err != nil || info.APIVersion != "1.51" {
			t.Errorf("the next call: %+v, %v", info, err)
		}
	})
}

// TestObserveFails: whichever listing goes wrong, the error says what was being
// done, and nothing half is returned.
func TestObserveFails(t *testing.T) {
	for _, op := range []string{"container.list", "network.list", "volume.list", "image.list"} {
		for name, fault := range map[string]enginetest.Fault{
			"fails": {Kind: enginetest.Fail, Message: "broken"}, "cut": {Kind: enginetest.Cut}, "lost": {Kind: enginetest.Lost},
		} {
			t.Run(op+" "+name, func(t *testing.T) {
				h := newFake(t, enginetest.Options{Images: []string{testImage}})
				h.started(h.service("a", "run"))
				fault.Op = op
				h.fake.Inject(fault)
				o, err := h.Observe(h.ctx, h.project.Name, h.project)
				kind := deploy.Unreachable
				if name == "fails" {
					kind = deploy.Other
				}
				if name != "lost" { // an answer that is whole counts
					if e := wantKind(t, err, kind); e.What != "look at project "+h.project.Name {
						t.Errorf("%q", e.What)
					}
				}
				if err != nil && (o.Containers != nil || o.Networks != nil || o.Volumes != nil || o.Images != nil) {
					t.Errorf("%+v beside an error", o)
				}
			})
		}
	}
}

// TestOldAPI: an engine that is too old is told from one that isn't there.
func TestOldAPI(t *testing.T) {
	h := newFake(t, enginetest.Options{APIVersion: "1.23"})
	_, err := h.Info(h.ctx)
	if e := wantKind(t, err, deploy.Other); !strings.Contains(e.Error(), "API 1.23") || !strings.Contains(e.Remedy, "update the engine") {
		t.Errorf("%q, remedy %q", e, e.Remedy)
	}
	if n := len(h.fake.Calls()); n != 0 {
		t.Errorf("%d calls", n)
	}
}

// TestLost: a call whose answer is lost is a failure, and has been carried out.
func TestLost(t *testing.T) {
	h := newFake(t, enginetest.Options{Images: []string{testImage}})
	h.fake.Inject(enginetest.Fault{Op: "container.create", Kind: enginetest.Lost})
	_, err := h.Create(h.ctx, h.project, h.spec(h.service("a", "run"), 1))
	wantKind(t, err, deploy.Unreachable)
	h.only()
}

func TestFailedCreateLeavesNothing(t *testing.T) {
	for _, op := range []string{"container.copy", "network.connect"} {
		t.Run(op, func(t *testing.T) {
			h := newFake(t, enginetest.Options{APIVersion: "1.41", Images: []string{testImage}})
			s := withSecrets(h)
			s.NetworkMode = ""
			h.project.Networks["other"] = types.NetworkConfig{Name: "other"}
			s.Networks = map[string]*types.ServiceNetworkConfig{"default": nil, "other": nil}
			h.fake.AddNetwork("other", nil)
			h.fake.Inject(enginetest.Fault{Op: op, Kind: enginetest.Fail, Message: "broken"})
			_, err := h.Create(h.ctx, h.project, h.spec(s, 1))
			if e := wantKind(t, err, deploy.Other); strings.Contains(e.Error(), secretValue) {
				t.Errorf("the secret is in %q", e)
			}
			if o := h.observe(); len(o.Containers) != 0 {
				t.Errorf("left behind: %+v", o.Containers)
			}
		})
	}
}

func TestEventsAreCut(t *testing.T) {
	h := newFake(t, enginetest.Options{})
	events, ended, err := h.Events(h.ctx, "p", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	h.fake.CutStreams()
	for range events { // until it is closed
	}
	wantKind(t, ended(), deploy.Unreachable)
	h.fake.Inject(enginetest.Fault{Op: "events", Kind: enginetest.Fail, Message: "broken"})
	_, _, err = h.Events(h.ctx, "p", time.Time{})
	wantKind(t, err, deploy.Other)
}

func TestPull(t *testing.T) {
	h := newFake(t, enginetest.Options{PullErrors: map[string]string{
		"private": "pull access denied for private, repository does not exist or may require 'docker login'",
		"old:9":   "manifest for old:9 not found: manifest unknown",
	}})
	var shares []float64
	if err := h.Pull(h.ctx, "redis:7", "", func(done float64, _ string) { shares = append(shares, done) }); err != nil {
		t.Fatal(err)
	}
	for i, s := range shares {
		if s < 0 || s > 1 || i > 0 && s < shares[i-1] {
			t.Fatalf("shares: %v", shares)
		}
	}
	if len(shares) < 4 || shares[len(shares)-1] != 1 || shares[0] != 0 {
		t.Errorf("shares: %v", shares)
	}
	h.project.Services["a"] = types.ServiceConfig{Name: "a", Image: "redis:7"}
	if o := h.observe(); o.Images["redis:7"] == "" {
		t.Error("the image isn't there")
	}
	for ref, remedy := range map[string]string{"private": "docker login", "old:9": "tag", "Not:A:Ref": "registry/name"} {
		e := wantKind(t, h.Pull(h.ctx, ref, "", nil), deploy.NoImage)
		if !strings.Contains(e.Remedy, remedy) {
			t.Errorf("%s: remedy %q", ref, e.Remedy)
		}
	}
}

// TestCalls holds the number of calls: what is slow is the engine.
func TestCalls(t *testing.T) {
	for api, want := range map[string]string{
		"1.41": "container.create network.connect container.copy container.start container.stop container.remove",
		"1.44": "container.create container.copy container.start container.stop container.remove",
	} {
		h := newFake(t, enginetest.Options{APIVersion: api, Images: []string{testImage}})
		s := withSecrets(h)
		s.NetworkMode = ""
		h.project.Networks["other"] = types.NetworkConfig{Name: "other"}
		s.Networks = map[string]*types.ServiceNetworkConfig{"default": nil, "other": nil}
		h.fake.AddNetwork("other", nil)
		h.fake.AddNetwork(h.project.Networks["default"].Name, nil)
		id := h.started(s)
		if err := errors.Join(h.Stop(h.ctx, id, nil), h.Remove(h.ctx, id, true)); err != nil {
			t.Fatal(err)
		}
		var ops []string
		for _, c := range h.fake.Calls() {
			ops = append(ops, c.Op)
		}
		if got := strings.Join(ops, " "); got != want {
			t.Errorf("API %s: %s\nwant %s", api, got, want)
		}
		if n := len(h.fake.Calls("ping")); n != 1 {
			t.Errorf("%d pings", n)
		}
	}
}
