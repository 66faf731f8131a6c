package main

import (
	"crypto/x509"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// TestTrustRoots: where the system has no certificates, as in a component's
// image, those of public authorities are trusted all the same.
func TestTrustRoots(t *testing.T) {
	if os.Getenv("SSL_CERT_FILE") != "/none" {
		c := exec.Command(os.Args[0], "-test.run=^TestTrustRoots$", "-test.v")
		c.Env = append(os.Environ(), "SSL_CERT_FILE=/none", "SSL_CERT_DIR=/none")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	trustRoots()
	trustRoots()
	for root := range bundle.Roots() {
		cert, err := x509.ParseCertificate(root.Certificate)
		if err != nil || root.Constraint != nil {
			continue
		}
		if _, err := cert.Verify(x509.VerifyOptions{CurrentTime: cert.NotBefore.AddDate(0, 0, 1), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
			t.Fatalf("%s: %v", cert.Subject, err)
		}
		return
	}
	t.Fatal("the bundle is empty")
}
