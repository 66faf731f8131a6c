package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"woodwork.dev/ww/dockerx"
)

// oldestEngineAPI is what all that ww does needs.
const oldestEngineAPI = 41 // of 1.41

func checkEngine(_ context.Context, p *patient) []finding {
	e, err := p.engine()
	if err != nil {
		f := wrong("correct "+p.source, "%v", err)
		f.code = exitEngine
		return []finding{f}
	}
	d, err := p.details()
	if err != nil {
		f := fromError(err)
		if errors.Is(err, context.DeadlineExceeded) {
			f = wrong("it may be overloaded or stuck: look at its log, or restart it", "the engine at %s doesn't answer", e.Host())
		}
		f.Evidence += " (from " + p.source + ")"
		f.code = exitEngine
		return []finding{f}
	}
	rights := ""
	if d.Rootless {
		rights = ", rootless"
	}
	about := fmt.Sprintf("Docker Engine %s (API %s%s) at %s, from %s", d.Version, d.API, rights, e.Host(), p.source)
	if minor, err := strconv.Atoi(strings.TrimPrefix(d.API, "1.")); err == nil && minor < oldestEngineAPI {
		f := wrong(fmt.Sprintf("update the engine to 20.10 or newer (API 1.%d); DOCKER_API_VERSION has to be unset", oldestEngineAPI), "%s is too old", about)
		f.code = exitEngine
		return []finding{f}
	}
	return []finding{ok("%s", about)}
}

// checkDefects is about what engines are known to do wrong.
func checkDefects(_ context.Context, p *patient) []finding {
	d, err := p.details()
	if err != nil {
		return nil
	}
	if strings.HasPrefix(d.Version, "20.10.") || strings.HasPrefix(d.Version, "19.") {
		return []finding{warn("update the engine to 23 or newer, or don't pause what has a health check",
			"engine %s: `pause` during a health check can lock a container up for good", d.Version)}
	}
	return []finding{ok("none is known of engine %s", d.Version)}
}

func checkLimits(_ context.Context, p *patient) []finding {
	d, err := p.details()
	if err != nil {
		return nil
	}
	about := fmt.Sprintf("%d CPUs, %s of memory", d.CPUs, bytesOf(d.Memory))
	switch {
	case len(d.Limits) > 0:
		return []finding{warn("the kernel needs the cgroup controllers (`cgroup_enable=memory swapaccount=1` at boot); a rootless engine needs cgroup v2 with delegation",
			"%s; limits that can't be set: %s", about, strings.Join(d.Limits, ", "))}
	case len(d.Warnings) > 0:
		return []finding{warn("see the engine's documentation on what it warns about", "%s; the engine warns: %s", about, strings.Join(d.Warnings, "; "))}
	}
	return []finding{ok("%s; limits of memory, CPU and processes can be set", about)}
}

// What is left of a disk when builds begin to fail, and when it is about to be
// so.
const (
	diskEmpty = 500 << 20
	diskLow   = 3 << 30
)

func checkDisk(_ context.Context, p *patient) []finding {
	var found []finding
	if d, err := p.details(); err == nil && d.Root != "" {
		if e, _ := p.engine(); e.Local() {
			if free, total, err := diskFree(d.Root); err == nil {
				found = append(found, diskFinding("the engine's disk at "+d.Root+" ("+d.Storage+")", free, total,
					"`docker system df` shows what takes it; `docker image prune` and `docker builder prune` remove what nothing uses"))
			}
		}
	}
	dir := "."
	if l, err := p.loaded(); err == nil && l != nil {
		dir = l.Dir
	}
	if free, total, err := diskFree(dir); err == nil {
		shown, err := filepath.Abs(dir)
		if err != nil {
			shown = dir
		}
		found = append(found, diskFinding("this folder's disk ("+shown+")", free, total, "free some space: build contexts are written to .ww"))
	}
	return found
}

func diskFinding(what string, free, total int64, remedy string) finding {
	evidence := fmt.Sprintf("%s has %s of %s free", what, bytesOf(free), bytesOf(total))
	switch {
	case free < diskEmpty:
		return wrong(remedy, "%s", evidence)
	case free < diskLow:
		return warn(remedy, "%s", evidence)
	}
	return ok("%s", evidence)
}

func bytesOf(n int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	v, i := float64(n), 0
	for v >= 1000 && i < len(units)-1 {
		v, i = v/1000, i+1
	}
	if i == 0 || v >= 100 {
		return fmt.Sprintf("%.0f %s", v, units[i])
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}

// clockTolerance is how far two clocks may be apart: message times and what
// `logs --since` means depend on both.
const clockTolerance = 2 * time.Second

func checkClock(_ context.Context, p *patient) []finding {
	d, err := p.details()
	if err != nil || d.Time.IsZero() {
		return nil
	}
	if d.Ahead.Abs() <= clockTolerance {
		return []finding{ok("the engine's clock and this machine's agree")}
	}
	which := "ahead of"
	if d.Ahead < 0 {
		which = "behind"
	}
	return []finding{warn("set the clocks (`timedatectl set-ntp true`); a virtual machine's engine may need a restart after sleep",
		"the engine's clock is %s %s this machine's", d.Ahead.Abs().Round(100*time.Millisecond), which)}
}

func checkProxy(_ context.Context, p *patient) []finding {
	d, err := p.details()
	if err != nil {
		return nil
	}
	own := ""
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
		if v := p.getenv(name); v != "" {
			own = name + "=" + withoutPassword(v)
			break
		}
	}
	switch {
	case own != "" && d.Proxy == "":
		return []finding{warn("if pulls fail, give the engine its own proxy (`systemctl edit docker`): it doesn't use this environment's, and neither do builds",
			"%s here, and the engine has no proxy", own)}
	case d.Proxy != "":
		return []finding{ok("the engine pulls through %s", withoutPassword(d.Proxy))}
	}
	return []finding{ok("none here, and none of the engine's")}
}

func withoutPassword(proxy string) string {
	u, err := url.Parse(proxy)
	if err != nil {
		return "(no valid address)"
	}
	return u.Redacted()
}

func checkVersions(ctx context.Context, p *patient) []finding {
	parts := []string{"ww " + version()}
	if path, err := exec.LookPath("docker"); err == nil {
		out, err := exec.CommandContext(ctx, path, "compose", "version", "--short").Output()
		if err == nil {
			parts = append(parts, "docker compose "+strings.TrimSpace(string(out)))
		} else {
			parts = append(parts, "docker without compose")
		}
	}
	have, err := p.observed()
	if err != nil {
		return []finding{ok("%s", strings.Join(parts, ", "))}
	}
	var made []string
	for _, c := range have.Containers {
		if v := dockerx.VersionOf(c.Labels); v != "" {
			made = append(made, v)
		}
	}
	slices.Sort(made)
	if made = slices.Compact(made); len(made) > 0 {
		parts = append(parts, "containers have the labels of compose "+strings.Join(made, " and "))
	}
	return []finding{ok("%s", strings.Join(parts, ", "))}
}
