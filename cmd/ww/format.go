package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"text/template"
)

// column is a column of a listing, with the field that it shows.
type column struct{ title, field string }

// listing is what docker's commands print in several forms: each row has its
// fields by docker's names.
type listing struct {
	columns []column
	rows    []map[string]any
	array   bool // JSON is one array, not an object a line
}

const formatUsage = "table, json, or a Go template of one row, which `table TEMPLATE` makes a table"

// print writes a listing: "table", "json", "table TEMPLATE" or TEMPLATE.
func (t *tool) print(format string, l listing) error {
	var b bytes.Buffer
	var err error
	pattern, table := strings.CutPrefix(format, "table ")
	switch {
	case format == "json" && l.array:
		if l.rows == nil {
			l.rows = []map[string]any{}
		}
		return t.printLine(l.rows)
	case format == "json":
		for _, row := range l.rows {
			if err := t.printLine(row); err != nil {
				return err
			}
		}
		return nil
	case format == "" || format == "table":
		l.table(&b)
	default:
		if !table && !strings.Contains(format, "{{") {
			return oneOf("format", format, "table", "json", "TEMPLATE")
		}
		err = l.template(&b, pattern, table)
	}
	if err == nil {
		_, err = t.out.Write(b.Bytes())
	}
	return err
}

func newTable(b *bytes.Buffer) *tabwriter.Writer { return tabwriter.NewWriter(b, 10, 1, 3, ' ', 0) }

func (l listing) table(b *bytes.Buffer) {
	w := newTable(b)
	var titles []string
	for _, c := range l.columns {
		titles = append(titles, c.title)
	}
	fmt.Fprintln(w, strings.Join(titles, "\t"))
	for _, row := range l.rows {
		var cells []string
		for _, c := range l.columns {
			cells = append(cells, oneLine(fmt.Sprint(row[c.field])))
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	_ = w.Flush() // into memory
}

// template prints each row by a template; as a table, under the titles.
func (l listing) template(b *bytes.Buffer, pattern string, table bool) error {
	wrong := func(err error) error {
		return &usageError{fmt.Errorf("--format %q: %w", pattern, err), "fields are: " + strings.Join(l.fields(), ", ")}
	}
	pattern = strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(pattern)
	tmpl, err := template.New("").Option("missingkey=error").Funcs(templateFuncs()).Parse(pattern)
	if err != nil {
		return wrong(err)
	}
	rows := l.rows
	if table {
		rows = append([]map[string]any{l.titles()}, rows...)
	}
	w := newTable(b)
	for _, row := range rows {
		var line bytes.Buffer
		if err := tmpl.Execute(&line, row); err != nil {
			return wrong(err)
		}
		if table {
			fmt.Fprintln(w, line.String())
		} else {
			fmt.Fprintln(b, line.String())
		}
	}
	return w.Flush()
}

// titles is a row of titles.
func (l listing) titles() map[string]any {
	row := map[string]any{}
	for _, f := range l.fields() {
		row[f] = strings.ToUpper(f)
	}
	for _, c := range l.columns {
		row[c.field] = c.title
	}
	return row
}

func (l listing) fields() []string {
	names := map[string]bool{}
	for _, c := range l.columns {
		names[c.field] = true
	}
	for _, row := range l.rows {
		for f := range row {
			names[f] = true
		}
	}
	var all []string
	for f := range names {
		all = append(all, f)
	}
	slices.Sort(all)
	return all
}

// templateFuncs are those that docker's templates have.
func templateFuncs() template.FuncMap {
	return template.FuncMap{
		"json": func(v any) (string, error) {
			b, err := json.Marshal(v)
			return string(b), err
		},
		"lower": strings.ToLower,
		"upper": strings.ToUpper,
		"split": strings.Split,
		"join":  strings.Join,
		"pad": func(s string, before, after int) string {
			return strings.Repeat(" ", before) + s + strings.Repeat(" ", after)
		},
		"truncate": func(s string, n int) string {
			if r := []rune(s); len(r) > n {
				return string(r[:n])
			}
			return s
		},
	}
}

// shortID is how ids are shown to people.
func shortID(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	return id[:min(len(id), 12)]
}

// brieflyQuoted is a command as docker's tables show it.
func brieflyQuoted(s string, whole bool) string {
	if r := []rune(s); !whole && len(r) > 20 {
		s = string(r[:19]) + "…"
	}
	return `"` + s + `"`
}

// labelText is labels in one line, in order.
func labelText(labels map[string]string) string {
	var all []string
	for k, v := range labels {
		all = append(all, k+"="+v)
	}
	slices.Sort(all)
	return strings.Join(all, ",")
}
