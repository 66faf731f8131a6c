package compose

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/compose-spec/compose-go/v2/types"
)

const (
	// LabelContentHash is on the containers of services that use configs or
	// secrets: the digest that ContentHashes gives.
	LabelContentHash = "dev.woodwork.content-hash"
	// ContentKeyFile is where the key of those digests lies, relative to the
	// project's folder.
	ContentKeyFile = Folder + "/content-key"
)

// ContentHashes gives, for each service that uses configs or secrets, a digest
// of what is in them: inline, in files and in variables. Hash leaves that out,
// as docker compose does. A service that uses none has no entry.
//
// The digests are for labels, which everyone who may talk to the engine can
// read. A plain digest of a short secret can be found by trying, with or without
// a salt beside it; these are keyed with random bytes that never leave this
// machine (ContentKeyFile, or the user's configuration where the project's
// folder can't be written), and made once. Without the key they say nothing,
// and a lost one makes every digest another one: what uses contents is then
// taken for changed. Digests of two services differ though their secrets don't.
//
// What isn't there (a file that Prepare writes, a variable that isn't set)
// counts as missing, and is no error here. A folder counts by its path alone:
// what is in it is seen through the mount.
func ContentHashes(p *types.Project) (map[string]string, error) {
	all := map[string]string{}
	var key []byte
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		uses := contentsOf(p, p.Services[name])
		if len(uses) == 0 {
			continue
		}
		if key == nil {
			var err error
			if key, err = contentKey(p.WorkingDir); err != nil {
				return nil, fmt.Errorf("key of content digests: %w", err)
			}
		}
		mac := hmac.New(sha256.New, key)
		enc := json.NewEncoder(mac)
		if err := enc.Encode([]string{p.Name, name}); err != nil {
			return nil, err
		}
		for _, u := range uses {
			if err := u.read(p, sha256.New()); err != nil {
				return nil, fmt.Errorf("service %s: %s %s: %w", name, u.Kind, u.Source, err)
			}
			if err := enc.Encode(u); err != nil {
				return nil, err
			}
		}
		all[name] = hex.EncodeToString(mac.Sum(nil))
	}
	return all, nil
}

// content is one config or secret that a service uses, as it is digested.
type content struct {
	Kind   string // config or secret
	Source string
	File   string // what is mounted
	Digest []byte // nil: missing, or a folder
	object types.FileObjectConfig
}

// contentsOf lists what a service uses, each once. What only a swarm has is
// left out.
func contentsOf(p *types.Project, s types.ServiceConfig) []*content {
	var uses []*content
	add := func(kind, source string, object types.FileObjectConfig, declared bool) {
		same := func(u *content) bool { return u.Kind == kind && u.Source == source }
		if declared && !bool(object.External) && !slices.ContainsFunc(uses, same) {
			uses = append(uses, &content{Kind: kind, Source: source, File: object.File, object: object})
		}
	}
	for _, use := range s.Configs {
		object, ok := p.Configs[use.Source]
		add("config", use.Source, types.FileObjectConfig(object), ok)
	}
	for _, use := range s.Secrets {
		object, ok := p.Secrets[use.Source]
		add("secret", use.Source, types.FileObjectConfig(object), ok)
	}
	slices.SortFunc(uses, func(a, b *content) int { return strings.Compare(a.Kind+" "+a.Source, b.Kind+" "+b.Source) })
	return uses
}

// read fills in the digest. No error that it returns holds a value.
func (c *content) read(p *types.Project, h hash.Hash) error {
	o := c.object
	switch {
	case o.Content != "":
		_, _ = io.WriteString(h, o.Content) // a hash never fails
	case o.Environment != "":
		value, ok := p.Environment[o.Environment]
		if !ok {
			return nil
		}
		_, _ = io.WriteString(h, value)
	case o.File != "":
		file := o.File
		if !filepath.IsAbs(file) {
			file = filepath.Join(p.WorkingDir, file)
		}
		f, err := os.Open(file)
		if missing(err) {
			return nil
		} else if err != nil {
			return err
		}
		defer f.Close()
		if _, err := io.Copy(h, f); errors.Is(err, syscall.EISDIR) {
			return nil
		} else if err != nil {
			return err
		}
	default:
		return nil
	}
	c.Digest = h.Sum(nil)
	return nil
}

// contentKeySize is that of what HMAC-SHA256 gives.
const contentKeySize = 32

// contentKey reads the project's key, or makes one: in the user's configuration
// where that can't be done in the project's folder.
func contentKey(dir string) ([]byte, error) {
	name := filepath.Join(dir, filepath.FromSlash(ContentKeyFile))
	key, err := readContentKey(name)
	if !missing(err) {
		return key, err
	}
	if err = EnsureFolder(dir); err == nil {
		err = writeKey(name)
	}
	if err == nil {
		return readContentKey(name)
	}
	config, noConfig := os.UserConfigDir()
	if noConfig != nil {
		return nil, err
	}
	name = filepath.Join(config, "ww", filepath.Base(name))
	if key, err := readContentKey(name); !missing(err) {
		return key, err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, err
	}
	if err := writeKey(name); err != nil {
		return nil, err
	}
	return readContentKey(name)
}

func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

func readContentKey(name string) ([]byte, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != contentKeySize {
		return nil, fmt.Errorf("%s isn't what ww wrote: remove it, and a new one is made", name)
	}
	return key, nil
}

func writeKey(name string) error {
	key := make([]byte, contentKeySize)
	if _, err := rand.Read(key); err != nil {
		return err
	}
	return writeOnce(name, hex.EncodeToString(key)+"\n", 0o600)
}
