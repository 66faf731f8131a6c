package syntax

import (
	"bytes"
	"encoding/json"
)

type jsonPlace struct {
	File      string `json:"file"`
	Line      int    `json:"line"`
	Column    int    `json:"column"`
	EndLine   int    `json:"end_line"`
	EndColumn int    `json:"end_column"`
}

type jsonDiagnostic struct {
	jsonPlace
	Severity Severity      `json:"severity"`
	Code     string        `json:"code"`
	Message  string        `json:"message"`
	Remedy   string        `json:"remedy"`
	Related  []jsonRelated `json:"related"`
}

type jsonRelated struct {
	jsonPlace
	Message string `json:"message"`
}

func placeOf(sp Span) jsonPlace {
	return jsonPlace{
		File: sp.File, Line: sp.Start.Line, Column: sp.Start.Column,
		EndLine: sp.End.Line, EndColumn: sp.End.Column,
	}
}

// MarshalJSON writes the diagnostic as an object with the fields file, line,
// column, end_line, end_column, severity, code, message, remedy and related, an
// array of objects with the first five of these and message. Columns count
// runes from 1; the end is just past the last character.
func (d Diagnostic) MarshalJSON() ([]byte, error) {
	out := jsonDiagnostic{
		jsonPlace: placeOf(d.Span), Severity: d.Severity, Code: d.Code,
		Message: d.Message, Remedy: d.Remedy, Related: []jsonRelated{},
	}
	for _, r := range d.Related {
		out.Related = append(out.Related, jsonRelated{placeOf(r.Span), r.Message})
	}
	return plainJSON(out)
}

// plainJSON marshals without the escapes that only matter inside HTML.
func plainJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// JSON is an array of diagnostics in JSON, one a line, with a final newline;
// `[]` if there are none. See [Diagnostic.MarshalJSON] for the fields.
func JSON(ds Diagnostics) []byte {
	var b bytes.Buffer
	b.WriteByte('[')
	for i, d := range ds {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
		// Only strings and integers are marshalled, which can't fail.
		line, _ := d.MarshalJSON()
		b.Write(line)
	}
	if len(ds) > 0 {
		b.WriteByte('\n')
	}
	b.WriteString("]\n")
	return b.Bytes()
}
