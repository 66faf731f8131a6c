package main

import (
	"crypto/x509"
	"os"
	"sync"

	"golang.org/x/crypto/x509roots/fallback/bundle"

	"woodwork.dev/ww/runtime/component"
	"woodwork.dev/ww/runtime/host"
)

// fromEnv reads what a component's container is configured with. Its image has
// no certificates of its own, so that ww's are trusted where the system has
// none; reading them takes a few milliseconds, which other commands, and each
// health check, do without.
func fromEnv(builders map[string]component.Builder) (host.Options, error) {
	trustRoots()
	return host.FromEnv(os.Getenv, builders)
}

var trustRoots = sync.OnceFunc(func() {
	pool := x509.NewCertPool()
	for root := range bundle.Roots() {
		cert, err := x509.ParseCertificate(root.Certificate)
		switch {
		case err != nil:
			continue // one that this version of Go doesn't take
		case root.Constraint == nil:
			pool.AddCert(cert)
		default:
			pool.AddCertWithConstraint(cert, root.Constraint)
		}
	}
	x509.SetFallbackRoots(pool)
})
