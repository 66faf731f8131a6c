package compose

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/compose-spec/compose-go/v2/types"
)

// Hash is the digest of a service's configuration, the one that docker compose
// keeps in the label com.docker.compose.config-hash: a container that has it
// needn't be made anew. What doesn't change a container (how its image is made
// and pulled, how many there are, what it waits for, profiles) is not part of
// it.
func Hash(s types.ServiceConfig) (string, error) {
	s.Build = nil
	s.PullPolicy = ""
	s.Scale = nil
	s.DependsOn = nil
	s.Profiles = nil
	if s.Deploy != nil {
		d := *s.Deploy
		d.Replicas = nil
		s.Deploy = &d
	}
	return digest("service "+s.Name, s)
}

// NetworkHash is the digest of a network's configuration.
func NetworkHash(n types.NetworkConfig) (string, error) { return digest("network "+n.Name, &n) }

// VolumeHash is the digest of a volume's configuration.
func VolumeHash(v types.VolumeConfig) (string, error) {
	if v.Driver == "" {
		v.Driver = "local"
	}
	return digest("volume "+v.Name, v)
}

func digest(what string, v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("hash of %s: %w", what, err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}
