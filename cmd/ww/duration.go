package main

import (
	"errors"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"
)

// duration is a flag's value: a number of seconds, as docker compose has them,
// or a duration such as 90s or 2m.
type duration struct {
	time.Duration
	endless bool // -1 is a value, too: for ever
}

var errNoDuration = errors.New("it is a number of seconds, or a duration such as 90s or 2m")

// Set reads a value. An empty one is none: the flags' package sets all names of
// a flag to its text when one of them is given.
func (d *duration) Set(v string) error {
	if v == "" {
		return nil
	}
	if n, err := strconv.ParseFloat(v, 64); err == nil {
		v += "s"
		if d.endless && n == -1 {
			d.Duration = -time.Second
			return nil
		}
	}
	got, err := time.ParseDuration(v)
	if err != nil || got < 0 {
		return errNoDuration
	}
	d.Duration = got
	return nil
}

// String is empty where there is no value, so that help shows no default.
func (d *duration) String() string {
	if d == nil || d.Duration == 0 {
		return ""
	}
	return d.Duration.String()
}

func durationFlag(name string, value time.Duration, usage string) cli.Flag {
	return &cli.GenericFlag{Name: name, Value: &duration{Duration: value}, Usage: usage}
}

// durationOf gives the value of a durationFlag; 0 where the command has none of
// that name.
func durationOf(c *cli.Context, name string) time.Duration {
	d, ok := c.Generic(name).(*duration)
	if !ok {
		return 0
	}
	return d.Duration
}

func timeoutFlag() cli.Flag {
	return &cli.GenericFlag{
		Name: "timeout", Aliases: []string{"t"}, Value: &duration{endless: true},
		Usage: "how long a container gets to stop, in `SECONDS` or as 2m; -1 for no limit (default: its own grace period)",
	}
}

// grace reads --timeout; nil where it isn't given.
func grace(c *cli.Context) *time.Duration {
	if !c.IsSet("timeout") {
		return nil
	}
	d := durationOf(c, "timeout")
	return &d
}
