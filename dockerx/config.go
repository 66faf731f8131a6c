package dockerx

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// configFile is the part of docker's config.json that is of use here.
type configFile struct {
	CurrentContext string               `json:"currentContext"`
	Auths          map[string]authEntry `json:"auths"`
	CredsStore     string               `json:"credsStore"`
	CredHelpers    map[string]string    `json:"credHelpers"`
}

type authEntry struct {
	Auth          string `json:"auth"` // base64 of user:password
	Username      string `json:"username"`
	Password      string `json:"password"`
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken"`
}

// readConfigFile reads docker's configuration. There may be none.
func readConfigFile(dir string) (configFile, error) {
	if dir == "" {
		return configFile{}, nil
	}
	path := filepath.Join(dir, "config.json")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return configFile{}, nil
	}
	if err != nil {
		return configFile{}, fmt.Errorf("docker's configuration: %w", err)
	}
	cfg, err := parseConfigFile(data)
	if err != nil {
		return configFile{}, fmt.Errorf("docker's configuration %s: %w", path, err)
	}
	return cfg, nil
}

func parseConfigFile(data []byte) (configFile, error) {
	var cfg configFile
	if len(data) == 0 {
		return cfg, nil
	}
	// The decoder's own error could quote a part of the file, which holds
	// passwords.
	if json.Unmarshal(data, &cfg) != nil {
		return configFile{}, errors.New("it is no valid JSON")
	}
	return cfg, nil
}
