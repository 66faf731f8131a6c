package dockerx

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/docker/docker/client"
	"github.com/docker/go-connections/tlsconfig"
)

// endpoint is where an engine is and how to get there.
type endpoint struct {
	host    string // as the user would write it
	network string // unix, tcp, npipe or ssh
	address string // what is dialled: a path, or host:port
	tls     *tls.Config
}

const (
	defaultContext  = "default"
	authorityScheme = "tcp://"
)

// authority is the host that HTTP requests name: an engine behind a reverse
// proxy needs its own, and one behind a socket has none.
func (ep endpoint) authority() string {
	if ep.network == "tcp" {
		return ep.address
	}
	return client.DummyHost
}

// resolveEndpoint finds the engine in docker's own order: what the caller
// says, DOCKER_HOST, DOCKER_CONTEXT, the current context, the default socket.
func resolveEndpoint(o Options) (endpoint, error) {
	if o.Host != "" && o.Context != "" {
		return endpoint{}, errors.New("a host and a context are given; leave one out")
	}
	host, context := o.Host, o.Context
	if host == "" && context == "" {
		host = o.Getenv("DOCKER_HOST")
	}
	if host == "" && context == "" {
		context = o.Getenv("DOCKER_CONTEXT")
	}
	if host == "" && context == "" {
		cfg, err := readConfigFile(o.ConfigDir)
		if err != nil {
			return endpoint{}, err
		}
		context = cfg.CurrentContext
	}
	if host == "" && context != "" && context != defaultContext {
		return contextEndpoint(o.ConfigDir, context)
	}
	if host == "" {
		host = defaultHost()
	}
	ep, err := parseHost(host)
	if err != nil || ep.network != "tcp" {
		return ep, err
	}
	ep.tls, err = envTLS(o.Getenv, o.ConfigDir)
	return ep, err
}

func defaultHost() string {
	if runtime.GOOS == "windows" {
		return "npipe:////./pipe/docker_engine"
	}
	return "unix:///var/run/docker.sock"
}

func defaultConfigDir(getenv func(string) string) string {
	if dir := getenv("DOCKER_CONFIG"); dir != "" {
		return dir
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".docker")
}

func parseHost(host string) (endpoint, error) {
	scheme, rest, ok := strings.Cut(host, "://")
	if !ok || rest == "" {
		return endpoint{}, fmt.Errorf("engine address %q: write it as unix:///path, tcp://host:port or ssh://user@host", host)
	}
	ep := endpoint{host: host, network: scheme, address: rest}
	switch scheme {
	case "unix", "npipe":
		return ep, nil
	case "ssh":
		return ep, nil
	case "tcp", "http", "https":
		u, err := url.Parse(host)
		if err != nil || u.Hostname() == "" {
			return endpoint{}, fmt.Errorf("engine address %q: write it as tcp://host:port", host)
		}
		if strings.Trim(u.Path, "/") != "" {
			return endpoint{}, fmt.Errorf("engine address %q: a path isn't supported", host)
		}
		ep.network, ep.address = "tcp", u.Host
		if u.Port() == "" {
			ep.address += ":2375"
		}
		return ep, nil
	}
	return endpoint{}, fmt.Errorf("engine address %q: scheme %q is not known; use unix, tcp or ssh", host, scheme)
}

// envTLS reads the certificates that the environment asks for, as docker does:
// with DOCKER_TLS_VERIFY the engine's is checked, with only DOCKER_CERT_PATH it
// isn't. Nil without either.
func envTLS(getenv func(string) string, configDir string) (*tls.Config, error) {
	dir, verify := getenv("DOCKER_CERT_PATH"), getenv("DOCKER_TLS_VERIFY") != ""
	if dir == "" && !verify {
		return nil, nil
	}
	if dir == "" {
		dir = configDir
	}
	return clientTLS(dir, !verify)
}

func clientTLS(dir string, insecure bool) (*tls.Config, error) {
	present := func(name string) string {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err != nil {
			return ""
		}
		return path
	}
	cfg, err := tlsconfig.Client(tlsconfig.Options{
		CAFile:             present("ca.pem"),
		CertFile:           present("cert.pem"),
		KeyFile:            present("key.pem"),
		InsecureSkipVerify: insecure,
	})
	if err != nil {
		return nil, fmt.Errorf("engine certificates in %s: %w", dir, err)
	}
	return cfg, nil
}

// contextMeta is the part of a docker context's metadata file that says where
// its engine is.
type contextMeta struct {
	Name      string
	Endpoints map[string]struct {
		Host          string
		SkipTLSVerify bool
	}
}

func contextEndpoint(configDir, name string) (endpoint, error) {
	sum := sha256.Sum256([]byte(name))
	id := hex.EncodeToString(sum[:])
	data, err := os.ReadFile(filepath.Join(configDir, "contexts", "meta", id, "meta.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return endpoint{}, fmt.Errorf("docker context %q doesn't exist; 'docker context ls' shows those that do", name)
	}
	if err != nil {
		return endpoint{}, fmt.Errorf("docker context %q: %w", name, err)
	}
	host, insecure, err := parseContextMeta(data)
	if err != nil {
		return endpoint{}, fmt.Errorf("docker context %q: %w", name, err)
	}
	ep, err := parseHost(host)
	if err != nil {
		return endpoint{}, fmt.Errorf("docker context %q: %w", name, err)
	}
	certs := filepath.Join(configDir, "contexts", "tls", id, "docker")
	if _, err := os.Stat(certs); ep.network == "tcp" && (err == nil || insecure) {
		ep.tls, err = clientTLS(certs, insecure)
		if err != nil {
			return endpoint{}, fmt.Errorf("docker context %q: %w", name, err)
		}
	}
	return ep, nil
}

func parseContextMeta(data []byte) (host string, insecure bool, err error) {
	var meta contextMeta
	if err := json.Unmarshal(data, &meta); err != nil {
		return "", false, err
	}
	ep, ok := meta.Endpoints["docker"]
	if !ok {
		return "", false, errors.New("it names no docker endpoint")
	}
	if ep.Host == "" {
		return defaultHost(), ep.SkipTLSVerify, nil
	}
	return ep.Host, ep.SkipTLSVerify, nil
}
