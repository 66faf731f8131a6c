//go:build !unix

package main

import "os"

// notifyResize does nothing: there is no signal that tells of it.
func notifyResize(chan<- os.Signal) {}
