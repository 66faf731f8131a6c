package main

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

func (t *tool) versionCommand() *cli.Command {
	return &cli.Command{
		Name:  "version",
		Usage: "print the version of ww",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "short", Usage: "the number alone"},
			&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Value: "pretty", Usage: "pretty or json"},
		},
		Action: func(c *cli.Context) error {
			if err := oneOf("format", c.String("format"), "pretty", "json"); err != nil {
				return err
			}
			switch {
			case c.Bool("short"):
				_, err := fmt.Fprintln(t.out, version())
				return err
			case c.String("format") == "json":
				return t.printLine(map[string]string{"version": version()})
			}
			_, err := fmt.Fprintln(t.out, "ww version", version())
			return err
		},
	}
}
