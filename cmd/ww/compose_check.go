package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"woodwork.dev/ww/compose"
	"woodwork.dev/ww/dockerx"
)

// checkKeys refuses what the engine can't do, before anything is changed, and
// tells where each of it stands.
func checkKeys(ctx context.Context, l *compose.Loaded, d *dockerx.Engine) error {
	err := d.Check(ctx, l.Project)
	var refused dockerx.Refusals
	if !errors.As(err, &refused) {
		return err
	}
	lines := make([]string, len(refused))
	for i, r := range refused {
		lines[i] = r.Key + " " + r.Why
		if at := l.Place(r.Key); at != "" {
			lines[i] = at + ": " + lines[i]
		}
	}
	_, remedy := classify(err)
	return &configError{fmt.Errorf("this engine can't do all that is asked for:\n  %s", strings.Join(lines, "\n  ")), remedy}
}
