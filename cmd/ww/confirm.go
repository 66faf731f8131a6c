package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// confirm asks a question on the terminal, and reports whether the answer is
// yes. Anything else is no, and so is the end of the input.
func (t *tool) confirm(ctx context.Context, question, otherwise string) (bool, error) {
	if t.console != nil {
		defer t.console.pause()()
	}
	fmt.Fprintf(t.err, "%s [y/N] ", question)
	lines, failed := t.lines(ctx)
	select {
	case line, ok := <-lines:
		if ok && slices.Contains([]string{"y", "yes"}, strings.ToLower(strings.TrimSpace(line))) {
			return true, nil
		}
		fmt.Fprintln(t.err, otherwise)
		if ok {
			return false, nil
		}
		return false, *failed
	case <-ctx.Done():
		return false, ctx.Err()
	}
}
