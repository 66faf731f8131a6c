package syntax

import "slices"

// Severity tells an error from a warning.
type Severity string

const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Diagnostic is one mistake in a file: where it is, what is wrong and what to
// do about it.
type Diagnostic struct {
	Severity Severity
	Code     string // stable and short, such as "unknown-reference"
	Span     Span
	Message  string // what is wrong, without a final full stop
	Remedy   string // what to do about it; may be empty
	Related  []Related
}

// Related is a second place that a diagnostic speaks of, such as the first of
// two declarations of one name.
type Related struct {
	Span    Span
	Message string
}

// Diagnostics is a list of mistakes in order of their places.
type Diagnostics []Diagnostic

// HasErrors reports whether any of them is an error.
func (ds Diagnostics) HasErrors() bool {
	return slices.ContainsFunc(ds, func(d Diagnostic) bool { return d.Severity == Error })
}
