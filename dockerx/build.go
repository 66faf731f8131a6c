package dockerx

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/build"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"woodwork.dev/ww/runtime/deploy"
)

// Build implements deploy.Driver.
//
// It always asks for the classic builder. Through the API, BuildKit needs a
// session that the client serves: files, credentials and a frontend, which is a
// client of its own many times the size of this one. The classic builder needs
// a tar stream, and every engine has it. What only BuildKit can do is refused.
//
// Neither proxy settings nor any other variable of this process gets into the
// image.
func (e *Engine) Build(ctx context.Context, spec deploy.BuildSpec, out func(line string)) (string, error) {
	what := "build image " + spec.Image
	if out == nil {
		out = func(string) {}
	}
	if spec.Build == nil {
		return "", &deploy.EngineError{
			Kind: deploy.BuildFailed, What: what,
			Err:    fmt.Errorf("service %s has no build section", spec.Service),
			Remedy: "give the service a build section",
		}
	}
	if err := checkBuildKeys(spec); err != nil {
		return "", err
	}
	src, err := openContext(spec.Build)
	if err != nil {
		return "", buildFailed(what, err, nil)
	}
	opts := buildOptions(spec, src)
	opts.AuthConfigs = e.allCredentials(ctx)
	for left := 2; ; left-- {
		var id string
		err = e.call(ctx, what, func(c *client.Client) (err error) {
			id, err = e.build(ctx, c, what, src, opts, out)
			return err
		})
		if left == 0 || !lostLayer(err) {
			return id, err
		}
		out("an image that this build went on from is gone: once more")
	}
}

// lostLayer reports whether a build failed because what it took from the cache
// was removed under it, with somebody else's image: an engine doesn't lock that.
func lostLayer(err error) bool {
	if e := (&deploy.EngineError{}); !errors.As(err, &e) || e.Kind != deploy.BuildFailed {
		return false
	}
	return slices.ContainsFunc([]string{"failed to get digest sha256:", "unknown parent image ID", "layer does not exist", "No such image: sha256:"}, func(s string) bool {
		return strings.Contains(err.Error(), s)
	})
}

func (e *Engine) build(ctx context.Context, c *client.Client, what string, src buildContext, opts build.ImageBuildOptions, out func(string)) (string, error) {
	var body io.Reader
	sent := make(chan error, 1)
	if src.remote == "" {
		pr, pw := io.Pipe()
		body = pr
		go func() {
			err := src.write(ctx, pw)
			_ = pw.CloseWithError(err)
			sent <- err
		}()
		// An engine that refuses may leave the stream unread.
		defer func() { _ = pr.Close() }()
	} else {
		close(sent)
	}
	id, tail, err := runBuild(ctx, c, body, opts, out)
	if pr, ok := body.(*io.PipeReader); ok {
		_ = pr.Close()
	}
	if sendErr := <-sent; sendErr != nil && !errors.Is(sendErr, io.ErrClosedPipe) && ctx.Err() == nil {
		return "", buildFailed(what, sendErr, nil)
	}
	if err == nil {
		return id, nil
	}
	return "", e.buildError(ctx, what, opts.BuildArgs, err, tail)
}

// runBuild has an image built, and returns its id, or the last lines of what
// the failing step said.
func runBuild(ctx context.Context, c *client.Client, body io.Reader, opts build.ImageBuildOptions, out func(string)) (string, []string, error) {
	resp, err := c.ImageBuild(ctx, body, opts)
	if err != nil {
		return "", nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	log := buildLog{out: out}
	if err := readMessages(resp.Body, log.add); err != nil {
		log.flush()
		return "", log.tail, err
	}
	log.flush()
	if log.id != "" {
		return log.id, nil, nil
	}
	img, err := c.ImageInspect(ctx, opts.Tags[0])
	return img.ID, nil, err
}

func (e *Engine) buildError(ctx context.Context, what string, args map[string]*string, err error, tail []string) error {
	var said *messageError
	if !errors.As(err, &said) && (ctx.Err() != nil || isUnreachable(err)) {
		return err
	}
	if kind, remedy := e.classify(err); kind == deploy.DiskFull {
		return &deploy.EngineError{Kind: kind, What: what, Err: plain(err), Remedy: remedy, Output: tail}
	}
	if base := baseOf(args, tail); base != "" || isNoImage(err) {
		return &deploy.EngineError{
			Kind: deploy.NoImage, What: what, Err: fmt.Errorf("%s can't be pulled: %w", cmp.Or(base, "its base image"), plain(err)),
			Remedy: pullRemedy(err),
		}
	}
	return buildFailed(what, plain(err), tail)
}

// baseOf gives the image that a build begins with, where the step that was
// under way at the end of its output is that FROM: there is nothing in it that
// can fail but getting the image.
func baseOf(args map[string]*string, tail []string) string {
	for _, line := range slices.Backward(tail) {
		step, ok := strings.CutPrefix(line, "Step ")
		if !ok {
			continue
		}
		_, instruction, _ := strings.Cut(step, " : ")
		from, ok := strings.CutPrefix(instruction, "FROM ")
		if !ok {
			return ""
		}
		image, _, _ := strings.Cut(from, " ")
		return os.Expand(image, func(name string) string {
			if v := args[name]; v != nil {
				return *v
			}
			for _, l := range tail {
				if _, v, ok := strings.Cut(l, " : ARG "+name+"="); ok {
					return v
				}
			}
			return "$" + name
		})
	}
	return ""
}

func buildFailed(what string, err error, tail []string) error {
	if kind := (&deploy.EngineError{}); errors.As(err, &kind) {
		return err
	}
	if isDiskFull(err, strings.ToLower(err.Error())) {
		return &deploy.EngineError{Kind: deploy.DiskFull, What: what, Err: err, Remedy: "free some space", Output: tail}
	}
	return &deploy.EngineError{
		Kind: deploy.BuildFailed, What: what, Err: err, Output: tail,
		Remedy: "correct the Dockerfile or the files that it copies; the output tells which step failed",
	}
}

// checkBuildKeys refuses what only BuildKit can do.
func checkBuildKeys(spec deploy.BuildSpec) error {
	b := spec.Build
	var keys []string
	name := func(is bool, key string) {
		if is {
			keys = append(keys, "build."+key)
		}
	}
	name(len(b.Secrets) > 0, "secrets")
	name(len(b.SSH) > 0, "ssh")
	name(len(b.AdditionalContexts) > 0, "additional_contexts")
	name(len(b.CacheTo) > 0, "cache_to")
	name(b.Privileged, "privileged")
	name(len(b.Entitlements) > 0, "entitlements")
	name(len(b.NoCacheFilter) > 0, "no_cache_filter")
	name(b.Provenance != "" && b.Provenance != "false", "provenance")
	name(b.SBOM != "" && b.SBOM != "false", "sbom")
	if len(keys) == 0 {
		return nil
	}
	return &deploy.EngineError{
		Kind:   deploy.Unsupported,
		What:   "service " + spec.Service,
		Err:    fmt.Errorf("%s needs BuildKit", strings.Join(keys, ", ")),
		Remedy: fmt.Sprintf("build the image with 'docker build -t %s', and set image to that instead of build", spec.Image),
	}
}

func buildOptions(spec deploy.BuildSpec, src buildContext) build.ImageBuildOptions {
	b := spec.Build
	platform := spec.Platform
	if platform == "" && len(b.Platforms) > 0 {
		platform = b.Platforms[0]
	}
	return build.ImageBuildOptions{
		Version:       build.BuilderV1,
		Tags:          append([]string{spec.Image}, b.Tags...),
		Dockerfile:    src.dockerfile,
		RemoteContext: src.remote,
		BuildArgs:     b.Args,
		Target:        b.Target,
		Labels:        merged(b.Labels, spec.Labels),
		NetworkMode:   b.Network,
		CacheFrom:     b.CacheFrom,
		ExtraHosts:    extraHosts(b.ExtraHosts),
		ShmSize:       int64(b.ShmSize),
		Ulimits:       ulimits(b.Ulimits),
		Isolation:     container.Isolation(b.Isolation),
		NoCache:       b.NoCache || spec.NoCache,
		PullParent:    b.Pull || spec.Pull,
		Platform:      platform,
		Memory:        spec.Memory,
		Remove:        true,
		ForceRemove:   true,
	}
}
