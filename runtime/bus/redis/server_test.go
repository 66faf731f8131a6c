package redis_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/bus/bustest"
	"woodwork.dev/ww/runtime/bus/redis"
)

// roundTrip has a message handled, and its answer come back.
func roundTrip(t *testing.T, o redis.Options) {
	t.Helper()
	b := open(t, o)
	got := sink(t, b, "a")
	publish(t, b, message("a", 1))
	receive(t, got, "the message")
	drained(t, b)
}

// certificate writes one that is its own authority, and its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bus"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "EC PRIVATE KEY", keyDER)
}

func TestTLS(t *testing.T) {
	cert, key := certificate(t)
	port := bustest.FreePort()
	addr := net.JoinHostPort("127.0.0.1", port)
	bustest.NewRedis(t, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert,
		"--tls-auth-clients", "no", "--requirepass", secret)
	roundTrip(t, redis.Options{URL: "rediss://" + addr + "?ca=" + cert, Password: secret})

	_, err := redis.Open(t.Context(), redis.Options{URL: "rediss://:" + secret + "@" + addr})
	if err == nil || !strings.Contains(err.Error(), "certificate") || strings.Contains(err.Error(), secret) {
		t.Errorf("an authority that nobody knows: %v", err)
	}
	_, err = redis.Open(t.Context(), redis.Options{URL: "rediss://:" + secret + "@" + addr + "?ca=" + key})
	if err == nil || !strings.Contains(err.Error(), "has none in PEM") {
		t.Errorf("a file without certificates: %v", err)
	}
}

// A user who may touch nothing but the project's keys.
func TestUser(t *testing.T) {
	server := bustest.NewRedis(t, "--user", "default", "off",
		"--user", "agent", "on", ">"+secret, "~ww:{p}:*", "+@all", "-@dangerous", "-@admin")
	o := fast(strings.Replace(server.URL, "//", "//agent:"+secret+"@", 1), "p")
	roundTrip(t, o)
}

func TestSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	bustest.NewRedis(t, "--unixsocket", path)
	roundTrip(t, fast("unix://"+path, "p"))
}

func TestCluster(t *testing.T) {
	server := bustest.NewRedis(t, "--cluster-enabled", "yes", "--appendonly", "no")
	if err := raw(t, server.URL).Do(t.Context(), "cluster", "addslotsrange", 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	bustest.Until(t, "the cluster", func() bool {
		return strings.Contains(raw(t, server.URL).ClusterInfo(t.Context()).Val(), "cluster_state:ok")
	})
	url := strings.Replace(server.URL, "redis:", "redis+cluster:", 1)
	bustest.Run(t, func(t *testing.T) bustest.Backend {
		o := fast(url, bus.NewID())
		return bustest.Backend{Bus: open(t, o), Other: open(t, o)}
	})
}

// Sentinels say where the server is.
func TestSentinel(t *testing.T) {
	server := bustest.NewRedis(t)
	host, port, _ := net.SplitHostPort(server.Addr)
	sentinelPort := bustest.FreePort()
	sentinel := net.JoinHostPort("127.0.0.1", sentinelPort)
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("port %s\nbind 127.0.0.1\nsentinel monitor main %s %s 1\n", sentinelPort, host, port)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("redis-server", conf, "--sentinel")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	roundTrip(t, fast("redis+sentinel://"+sentinel+"?master_name=main", "p"))

	_, err := redis.Open(t.Context(), redis.Options{URL: "redis+sentinel://:" + secret + "@" + sentinel})
	if err == nil || !strings.Contains(err.Error(), "master_name=NAME") || strings.Contains(err.Error(), secret) {
		t.Errorf("without a name: %v", err)
	}
}
