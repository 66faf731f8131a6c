package deploy

import (
	"maps"
	"slices"
	"strings"

	"woodwork.dev/ww/runtime/plan"
)

// Compose's own labels: every tool that knows Compose sees the project by them.
const (
	labelProject   = "com.docker.compose.project"
	labelService   = "com.docker.compose.service"
	labelNumber    = "com.docker.compose.container-number"
	labelOneOff    = "com.docker.compose.oneoff"
	labelHash      = "com.docker.compose.config-hash"
	labelDependsOn = "com.docker.compose.depends_on"
	labelImage     = "com.docker.compose.image"
	labelDir       = "com.docker.compose.project.working_dir"
	labelFiles     = "com.docker.compose.project.config_files"
	labelEnvFile   = "com.docker.compose.project.environment_file"
	labelVersion   = "com.docker.compose.version"
	labelReplace   = "com.docker.compose.replace"

	// composeVersion is the docker compose whose labels these are.
	composeVersion = "5.5.0"

	// LabelEffect and LabelContent hold ww's own digests beside Compose's.
	LabelEffect  = "dev.woodwork.effect-hash"
	LabelContent = "dev.woodwork.content-hash"
	// LabelComponent is on the containers of components, by their name.
	LabelComponent = "dev.woodwork.component"
	// LabelKind and LabelType hold a component's kind and type.
	LabelKind = "dev.woodwork.kind"
	LabelType = "dev.woodwork.type"
	// LabelPhase holds the phase in which a service comes up.
	LabelPhase = "dev.woodwork.phase"
	// LabelDeployment names the deployment that a component belongs to.
	LabelDeployment = "dev.woodwork.deployment"
	// LabelRoutes lists the receivers of a component's results, with commas.
	LabelRoutes = "dev.woodwork.routes"
)

// serviceLabels gives the labels of each service's containers, but for the
// number.
func serviceLabels(w plan.Wanted, images map[string]string, envFiles []string) map[string]map[string]string {
	p := w.Project
	all := map[string]map[string]string{}
	for name, s := range p.Services {
		var deps []string
		for _, dep := range slices.Sorted(maps.Keys(s.DependsOn)) {
			d := s.DependsOn[dep]
			restart := "false"
			if d.Restart {
				restart = "true"
			}
			deps = append(deps, dep+":"+d.Condition+":"+restart)
		}
		l := map[string]string{
			labelProject: p.Name, labelService: name, labelOneOff: "False", labelVersion: composeVersion,
			labelHash: w.Hashes[name], labelDependsOn: strings.Join(deps, ","), labelImage: images[plan.ImageOf(p, s)],
			labelDir: p.WorkingDir, labelFiles: strings.Join(p.ComposeFiles, ","),
		}
		for label, digest := range map[string]string{LabelEffect: w.Effects[name], LabelContent: w.Contents[name]} {
			if digest != "" {
				l[label] = digest
			}
		}
		if len(envFiles) > 0 {
			l[labelEnvFile] = strings.Join(envFiles, ",")
		}
		all[name] = l
	}
	return all
}
