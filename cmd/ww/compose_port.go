package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/runtime/plan"
)

func (t *tool) portCommand() *cli.Command {
	return &cli.Command{
		Name:      "port",
		Usage:     "print the address at which a container's port is published",
		ArgsUsage: "SERVICE PORT[/PROTOCOL]",
		Flags: []cli.Flag{
			indexFlag(),
			&cli.StringFlag{Name: "protocol", Value: "tcp", Usage: "tcp or udp"},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() != 2 {
				return &usageError{errors.New("name a service and a port"), "ww compose port SERVICE PORT"}
			}
			number, protocol, given := strings.Cut(c.Args().Get(1), "/")
			if !given {
				protocol = c.String("protocol")
			}
			if err := oneOf("protocol", protocol, "tcp", "udp"); err != nil {
				return err
			}
			port, err := strconv.ParseUint(number, 10, 16)
			if err != nil || port == 0 {
				return &usageError{fmt.Errorf("%q is no port", number), "it is a number from 1 to 65535"}
			}
			r, err := t.find(c.Context, c)
			if err != nil {
				return err
			}
			defer r.engine.Close()
			ctr, err := t.one(c, r, c.Args().First(), c.Int("index"))
			if err != nil {
				return err
			}
			for _, p := range ctr.Ports {
				if p.Target == uint16(port) && p.Protocol == protocol && p.Host != 0 {
					_, err := fmt.Fprintln(t.out, hostPort(p))
					return err
				}
			}
			return &configError{fmt.Errorf("%s doesn't publish port %d/%s", ctr.Name, port, protocol), publishedPorts(ctr)}
		},
	}
}

func publishedPorts(c plan.Container) string {
	if text := ports(c.Ports); text != "" {
		return "its ports: " + text
	}
	return "it has no ports; `ports` in the file publishes some"
}

// hostPort is where a port is published on the engine's machine.
func hostPort(p plan.Port) string { return net.JoinHostPort(p.HostIP, strconv.Itoa(int(p.Host))) }
