//go:build !linux

package host

func trimProgram() error { return nil }
