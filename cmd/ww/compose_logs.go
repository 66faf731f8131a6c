package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

func (t *tool) logsCommand() *cli.Command {
	return &cli.Command{
		Name:      "logs",
		Usage:     "show what the containers have written",
		ArgsUsage: "[SERVICE…]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "go on showing what they write"},
			&cli.StringFlag{Name: "tail", Aliases: []string{"n"}, Value: "all", Usage: "the last `N` lines of each"},
			&cli.StringFlag{Name: "since", Usage: "from a time (2006-01-02T15:04:05Z) or for a time (10m) on"},
			&cli.StringFlag{Name: "until", Usage: "up to a time, likewise"},
			&cli.BoolFlag{Name: "timestamps", Aliases: []string{"t"}, Usage: "with the time of each line"},
			&cli.BoolFlag{Name: "no-log-prefix", Usage: "without the names of the containers"},
			&cli.BoolFlag{Name: "no-color", Usage: "without colours"},
			indexFlag(),
		},
		Action: t.logs,
	}
}

func (t *tool) logs(c *cli.Context) error {
	tail := c.String("tail")
	if n, err := strconv.Atoi(tail); tail != "all" && (err != nil || n < 0) {
		return &usageError{fmt.Errorf("--tail can't be %q", tail), "it is a number, or `all`"}
	}
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
	cs, err := r.containers(services)
	if err != nil {
		return err
	}
	if n := c.Int("index"); n != 0 {
		if len(services) != 1 {
			return &usageError{errors.New("--index says which container of one service"), "name the service"}
		}
		cs = slices.DeleteFunc(cs, func(ctr plan.Container) bool { return ctr.Number != n })
		if len(cs) == 0 {
			return &usageError{fmt.Errorf("service %q has no container with number %d", services[0], n), "`ww compose ps -a " + services[0] + "` lists those that it has"}
		}
	}
	style := logStyle{prefix: !c.Bool("no-log-prefix"), timestamps: c.Bool("timestamps"), plain: c.Bool("no-color")}
	printer := t.newLogPrinter(cs, style)
	opts := deploy.LogOptions{Tail: tail, Since: c.String("since"), Until: c.String("until"), Timestamps: style.timestamps}
	if !c.Bool("follow") {
		return deploy.Logs(c.Context, r.engine, cs, opts, printer.print)
	}
	wanted := map[string]bool{}
	for _, s := range services {
		wanted[s] = true
	}
	all := func(service string) bool { return len(wanted) == 0 || wanted[service] }
	counts := func(number int) bool { return c.Int("index") == 0 || number == c.Int("index") }
	return deploy.Follow(c.Context, r.engine, deploy.FollowRequest{
		Project: r.name, Since: time.Now(), Containers: cs, Options: opts, Wanted: all,
		Emit: func(l deploy.LogLine) {
			if counts(l.Container.Number) {
				printer.print(l)
			}
		},
		Died: func(ev deploy.Event) {
			if counts(ev.Number) {
				fmt.Fprintf(t.err, "%s exited with code %d\n", ev.Name, ev.ExitCode)
			}
		},
	})
}

// isTime tells what an engine takes as a time.
func isTime(s string) bool {
	if _, err := time.ParseDuration(s); err == nil {
		return true
	}
	if _, err := strconv.ParseFloat(s, 64); err == nil {
		return true
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if _, err := time.Parse(layout, s); err == nil {
			return true
		}
	}
	return false
}

type logStyle struct{ prefix, timestamps, plain bool }

// logPrinter prints lines of several containers, told apart by name and
// colour. Each stream goes where the container sent it.
type logPrinter struct {
	tool    *tool
	style   logStyle
	width   int
	colours map[string]colour
}

func (t *tool) newLogPrinter(cs []plan.Container, style logStyle) *logPrinter {
	p := &logPrinter{tool: t, style: style, colours: map[string]colour{}}
	for _, c := range cs {
		p.width = max(p.width, len(shortName(c))+1)
		p.colour(shortName(c)) // in their order, whoever writes first
	}
	style.plain = style.plain || !colourful(t.out)
	p.style = style
	return p
}

// shortName is a container's name without the project.
func shortName(c plan.Container) string { return fmt.Sprintf("%s-%d", c.Service, c.Number) }

// colour is the one that a container's lines begin with.
func (p *logPrinter) colour(name string) colour {
	c, ok := p.colours[name]
	if !ok {
		c = palette[len(p.colours)%len(palette)]
		p.colours[name] = c
	}
	return c
}

func (p *logPrinter) print(l deploy.LogLine) {
	var b strings.Builder
	if p.style.prefix {
		name := shortName(l.Container)
		prefix := fmt.Sprintf("%-*s | ", p.width, name)
		if !p.style.plain {
			prefix = "\x1b[" + string(p.colour(name)) + "m" + prefix + "\x1b[0m"
		}
		b.WriteString(prefix)
	}
	if p.style.timestamps && !l.Time.IsZero() {
		b.WriteString(l.Time.Format("2006-01-02T15:04:05.000000000Z07:00 "))
	}
	b.WriteString(l.Text)
	b.WriteByte('\n')
	var w io.Writer = p.tool.out
	if l.Stderr {
		w = p.tool.err
	}
	_, _ = io.WriteString(w, b.String()) // nobody is left to tell when it is closed
}
