package main

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

func (t *tool) lsCommand() *cli.Command {
	return &cli.Command{
		Name:  "ls",
		Usage: "list the projects that run on this engine",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "also those that have stopped"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "names alone"},
			listFlag("filter", "those with a property: `name=PATTERN`"),
			formatFlag("table", "table or json"),
		},
		Action: t.ls,
	}
}

func (t *tool) ls(c *cli.Context) error {
	if err := oneOf("format", c.String("format"), "table", "json"); err != nil {
		return err
	}
	if c.NArg() > 0 {
		return &usageError{errors.New("it takes no arguments"), "--filter name=PATTERN selects projects"}
	}
	var patterns []string
	for _, f := range listOf(c, "filter") {
		key, pattern, _ := strings.Cut(f, "=")
		if _, err := path.Match(pattern, ""); key != "name" || err != nil {
			return &usageError{fmt.Errorf("--filter can't be %q", f), "write name=PATTERN, where `*` stands for any text"}
		}
		patterns = append(patterns, pattern)
	}
	e, err := t.engine(c)
	if err != nil {
		return err
	}
	defer e.Close()
	cs, err := e.Projects(c.Context, c.Bool("all"))
	if err != nil {
		return err
	}
	l := projectListing(cs, patterns)
	if c.Bool("quiet") {
		for _, row := range l.rows {
			fmt.Fprintln(t.out, row["Name"])
		}
		return nil
	}
	return t.print(c.String("format"), l)
}

// projectListing sums containers up by project. One that has a name as one of the
// patterns, or with a part that is one of them, counts.
func projectListing(cs []plan.Container, patterns []string) listing {
	byProject := map[string][]plan.Container{}
	for _, c := range cs {
		name := c.Labels[deploy.LabelProject]
		matches := func(p string) bool {
			ok, _ := path.Match(p, name) // patterns have been checked
			return ok || strings.Contains(name, p)
		}
		if len(patterns) == 0 || slices.ContainsFunc(patterns, matches) {
			byProject[name] = append(byProject[name], c)
		}
	}
	l := listing{array: true, columns: []column{{"NAME", "Name"}, {"STATUS", "Status"}, {"CONFIG FILES", "ConfigFiles"}}}
	for _, name := range slices.Sorted(maps.Keys(byProject)) {
		counts := map[plan.State]int{}
		var files []string
		for _, c := range byProject[name] {
			counts[c.State]++
			for f := range strings.SplitSeq(c.Labels[deploy.LabelFiles], ",") {
				if f != "" && !slices.Contains(files, f) {
					files = append(files, f)
				}
			}
		}
		var status []string
		for _, s := range slices.Sorted(maps.Keys(counts)) {
			status = append(status, fmt.Sprintf("%s(%d)", s, counts[s]))
		}
		l.rows = append(l.rows, map[string]any{
			"Name": name, "Status": strings.Join(status, ", "), "ConfigFiles": strings.Join(files, ","),
		})
	}
	return l
}
