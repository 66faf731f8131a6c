package bustest_test

import (
	"net"
	"strconv"
	"testing"

	"woodwork.dev/ww/runtime/bus/bustest"
)

// TestFreePort: nobody listens on the port, and no system's own choice nor
// another caller comes to have it.
func TestFreePort(t *testing.T) {
	seen := map[string]bool{}
	for range 200 {
		port := bustest.FreePort()
		if n, _ := strconv.Atoi(port); seen[port] || n < 1024 || n >= 32_768 {
			t.Fatalf("port %s, seen before: %v", port, seen[port])
		}
		seen[port] = true
		addr := net.JoinHostPort("127.0.0.1", port)
		if claim, err := net.ListenPacket("udp", addr); err == nil {
			_ = claim.Close()
			t.Fatalf("another process may get %s", addr)
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
	}
}
