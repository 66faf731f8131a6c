package dockerx

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"woodwork.dev/ww/runtime/deploy"
)

const (
	secretsDir  = "/run/secrets/"
	defaultMode = 0o444
)

// fileRef is one use of a secret or config by a service.
type fileRef struct {
	kind   string // secret or config
	use    types.FileReferenceConfig
	source types.FileObjectConfig
	target string // absolute
}

// fileCopy is a file that is copied into a container.
type fileCopy struct {
	path     string
	content  []byte
	mode     int64
	uid, gid int
}

// fileRefs are the secrets and configs of a service.
func fileRefs(p *types.Project, s types.ServiceConfig) ([]fileRef, error) {
	var refs []fileRef
	for _, use := range s.Secrets {
		source, ok := p.Secrets[use.Source]
		if !ok {
			return nil, invalid(s.Name, "secrets", "secret %q is not declared", use.Source)
		}
		refs = append(refs, fileRef{"secret", types.FileReferenceConfig(use), types.FileObjectConfig(source), targetOf(secretsDir, use.Source, use.Target)})
	}
	for _, use := range s.Configs {
		source, ok := p.Configs[use.Source]
		if !ok {
			return nil, invalid(s.Name, "configs", "config %q is not declared", use.Source)
		}
		refs = append(refs, fileRef{"config", types.FileReferenceConfig(use), types.FileObjectConfig(source), targetOf("/", use.Source, use.Target)})
	}
	for _, r := range refs {
		if err := r.check(s); err != nil {
			return nil, err
		}
	}
	return refs, nil
}

func targetOf(dir, source, target string) string {
	switch {
	case target == "":
		return dir + source
	case isAbs(target):
		return target
	}
	return dir + target
}

func (r fileRef) check(s types.ServiceConfig) error {
	key := r.kind + " " + r.use.Source
	switch {
	case r.source.File == "" && r.source.Environment == "" && r.source.Content == "":
		return invalid(s.Name, r.kind+"s", "%s has no file, environment or content", key)
	case r.copied() && s.ReadOnly:
		return r.refused(s, "has to be copied into the container, and read_only: true forbids that: use file (without uid, gid and mode), or leave read_only out")
	}
	if r.copied() {
		return r.checkTmpfs(s)
	}
	return nil
}

func (r fileRef) refused(s types.ServiceConfig, why string) error {
	return unsupported("service "+s.Name, Refusals{{Key: r.kind + "s." + r.use.Source, Why: why}})
}

// checkTmpfs refuses what would be copied below a tmpfs: that is mounted only
// when the container starts, and hides the file.
func (r fileRef) checkTmpfs(s types.ServiceConfig) error {
	var mounts []string
	for _, t := range s.Tmpfs {
		dir, _, _ := strings.Cut(t, ":")
		mounts = append(mounts, dir)
	}
	for _, v := range s.Volumes {
		if v.Type == types.VolumeTypeTmpfs {
			mounts = append(mounts, v.Target)
		}
	}
	for _, dir := range mounts {
		if strings.HasPrefix(path.Clean(r.target), strings.TrimSuffix(path.Clean(dir), "/")+"/") {
			return r.refused(s, fmt.Sprintf("would be hidden by the tmpfs at %s: give it another target", dir))
		}
	}
	return nil
}

// copied tells whether the file is copied rather than mounted: it has to be
// where there is no file on this side, and where its owner or mode are to be
// other than those of the file.
func (r fileRef) copied() bool {
	return r.source.File == "" || r.use.UID != "" || r.use.GID != "" || r.use.Mode != nil
}

// mountedFiles are the secrets and configs that are bind mounts.
func mountedFiles(p *types.Project, s types.ServiceConfig) ([]types.ServiceVolumeConfig, error) {
	refs, err := fileRefs(p, s)
	if err != nil {
		return nil, err
	}
	var mounts []types.ServiceVolumeConfig
	for _, r := range refs {
		if r.copied() {
			continue
		}
		mounts = append(mounts, types.ServiceVolumeConfig{
			Type: types.VolumeTypeBind, Source: r.source.File, Target: r.target, ReadOnly: true,
			// A missing file must be an error, and no directory in its place.
			Bind: &types.ServiceVolumeBind{CreateHostPath: false},
		})
	}
	return mounts, nil
}

// copiedFiles are the secrets and configs that are copied. No error that it
// returns holds a value.
func copiedFiles(p *types.Project, s types.ServiceConfig) ([]fileCopy, error) {
	refs, err := fileRefs(p, s)
	if err != nil {
		return nil, err
	}
	var files []fileCopy
	for _, r := range refs {
		if !r.copied() {
			continue
		}
		f := fileCopy{path: r.target, mode: defaultMode}
		if r.use.Mode != nil {
			f.mode = int64(*r.use.Mode)
		}
		if f.uid, err = ownerID(s, r, "uid", r.use.UID); err != nil {
			return nil, err
		}
		if f.gid, err = ownerID(s, r, "gid", r.use.GID); err != nil {
			return nil, err
		}
		if f.content, err = r.content(p, s); err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

func ownerID(s types.ServiceConfig, r fileRef, key, value string) (int, error) {
	if value == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return 0, invalid(s.Name, r.kind+"s", "%s %s: %s %q is no number", r.kind, r.use.Source, key, value)
	}
	return int(n), nil
}

func (r fileRef) content(p *types.Project, s types.ServiceConfig) ([]byte, error) {
	switch {
	case r.source.Content != "":
		return []byte(r.source.Content), nil
	case r.source.Environment != "":
		value, ok := p.Environment[r.source.Environment]
		if !ok {
			return nil, &deploy.EngineError{
				Kind:   deploy.Invalid,
				What:   "service " + s.Name,
				Err:    fmt.Errorf("%s %s: the variable %s is not set", r.kind, r.use.Source, r.source.Environment),
				Remedy: fmt.Sprintf("set %s in the environment or in .env", r.source.Environment),
			}
		}
		return []byte(value), nil
	}
	file := r.source.File
	if !filepath.IsAbs(file) {
		file = filepath.Join(p.WorkingDir, file)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, invalid(s.Name, r.kind+"s", "%s %s: %w", r.kind, r.use.Source, err)
	}
	return data, nil
}

// copyFiles copies files into a container that doesn't run, all in one call.
func copyFiles(ctx context.Context, c *client.Client, id string, files []fileCopy) error {
	if len(files) == 0 {
		return nil
	}
	archive, err := tarFiles(files)
	if err != nil {
		return err
	}
	// With CopyUIDGID the owner would be the container's user, whatever the
	// archive says.
	err = c.CopyToContainer(ctx, id, "/", archive, container.CopyToContainerOptions{})
	if err != nil {
		return fmt.Errorf("copy secrets and configs: %w", err)
	}
	return nil
}

func tarFiles(files []fileCopy) (*bytes.Buffer, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{
			Typeflag: tar.TypeReg, Name: strings.TrimPrefix(f.path, "/"), Size: int64(len(f.content)),
			Mode: f.mode, Uid: f.uid, Gid: f.gid,
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	return &b, w.Close()
}
