package dockerx

import (
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/versions"
)

// mountsOf are the mounts of a service. The engine takes them in two forms, and
// some options exist only in one; like compose, plain bind mounts and named
// volumes go as bind strings. Where two have the same target the last wins, and
// a volume wins over a secret or config.
func mountsOf(p *types.Project, s types.ServiceConfig, api string) (binds []string, mounts []mount.Mount, err error) {
	byTarget := map[string]types.ServiceVolumeConfig{}
	files, err := mountedFiles(p, s)
	if err != nil {
		return nil, nil, err
	}
	for _, v := range append(files, s.Volumes...) {
		byTarget[v.Target] = v
	}
	targets := make([]string, 0, len(byTarget))
	for t := range byTarget {
		targets = append(targets, t)
	}
	sort.Strings(targets)
	for _, t := range targets {
		v := byTarget[t]
		source, err := mountSource(p, s, v)
		if err != nil {
			return nil, nil, err
		}
		if asBind(p, v, api) {
			binds = append(binds, bindString(source, v))
			continue
		}
		mounts = append(mounts, mountOf(source, v))
	}
	return binds, mounts, nil
}

// mountSource is what the engine knows a source by: an absolute path, or a
// volume's full name. It is empty for what has none.
func mountSource(p *types.Project, s types.ServiceConfig, v types.ServiceVolumeConfig) (string, error) {
	switch v.Type {
	case types.VolumeTypeBind:
		if v.Source == "" {
			return "", invalid(s.Name, "volumes", "the mount of type bind at %s has no source", v.Target)
		}
		if isAbs(v.Source) {
			return v.Source, nil
		}
		return filepath.Join(p.WorkingDir, v.Source), nil
	case types.VolumeTypeVolume:
		if named, ok := p.Volumes[v.Source]; ok && v.Source != "" {
			return named.Name, nil
		}
	}
	return v.Source, nil
}

// isAbs tells whether a path is absolute on any system: the engine's need not
// be this one.
func isAbs(path string) bool {
	windows := len(path) > 2 && path[1] == ':' && (path[2] == '\\' || path[2] == '/')
	return windows || strings.HasPrefix(path, "/") || strings.HasPrefix(path, `\\`) || filepath.IsAbs(path)
}

// asBind tells whether a mount goes as a bind string. That form creates a
// missing host path, and is the only one that relabels for SELinux.
func asBind(p *types.Project, v types.ServiceVolumeConfig, api string) bool {
	switch v.Type {
	case types.VolumeTypeBind:
		b := v.Bind
		if b == nil {
			return true
		}
		if !bool(b.CreateHostPath) || b.Recursive != "" && b.Recursive != "enabled" {
			return false
		}
		// The other form creates the host path only from 1.42 on.
		return b.Propagation == "" || b.SELinux != "" || versions.LessThan(api, "1.42")
	case types.VolumeTypeVolume:
		_, named := p.Volumes[v.Source]
		o := v.Volume
		return named && (o == nil || len(o.Labels) == 0 && o.Subpath == "" && !o.NoCopy)
	}
	return false
}

func bindString(source string, v types.ServiceVolumeConfig) string {
	opts := "rw"
	if v.ReadOnly {
		opts = "ro"
	}
	b := v.Bind
	if v.Type != types.VolumeTypeBind {
		b = nil
	}
	if b != nil && b.SELinux != "" {
		opts += "," + b.SELinux
	}
	if b != nil && b.Propagation != "" {
		opts += "," + b.Propagation
	}
	if v.Consistency != "" {
		opts += "," + v.Consistency
	}
	return source + ":" + v.Target + ":" + opts
}

// mountOf leaves out the options of another type of mount, as the engine would
// refuse them.
func mountOf(source string, v types.ServiceVolumeConfig) mount.Mount {
	m := mount.Mount{
		Type:        mount.Type(v.Type),
		Source:      source,
		Target:      v.Target,
		ReadOnly:    v.ReadOnly,
		Consistency: mount.Consistency(v.Consistency),
	}
	if b := v.Bind; b != nil && v.Type == types.VolumeTypeBind {
		m.BindOptions = &mount.BindOptions{
			Propagation:            mount.Propagation(b.Propagation),
			CreateMountpoint:       bool(b.CreateHostPath),
			NonRecursive:           b.Recursive == "disabled",
			ReadOnlyNonRecursive:   b.Recursive == "writable",
			ReadOnlyForceRecursive: b.Recursive == "readonly",
		}
	}
	if o := v.Volume; o != nil && v.Type == types.VolumeTypeVolume {
		m.VolumeOptions = &mount.VolumeOptions{NoCopy: o.NoCopy, Subpath: o.Subpath, Labels: o.Labels}
	}
	if o := v.Tmpfs; o != nil && v.Type == types.VolumeTypeTmpfs {
		m.TmpfsOptions = &mount.TmpfsOptions{SizeBytes: int64(o.Size), Mode: os.FileMode(o.Mode)}
	}
	if o := v.Image; o != nil && v.Type == types.VolumeTypeImage {
		m.ImageOptions = &mount.ImageOptions{Subpath: o.SubPath}
	}
	return m
}
