//go:build !unix

package main

import (
	"errors"
	"io/fs"
)

// stale tells that nobody listens on a socket any more.
func stale(err error) bool { return errors.Is(err, fs.ErrNotExist) }
