package compose

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/syntax"
)

var (
	yamlPlace  = regexp.MustCompile(`line (\d+)(?:, column (\d+))?`)
	yamlString = regexp.MustCompile(`while scanning a quoted scalar at line (\d+), column (\d+): .*`)
	yamlOffset = regexp.MustCompile(`offset (\d+): (.*)`)
	yamlAnchor = regexp.MustCompile(`unknown anchor '([^']*)'`)
	yamlWords  = regexp.MustCompile(`(?s).*(?:line \d+(?:, column \d+)?|yaml): `)
)

// notYAML is the mistake of a file that can't be parsed.
func (m *mistakes) notYAML(s *source, f types.ConfigFile) syntax.Diagnostic {
	d := syntax.Diagnostic{Severity: syntax.Error, Code: "not-yaml", Span: syntax.Span{File: s.name}, Message: "it can't be read as YAML"}
	_, err := m.load(s, f)
	if err == nil {
		return d
	}
	text := strings.TrimPrefix(err.Error(), "failed to parse "+f.Filename+": ")
	var place []string
	if place = yamlString.FindStringSubmatch(text); place != nil {
		d.Message, d.Remedy = "a string has no end", "close it with the quote that it begins with"
	} else if all := yamlPlace.FindAllStringSubmatch(text, -1); len(all) > 0 {
		place = all[len(all)-1]
		d.Message = yamlWords.ReplaceAllString(text, "")
		d.Remedy = "see how the lines around it are indented (with spaces, not tabs); a value with ': ' or ' #' in it needs quotes"
	}
	if at := yamlOffset.FindStringSubmatch(text); place == nil && at != nil {
		off, _ := strconv.Atoi(at[1])
		off = min(off, len(s.content))
		from := bytes.LastIndexByte(s.content[:off], '\n') + 1
		d.Span = s.spanAt(bytes.Count(s.content[:off], []byte("\n"))+1, utf8.RuneCount(s.content[from:off])+1, "")
		d.Message, d.Remedy = at[2], "a compose file is text in UTF-8"
		return d
	}
	if place == nil {
		d.Message = text
		return d
	}
	line, _ := strconv.Atoi(place[1])
	column, _ := strconv.Atoi(place[2])
	if strings.Contains(text, "while parsing") {
		line++ // the parser counts lines from 0, the scanner from 1
	}
	d.Span = s.spanAt(line, max(column, 1), "")
	if off := d.Span.Start.Offset; off < len(s.content) && s.content[off] == '\t' {
		d.Message, d.Remedy = "a tab can't stand here: "+d.Message, "indent with spaces: YAML takes no tabs for it"
	}
	if anchor := yamlAnchor.FindStringSubmatch(text); anchor != nil {
		d.Remedy = fmt.Sprintf("define it above, where its value is first given: &%s", anchor[1])
	}
	if body := bytes.TrimRight(s.content, " \t\r\n"); len(body) > 0 && d.Span.Start.Offset >= len(body) {
		from := bytes.LastIndexByte(body, '\n') + 1
		d.Span = s.spanAt(bytes.Count(body, []byte("\n"))+1, utf8.RuneCount(body[from:]), "")
		d.Message, d.Remedy = "the file ends in the middle of something: "+d.Message, "a [, a { or a quote isn't closed, or a value is missing"
	}
	return d
}
