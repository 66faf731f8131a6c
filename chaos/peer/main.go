// Peer is what runs in the containers of a system under chaos, and beside
// them: see package chaos.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"woodwork.dev/ww/chaos"
	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
	"woodwork.dev/ww/runtime/host"
	"woodwork.dev/ww/runtime/registry"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var l chaos.Load
	flag.StringVar(&l.Dir, "dir", "/out", "where records are")
	flag.StringVar(&l.Target, "target", "ingest", "the component that numbers are sent to")
	flag.IntVar(&l.Messages, "messages", 0, "how many numbers are sent")
	flag.IntVar(&l.Sessions, "sessions", 1, "how many sessions they are of")
	flag.IntVar(&l.Window, "window", 1, "how many are under way at most")
	flag.DurationVar(&l.Patience, "patience", time.Minute, "how long to wait for the last ones")
	flag.DurationVar(&l.For, "for", 0, "how long to send, if not until all numbers are")
	flag.DurationVar(&l.Pace, "pace", 0, "how long each of the 64 senders waits before a number")
	work := flag.Duration("work", 0, "how long a relay works on each")
	flag.Parse()
	switch mode := flag.Arg(0); mode {
	case "component": // NAME: in place of ww
		return load(ctx, &l)
	case "relay":
		return chaos.Relay(os.Stdin, os.Stdout, *work)
	case "sink":
		return chaos.Sink(os.Stdin, os.Stdout, filepath.Join(l.Dir, chaos.SinkJournal))
	case "churn":
		return chaos.Churn(ctx, l.Dir)
	default:
		return fmt.Errorf("unknown mode %q", mode)
	}
}

// load runs a Load in the container of a component of the kind exec: it has
// all that a component needs.
func load(ctx context.Context, l *chaos.Load) error {
	opts, err := host.FromEnv(os.Getenv, map[string]component.Builder{"core exec": l.Build})
	if err != nil {
		return err
	}
	open := opts.OpenBus
	opts.OpenBus = func(ctx context.Context) (b bus.Bus, r registry.Registry, err error) {
		b, r, err = open(ctx)
		l.Bus = b
		return b, r, err
	}
	return host.Run(ctx, opts)
}
