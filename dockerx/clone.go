package dockerx

import (
	"archive/tar"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/versions"
	"github.com/docker/docker/client"

	"woodwork.dev/ww/runtime/deploy"
)

// labelCopied lists, as JSON, the files that were copied into a container before
// it was started: the engine doesn't know of them, and whoever makes another one
// like it has to.
const labelCopied = "dev.woodwork.copied"

// labelReplace says whose place a container has taken.
const labelReplace = labelPrefix + "replace"

// copiedLabel is the value of labelCopied.
func copiedLabel(files []fileCopy) (string, error) {
	var paths []string
	for _, f := range files {
		paths = append(paths, f.path)
	}
	b, err := json.Marshal(paths)
	return string(b), err
}

// Clone creates a container like one that is there, of the same image, under the
// name and number of spec: no file is needed for that, and it is the same as the
// others of its service, whatever a file says by now. Its anonymous volumes are its
// own.
func (e *Engine) Clone(ctx context.Context, like string, spec deploy.ContainerSpec) (string, error) {
	var id string
	err := e.call(ctx, "create container "+spec.Name, func(c *client.Client) error {
		of, err := c.ContainerInspect(ctx, like)
		if err != nil {
			return err
		}
		in := likeness(of, spec, c.ClientVersion())
		// The tag may be another image's by now.
		if img, err := c.ImageInspect(ctx, of.Config.Image); err != nil || img.ID != of.Image {
			in.container.Image = of.Image
		}
		if in.files, err = copiesIn(ctx, c, of); err != nil {
			return err
		}
		id, err = e.create(ctx, c, in, spec.Name)
		return err
	})
	return id, err
}

// likeness is what a container like another one is created from.
func likeness(of container.InspectResponse, spec deploy.ContainerSpec, api string) createInput {
	cfg, host := *of.Config, *of.HostConfig
	if strings.HasPrefix(of.ID, cfg.Hostname) {
		cfg.Hostname = "" // it was given that
	}
	//lint:ignore SA1019 older engines have it here, and only here
	cfg.MacAddress = ""
	cfg.Labels = maps.Clone(cfg.Labels)
	cfg.Labels[labelNumber] = fmt.Sprint(spec.Number)
	delete(cfg.Labels, labelReplace)
	host.ContainerIDFile = ""
	in := createInput{container: &cfg, host: &host}
	if !host.NetworkMode.IsUserDefined() || of.NetworkSettings == nil {
		return in
	}
	in.networks = &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{}}
	old := strings.TrimPrefix(of.Name, "/")
	for _, name := range slices.Sorted(maps.Keys(of.NetworkSettings.Networks)) {
		was := of.NetworkSettings.Networks[name]
		ep := &network.EndpointSettings{Links: was.Links, DriverOpts: was.DriverOpts, GwPriority: was.GwPriority, Aliases: []string{spec.Name}}
		for _, a := range was.Aliases {
			if a != old && !strings.HasPrefix(of.ID, a) {
				ep.Aliases = append(ep.Aliases, a)
			}
		}
		if was.IPAMConfig != nil {
			ipam := *was.IPAMConfig
			ep.IPAMConfig = &ipam
		}
		if name != string(host.NetworkMode) && versions.LessThan(api, "1.44") {
			in.later = append(in.later, laterNetwork{name, ep})
			continue
		}
		in.networks.EndpointsConfig[name] = ep
	}
	return in
}

// copiesIn reads the files that were copied into a container.
func copiesIn(ctx context.Context, c *client.Client, of container.InspectResponse) ([]fileCopy, error) {
	label := of.Config.Labels[labelCopied]
	if label == "" {
		return nil, nil
	}
	var paths []string
	if err := json.Unmarshal([]byte(label), &paths); err != nil {
		return nil, fmt.Errorf("label %s: %w", labelCopied, err)
	}
	var files []fileCopy
	for _, p := range paths {
		f, err := copyOf(ctx, c, of.ID, p)
		if err != nil {
			return nil, fmt.Errorf("read %s of the container that this one is to be like: %w", p, err)
		}
		files = append(files, f)
	}
	return files, nil
}

// maxCopied is how much a secret or config may hold: an engine takes no larger one.
const maxCopied = 16 << 20

func copyOf(ctx context.Context, c *client.Client, id, path string) (fileCopy, error) {
	r, _, err := c.CopyFromContainer(ctx, id, path)
	if err != nil {
		return fileCopy{}, err
	}
	defer func() { _ = r.Close() }()
	t := tar.NewReader(r)
	h, err := t.Next()
	if err != nil {
		return fileCopy{}, err
	}
	if h.Typeflag != tar.TypeReg || h.Size > maxCopied {
		return fileCopy{}, fmt.Errorf("it is no plain file of at most %d bytes", maxCopied)
	}
	content, err := io.ReadAll(t)
	return fileCopy{path: path, content: content, mode: h.Mode & 0o7777, uid: h.Uid, gid: h.Gid}, err
}
