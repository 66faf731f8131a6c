package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/dockerx"
	"woodwork.dev/ww/runtime/plan"
)

func (t *tool) topCommand() *cli.Command {
	return &cli.Command{
		Name:      "top",
		Usage:     "list the processes in running containers",
		ArgsUsage: "[SERVICE…]",
		Flags:     []cli.Flag{formatFlag("table", "table, or json: one process a line")},
		Action: func(c *cli.Context) error {
			if err := oneOf("format", c.String("format"), "table", "json"); err != nil {
				return err
			}
			r, err := t.find(c.Context, c)
			if err != nil {
				return err
			}
			defer r.engine.Close()
			cs, err := t.pick(c, r, c.Args().Slice(), true)
			if err != nil {
				return err
			}
			cs = slices.DeleteFunc(cs, func(ctr plan.Container) bool { return ctr.State != plan.Running && ctr.State != plan.Paused })
			if len(cs) == 0 {
				fmt.Fprintf(t.err, "nothing of %s runs\n", r.name)
				return nil
			}
			tops := make(map[string]dockerx.Processes, len(cs))
			results := make(chan func(), len(cs))
			err = each(c, cs, func(ctx context.Context, ctr plan.Container) error {
				p, err := r.engine.Top(ctx, ctr.ID)
				results <- func() { tops[ctr.ID] = p }
				return err
			})
			close(results)
			for keep := range results {
				keep()
			}
			if err != nil {
				return err
			}
			titles, rows := processes(cs, tops)
			if c.String("format") == "json" {
				for _, row := range rows {
					if err := t.printLine(row); err != nil {
						return err
					}
				}
				return nil
			}
			_, err = t.out.Write(processTable(titles, rows))
			return err
		},
	}
}

// processes lists the processes of containers, each by its titles, and all the
// titles that there are.
func processes(cs []plan.Container, tops map[string]dockerx.Processes) (titles []string, rows []map[string]string) {
	titles = []string{"SERVICE", "#"}
	for _, c := range cs {
		top := tops[c.ID]
		for _, title := range top.Titles {
			if !slices.Contains(titles, title) {
				titles = append(titles, title)
			}
		}
		for _, p := range top.Rows {
			row := map[string]string{"SERVICE": c.Service, "#": fmt.Sprint(c.Number)}
			for i, cell := range p {
				if i < len(top.Titles) {
					row[top.Titles[i]] = cell
				}
			}
			rows = append(rows, row)
		}
	}
	return titles, rows
}

func processTable(titles []string, rows []map[string]string) []byte {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 4, 1, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(titles, "\t"))
	for _, row := range rows {
		var cells []string
		for _, title := range titles {
			cell := oneLine(row[title])
			if cell == "" {
				cell = "-"
			}
			cells = append(cells, cell)
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	_ = w.Flush() // into memory
	return b.Bytes()
}
