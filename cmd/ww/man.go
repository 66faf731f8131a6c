package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/urfave/cli/v2"
)

func (t *tool) manCommand() *cli.Command {
	return &cli.Command{
		Name:      "man",
		Usage:     "write the manual pages into a folder, one for each command and topic; without one, print that of ww",
		ArgsUsage: "[DIR]",
		Action: func(c *cli.Context) error {
			if c.NArg() > 1 {
				return &usageError{fmt.Errorf("one folder holds all pages"), "ww man [DIR]"}
			}
			pages := manual(c.App)
			if c.NArg() == 0 {
				_, err := t.out.Write(md2man.Render([]byte(pages[0].text)))
				return err
			}
			dir := c.Args().First()
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			for _, p := range pages {
				if err := os.WriteFile(filepath.Join(dir, p.file), md2man.Render([]byte(p.text)), 0o644); err != nil {
					return err
				}
			}
			fmt.Fprintf(t.err, "%s in %s\n", count(len(pages), "page", "pages"), dir)
			return nil
		},
	}
}

// page is a manual page in Markdown.
type page struct{ file, text string }

// manual gives the pages of a program: its own first, then those of its
// commands, then those of the topics.
func manual(app *cli.App) []page {
	pages := pagesOf([]string{app.Name}, app.Usage, "", app.Flags, app.Commands)
	for _, name := range topics() {
		text, _ := topic(name)
		first := title(text)
		body := strings.Trim(strings.TrimPrefix(text, first), "\n")
		var b strings.Builder
		heading(&b, app.Name+"-"+name, 7)
		fmt.Fprintf(&b, "# NAME\n\n%s-%s - %s\n\n# DESCRIPTION\n\n", app.Name, name, strings.ToLower(first[:1])+first[1:])
		// As it is: it is written for a terminal already.
		for line := range strings.Lines(body) {
			b.WriteString("    " + line)
		}
		pages = append(pages, page{app.Name + "-" + name + ".7", b.String() + "\n"})
	}
	return pages
}

func heading(b *strings.Builder, name string, section int) {
	// No date: the pages of one version are always the same.
	fmt.Fprintf(b, "%% %s %d \"\" \"ww\" \"ww's manual\"\n\n", strings.ToUpper(name), section)
}

// pagesOf gives a command's page and those of the commands below it.
func pagesOf(path []string, usage, args string, flags []cli.Flag, commands []*cli.Command) []page {
	name, dashed := strings.Join(path, " "), strings.Join(path, "-")
	var b strings.Builder
	heading(&b, dashed, 1)
	fmt.Fprintf(&b, "# NAME\n\n%s - %s\n\n# SYNOPSIS\n\n**%s**", dashed, markdown(usage), name)
	if len(flags) > 0 {
		b.WriteString(" [*flags*]")
	}
	if args != "" {
		b.WriteString(" " + markdown(args))
	}
	var below []page
	var seen strings.Builder
	for _, c := range commands {
		if c.Hidden {
			continue
		}
		sub := append(append([]string{}, path...), c.Name)
		fmt.Fprintf(&seen, "**%s**(1)\n:   %s\n\n", strings.Join(sub, "-"), markdown(c.Usage))
		below = append(below, pagesOf(sub, c.Usage, c.ArgsUsage, c.Flags, c.Subcommands)...)
	}
	if seen.Len() > 0 {
		b.WriteString(" *command*\n\n# COMMANDS\n\n" + seen.String())
	} else {
		b.WriteString("\n\n")
	}
	if len(flags) > 0 {
		b.WriteString("# OPTIONS\n\n")
		for _, f := range flags {
			b.WriteString(option(f))
		}
	}
	b.WriteString("# EXIT STATUS\n\nSee **ww-exit-codes**(7).\n\n# SEE ALSO\n\n")
	var also []string
	for i := 1; i < len(path); i++ {
		also = append(also, "**"+strings.Join(path[:i], "-")+"**(1)")
	}
	for _, t := range topics() {
		also = append(also, "**"+path[0]+"-"+t+"**(7)")
	}
	b.WriteString(strings.Join(also, ", ") + "\n")
	return append([]page{{dashed + ".1", b.String()}}, below...)
}

// option is one flag, with all of its names.
func option(f cli.Flag) string {
	if v, ok := f.(cli.VisibleFlag); ok && !v.IsVisible() {
		return ""
	}
	var names []string
	for _, n := range f.Names() {
		dashes := "--"
		if len(n) == 1 {
			dashes = "-"
		}
		names = append(names, "**"+strings.ReplaceAll(dashes+n, "-", `\-`)+"**")
	}
	line := strings.Join(names, ", ")
	d, ok := f.(cli.DocGenerationFlag)
	if !ok {
		return line + "\n:   \n\n"
	}
	if d.TakesValue() {
		line += " *value*"
	}
	text := markdown(d.GetUsage())
	if v := d.GetDefaultText(); d.TakesValue() && v != "" && v != `""` && !strings.Contains(text, "(default") {
		text += " (default: " + markdown(v) + ")"
	} else if v := d.GetValue(); d.TakesValue() && v != "" && v != "0" && v != "0s" && v != "[]" && !strings.Contains(text, "(default") {
		text += " (default: " + markdown(v) + ")"
	}
	return line + "\n:   " + text + "\n\n"
}

// markdown keeps text from being taken for Markdown.
func markdown(s string) string {
	return strings.NewReplacer("*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "<", `\<`, "|", `\|`, "`", "").Replace(s)
}
