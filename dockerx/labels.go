package dockerx

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"sort"
	"strconv"
	"strings"

	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

// Compose's labels, so that every tool that knows Compose sees the project.
const (
	labelPrefix     = "com.docker.compose."
	labelProject    = labelPrefix + "project"
	labelService    = labelPrefix + "service"
	labelNumber     = labelPrefix + "container-number"
	labelOneOff     = labelPrefix + "oneoff"
	labelConfigHash = labelPrefix + "config-hash"
	labelDependsOn  = labelPrefix + "depends_on"
	labelNetwork    = labelPrefix + "network"
	labelVolume     = labelPrefix + "volume"
	labelVersion    = labelPrefix + "version"

	// composeVersion is the docker compose whose labels and hashes these are.
	composeVersion = "5.5.0"
)

// hashOf is compose's config hash of a network or volume.
func hashOf(config any) (string, error) {
	data, err := json.Marshal(config)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

// parseDependsOn reads compose's "service:condition:restart,…". What isn't of
// that form is left out: anyone can write labels.
func parseDependsOn(label string) []plan.Dependency {
	var deps []plan.Dependency
	for item := range strings.SplitSeq(label, ",") {
		parts := strings.Split(item, ":")
		if len(parts) != 3 || parts[0] == "" {
			continue
		}
		restart, _ := strconv.ParseBool(parts[2])
		deps = append(deps, plan.Dependency{Service: parts[0], Condition: parts[1], Restart: restart})
	}
	sort.Slice(deps, func(i, j int) bool { return deps[i].Service < deps[j].Service })
	return deps
}

// fromLabels fills in what a container's labels tell.
func fromLabels(c *plan.Container) {
	c.Service = c.Labels[labelService]
	c.Number, _ = strconv.Atoi(c.Labels[labelNumber])
	c.OneOff = strings.EqualFold(c.Labels[labelOneOff], "true")
	c.ConfigHash = c.Labels[labelConfigHash]
	c.EffectHash, c.ContentHash = c.Labels[deploy.LabelEffect], c.Labels[deploy.LabelContent]
	c.DependsOn = parseDependsOn(c.Labels[labelDependsOn])
}

func merged(maps ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, m := range maps {
		for k, v := range m {
			all[k] = v
		}
	}
	return all
}
