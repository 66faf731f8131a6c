package embedded

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Probe returns nil if a server at addr takes messages, or says why not.
func Probe(ctx context.Context, addr, password string) error {
	opts := []nats.Option{nats.NoReconnect(), nats.Timeout(2 * time.Second)}
	if password != "" {
		opts = append(opts, nats.UserInfo("ww", password))
	}
	nc, err := nats.Connect("nats://"+addr, opts...)
	if err != nil {
		return fmt.Errorf("bus at %s: %w", addr, err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err == nil {
		_, err = js.AccountInfo(ctx)
	}
	if err != nil {
		return fmt.Errorf("bus at %s: it keeps no messages: %w", addr, err)
	}
	return nil
}
