package dockerx

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/client"

	"woodwork.dev/ww/runtime/deploy"
)

// Pull implements deploy.Driver. The share that is done never falls, and is 1
// once the image is there. Credentials are docker's own.
func (e *Engine) Pull(ctx context.Context, ref, platform string, progress func(done float64, what string)) error {
	what := "pull image " + ref
	if progress == nil {
		progress = func(float64, string) {}
	}
	return e.call(ctx, what, func(c *client.Client) error {
		auth, err := e.pullAuth(ctx, ref)
		if err != nil {
			return err
		}
		err = pull(ctx, c, ref, image.PullOptions{RegistryAuth: auth, Platform: platform}, progress)
		return e.pullError(ctx, what, err)
	})
}

func pull(ctx context.Context, c *client.Client, ref string, opts image.PullOptions, progress func(float64, string)) error {
	body, err := c.ImagePull(ctx, ref, opts)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	layers := pullProgress{layers: map[string]float64{}, report: progress}
	if err := readMessages(body, layers.add); err != nil {
		return err
	}
	progress(1, "Pulled")
	return nil
}

func (e *Engine) pullAuth(ctx context.Context, ref string) (string, error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "", &deploy.EngineError{
			Kind: deploy.NoImage, What: "pull image " + ref, Err: err,
			Remedy: "write the image as registry/name:tag",
		}
	}
	cred, err := e.credentials(ctx, reference.Domain(named))
	if err != nil {
		// Many images are public: the registry decides.
		e.log.Warn("no credentials for a registry", "registry", reference.Domain(named), "error", err)
	}
	if cred == (registry.AuthConfig{}) {
		return "", nil
	}
	return registry.EncodeAuthConfig(cred)
}

// Pinned gives a reference with the digest that its registry has for it now. One
// that has a digest stays as it is.
func (e *Engine) Pinned(ctx context.Context, ref string) (string, error) {
	what := "look image " + ref + " up in its registry"
	named, err := reference.ParseDockerRef(ref)
	if err != nil {
		return "", &deploy.EngineError{Kind: deploy.NoImage, What: what, Err: err, Remedy: "write the image as registry/name:tag"}
	}
	if _, ok := named.(reference.Digested); ok {
		return ref, nil
	}
	var pinned string
	err = e.call(ctx, what, func(c *client.Client) error {
		auth, err := e.pullAuth(ctx, ref)
		if err != nil {
			return err
		}
		got, err := c.DistributionInspect(ctx, named.String(), auth)
		if err != nil {
			return e.pullError(ctx, what, err)
		}
		with, err := reference.WithDigest(named, got.Descriptor.Digest)
		if err == nil {
			pinned = reference.FamiliarString(with)
		}
		return err
	})
	return pinned, err
}

// Push implements deploy.Driver. Credentials are docker's own.
func (e *Engine) Push(ctx context.Context, ref string, progress func(done float64, what string)) error {
	what := "push image " + ref
	if progress == nil {
		progress = func(float64, string) {}
	}
	return e.call(ctx, what, func(c *client.Client) error {
		auth, err := e.pullAuth(ctx, ref)
		if err != nil {
			return err
		}
		if auth == "" { // a push needs some, be they empty
			if auth, err = registry.EncodeAuthConfig(registry.AuthConfig{}); err != nil {
				return err
			}
		}
		err = push(ctx, c, ref, auth, progress)
		var said *messageError
		if err == nil || ctx.Err() != nil || !errors.As(err, &said) && isUnreachable(err) {
			return err
		}
		return &deploy.EngineError{Kind: deploy.Other, What: what, Err: plain(err), Remedy: pushRemedy(err)}
	})
}

func push(ctx context.Context, c *client.Client, ref, auth string, progress func(float64, string)) error {
	body, err := c.ImagePush(ctx, ref, image.PushOptions{RegistryAuth: auth})
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	layers := pullProgress{layers: map[string]float64{}, report: progress}
	if err := readMessages(body, layers.add); err != nil {
		return err
	}
	progress(1, "Pushed")
	return nil
}

func pushRemedy(err error) string {
	text := strings.ToLower(err.Error())
	switch {
	case strings.Contains(text, "does not exist locally"):
		return "`ww compose build` makes it"
	case strings.Contains(text, "denied"), strings.Contains(text, "unauthorized"), strings.Contains(text, "authentication required"), strings.Contains(text, "no basic auth credentials"):
		return "the image's name says which registry it goes to; log in there with 'docker login'"
	}
	return "check that the engine reaches the registry: network, DNS and proxy are the engine's own"
}

// pullError calls every failure of a pull NoImage, but for those of the engine
// itself.
func (e *Engine) pullError(ctx context.Context, what string, err error) error {
	var said *messageError
	if err == nil || ctx.Err() != nil || !errors.As(err, &said) && isUnreachable(err) {
		return err
	}
	if kind, _ := e.classify(err); kind == deploy.DiskFull {
		return err
	}
	return &deploy.EngineError{Kind: deploy.NoImage, What: what, Err: plain(err), Remedy: pullRemedy(err)}
}

func isNoImage(err error) bool {
	text := strings.ToLower(err.Error())
	for _, s := range []string{"pull access denied", "manifest unknown", "manifest for", "no matching manifest", "repository does not exist", "no such image"} {
		if strings.Contains(text, s) {
			return true
		}
	}
	return false
}

func pullRemedy(err error) string {
	text := strings.ToLower(err.Error())
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(text, w) {
				return true
			}
		}
		return false
	}
	switch {
	case has("no matching manifest"):
		return "the image doesn't exist for this platform; set platform to one that it exists for"
	case has("pull access denied", "unauthorized", "authentication required", "no basic auth credentials"):
		return "check the image's name; if it is private, log in with 'docker login' first"
	case has("toomanyrequests", "too many requests", "rate limit"):
		return "the registry limits anonymous pulls; log in with 'docker login', or wait"
	case errdefs.IsNotFound(err), has("manifest unknown", "not found", "no such image"):
		return "check the image's name and tag, or build it"
	}
	return "check that the engine reaches the registry: network, DNS and proxy are the engine's own"
}

// pullProgress aggregates what is said about single layers. Half of a layer is
// to download it, half to extract it; sizes are known too late to weigh layers
// by them.
type pullProgress struct {
	layers map[string]float64
	most   float64
	report func(float64, string)
}

func (p *pullProgress) add(m message) {
	share, ok := layerShare(m)
	if m.ID == "" || !ok {
		return
	}
	p.layers[m.ID] = max(p.layers[m.ID], share)
	sum := 0.0
	for _, s := range p.layers {
		sum += s
	}
	// Layers are announced one after the other, and each lowers the average.
	p.most = max(p.most, min(sum/float64(len(p.layers)), 1))
	p.report(p.most, fmt.Sprintf("%s %s", m.Status, m.ID))
}

// layerShare is how much of a layer is done; false if the message isn't about a
// layer.
func layerShare(m message) (float64, bool) {
	part := 0.0
	if m.Progress.Total > 0 {
		part = min(max(float64(m.Progress.Current)/float64(m.Progress.Total), 0), 1)
	}
	switch m.Status {
	case "Pulling fs layer", "Waiting", "Preparing":
		return 0, true
	case "Downloading":
		return part / 2, true
	case "Pushing":
		return part, true
	case "Verifying Checksum", "Download complete":
		return 0.5, true
	case "Extracting":
		return 0.5 + part/2, true
	case "Pull complete", "Already exists", "Pushed", "Layer already exists":
		return 1, true
	}
	return 0, false
}
