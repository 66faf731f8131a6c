package dockerx

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/docker/docker/api/types/registry"
)

// hubServer is the name that docker's configuration knows its own registry by.
const hubServer = "https://index.docker.io/v1/"

// credentials are those that docker has for a registry; none is no error.
func (e *Engine) credentials(ctx context.Context, host string) (registry.AuthConfig, error) {
	cfg, err := readConfigFile(e.configDir)
	if err != nil {
		return registry.AuthConfig{}, err
	}
	return cfg.lookUp(ctx, serverName(host))
}

// allCredentials are those of every registry that docker's configuration names:
// what a Dockerfile pulls isn't known before it runs.
func (e *Engine) allCredentials(ctx context.Context) map[string]registry.AuthConfig {
	all := map[string]registry.AuthConfig{}
	cfg, err := readConfigFile(e.configDir)
	if err != nil {
		e.log.Warn("no credentials for base images", "error", err)
		return all
	}
	servers := map[string]bool{}
	for s := range cfg.Auths {
		servers[s] = true
	}
	for s := range cfg.CredHelpers {
		servers[s] = true
	}
	for s := range servers {
		cred, err := cfg.lookUp(ctx, s)
		if err != nil {
			e.log.Warn("no credentials for a registry", "registry", s, "error", err)
			continue
		}
		if cred != (registry.AuthConfig{}) {
			all[s] = cred
		}
	}
	return all
}

func serverName(host string) string {
	if host == "docker.io" || host == "index.docker.io" {
		return hubServer
	}
	return host
}

// lookUp asks the registry's credential helper if there is one, and reads the
// file if not.
func (c configFile) lookUp(ctx context.Context, server string) (registry.AuthConfig, error) {
	helper := c.CredHelpers[server]
	if helper == "" {
		helper = c.CredHelpers[hostOf(server)]
	}
	if helper == "" {
		helper = c.CredsStore
	}
	if helper != "" {
		return askHelper(ctx, helper, server)
	}
	entry, ok := c.Auths[server]
	for name, candidate := range c.Auths {
		if !ok && hostOf(name) == hostOf(server) {
			entry, ok = candidate, true
		}
	}
	if !ok {
		return registry.AuthConfig{}, nil
	}
	return entry.decode(server)
}

// hostOf is the host of a server that may be written as a URL.
func hostOf(server string) string {
	if _, rest, ok := strings.Cut(server, "://"); ok {
		server = rest
	}
	host, _, _ := strings.Cut(server, "/")
	return host
}

func (a authEntry) decode(server string) (registry.AuthConfig, error) {
	cred := registry.AuthConfig{
		Username: a.Username, Password: a.Password, ServerAddress: server,
		IdentityToken: a.IdentityToken, RegistryToken: a.RegistryToken,
	}
	if a.Auth != "" {
		data, err := base64.StdEncoding.DecodeString(a.Auth)
		user, password, ok := strings.Cut(string(data), ":")
		if err != nil || !ok {
			return registry.AuthConfig{}, fmt.Errorf("docker's configuration: auth of %s isn't the base64 of user:password", server)
		}
		cred.Username, cred.Password = user, strings.TrimRight(password, "\x00")
	}
	if cred.Username == "" && cred.IdentityToken == "" && cred.RegistryToken == "" {
		return registry.AuthConfig{}, nil
	}
	return cred, nil
}

// tokenUser is what a helper names the user where the secret is a token.
const tokenUser = "<token>"

// askHelper runs docker-credential-NAME. Its output is never part of an error.
func askHelper(ctx context.Context, helper, server string) (registry.AuthConfig, error) {
	if strings.ContainsAny(helper, `/\`) {
		return registry.AuthConfig{}, fmt.Errorf("credential helper %q: a name is expected, and no path", helper)
	}
	name := "docker-credential-" + helper
	cmd := exec.CommandContext(ctx, name, "get")
	cmd.Stdin = strings.NewReader(server)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) && bytes.Contains(bytes.ToLower(out), []byte("credentials not found")) {
			return registry.AuthConfig{}, nil
		}
		return registry.AuthConfig{}, fmt.Errorf("%s get: %w", name, err)
	}
	var got struct{ Username, Secret string }
	if json.Unmarshal(out, &got) != nil {
		return registry.AuthConfig{}, fmt.Errorf("%s get: the answer is no JSON", name)
	}
	cred := registry.AuthConfig{ServerAddress: server}
	if got.Username == tokenUser {
		cred.IdentityToken = got.Secret
		return cred, nil
	}
	cred.Username, cred.Password = got.Username, got.Secret
	return cred, nil
}
