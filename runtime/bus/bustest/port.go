package bustest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
)

// FreePort returns a TCP port of 127.0.0.1 on which nobody listens, for a
// server that is started with a port's number. It is below those that the
// system gives to outgoing connections and to listeners on port 0, so that none
// of them takes it before the server does, and until this process ends no other
// caller gets it, in this or in another process.
func FreePort() string {
	port, err := freePort()
	if err != nil {
		panic(err)
	}
	return strconv.Itoa(port)
}

// Nobody is the address of a FreePort: who connects there is refused.
func Nobody() string { return net.JoinHostPort("127.0.0.1", FreePort()) }

var (
	claimsMu sync.Mutex
	// claims are the UDP ports of the same numbers. Nothing that is tested
	// listens on UDP, and the system frees them whatever way a process ends.
	claims []net.PacketConn
)

func freePort() (int, error) {
	const lowest = 10_000
	above := 32_768 // the system's own begin here unless somebody set it otherwise
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		var first int
		if _, err := fmt.Sscan(string(text), &first); err == nil && first > lowest+1000 {
			above = min(above, first)
		}
	}
	claimsMu.Lock()
	defer claimsMu.Unlock()
	var err error
	for range 1000 {
		port := lowest + rand.IntN(above-lowest)
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		var claim net.PacketConn
		if claim, err = net.ListenPacket("udp", addr); err != nil {
			continue
		}
		var l net.Listener
		if l, err = net.Listen("tcp", addr); err != nil {
			_ = claim.Close()
			continue
		}
		claims = append(claims, claim)
		return port, l.Close()
	}
	return 0, fmt.Errorf("no free port from %d to %d: %w", lowest, above-1, err)
}
