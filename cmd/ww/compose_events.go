package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/dockerx"
)

func (t *tool) eventsCommand() *cli.Command {
	return &cli.Command{
		Name:      "events",
		Usage:     "show what happens to the containers, as it happens",
		ArgsUsage: "[SERVICE…]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "json", Usage: "a JSON object a line"},
			&cli.StringFlag{Name: "since", Usage: "from a time (2006-01-02T15:04:05Z) or for a time (10m) on"},
			&cli.StringFlag{Name: "until", Usage: "up to a time, likewise"},
			&cli.StringFlag{Name: "format", Hidden: true},
		},
		Action: func(c *cli.Context) error {
			for _, flag := range []string{"since", "until"} {
				if v := c.String(flag); v != "" && !isTime(v) {
					return &usageError{fmt.Errorf("--%s can't be %q", flag, v), "write a time (2006-01-02T15:04:05Z), or how long ago (10m)"}
				}
			}
			r, err := t.find(c.Context, c)
			if err != nil {
				return err
			}
			defer r.engine.Close()
			services := c.Args().Slice()
			// Of a project that comes up later, any service will do.
			if len(r.have.Containers) > 0 {
				if _, err := t.pick(c, r, services, false); err != nil {
					return err
				}
			}
			err = r.engine.Journal(c.Context, r.name, c.String("since"), c.String("until"), func(h dockerx.Happening) error {
				if h.OneOff || len(services) > 0 && !slices.Contains(services, h.Service) {
					return nil
				}
				if c.Bool("json") || c.String("format") == "json" {
					return t.printLine(eventLine{h.Time, "container", h.Service, h.Container, h.Action, h.Attributes})
				}
				_, err := fmt.Fprintln(t.out, eventText(h))
				return err
			})
			if c.Context.Err() != nil {
				return nil // being interrupted is how it ends
			}
			return err
		},
	}
}

// eventLine is an event as docker compose's JSON has it.
type eventLine struct {
	Time       time.Time         `json:"time"`
	Type       string            `json:"type"`
	Service    string            `json:"service"`
	ID         string            `json:"id"`
	Action     string            `json:"action"`
	Attributes map[string]string `json:"attributes"`
}

// eventText is an event as a line for people.
func eventText(h dockerx.Happening) string {
	var attributes []string
	for k, v := range h.Attributes {
		attributes = append(attributes, k+"="+v)
	}
	slices.Sort(attributes)
	return oneLine(fmt.Sprintf("%s container %s %s (%s)", h.Time.Local().Format("2006-01-02 15:04:05.000000"), h.Action, h.Container, strings.Join(attributes, ", ")))
}
