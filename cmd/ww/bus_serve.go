package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/model"
	"woodwork.dev/ww/runtime/bus/nats/embedded"
)

// passwordFile is where a container finds the password of its project's bus.
const passwordFile = "/run/secrets/bus_password"

// busServeCommand is what the container of a NATS bus runs.
func (t *tool) busServeCommand() *cli.Command {
	return &cli.Command{
		Name:  "serve",
		Usage: "be the message bus: a NATS server that keeps messages on disk; the first process of its container",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "store", Value: "/data", Usage: "folder for the messages"},
			&cli.StringFlag{Name: "addr", Value: ":4222", Usage: "where to listen"},
			busPasswordFlag(),
		},
		Action: func(c *cli.Context) error {
			password, err := readPassword(c.String("password-file"))
			if err != nil {
				return err
			}
			if host, _, err := net.SplitHostPort(c.String("addr")); err == nil && password == "" && !model.OnlyHere(host) {
				return &configError{fmt.Errorf("the bus would listen on %s without a password", c.String("addr")),
					"give it one in " + c.String("password-file") + ", or listen on 127.0.0.1"}
			}
			log := slog.New(slog.NewJSONHandler(t.err, nil))
			server, err := embedded.Start(embedded.Options{StoreDir: c.String("store"), Addr: c.String("addr"), Password: password, Log: log})
			if err != nil {
				return err
			}
			log.Info("the bus accepts connections", "addr", server.Addr())
			<-c.Context.Done()
			server.Shutdown()
			return nil
		},
	}
}

func (t *tool) busHealthCommand() *cli.Command {
	return &cli.Command{
		Name:  "health",
		Usage: "ask the bus in this container whether it is ready: exit code 0 if so, 1 if not",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "addr", Value: "127.0.0.1:4222", Usage: "where it listens"},
			busPasswordFlag(),
		},
		Action: func(c *cli.Context) error {
			password, err := readPassword(c.String("password-file"))
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(c.Context, 4*time.Second)
			defer cancel()
			return embedded.Probe(ctx, c.String("addr"), password)
		},
	}
}

func busPasswordFlag() cli.Flag {
	return &cli.StringFlag{Name: "password-file", Value: passwordFile, Usage: "file with the password; none is asked for where there is no such file"}
}

func readPassword(name string) (string, error) {
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("the password of the bus: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}
