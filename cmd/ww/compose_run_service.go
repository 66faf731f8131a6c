package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/format"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/mattn/go-shellwords"
)

// changes are what a command line wants to be different in a one-off container.
type changes struct {
	Command, Env, EnvFiles, Labels []string
	CapAdd, CapDrop                []string
	Publish, Volumes               []string
	Entrypoint                     string
	OwnEntrypoint                  bool // Entrypoint counts, also when it is empty
	User, Dir                      string
	ServicePorts, TTY, Stdin       bool
}

// oneOffService is a service as a one-off container of it is to be. It isn't
// restarted, and publishes no ports unless asked to.
func oneOffService(s types.ServiceConfig, env types.Mapping, c changes) (types.ServiceConfig, error) {
	s.ContainerName, s.Restart = "", ""
	if s.Deploy != nil {
		d := *s.Deploy
		d.RestartPolicy = nil
		s.Deploy = &d
	}
	s.Tty, s.StdinOpen = c.TTY, c.Stdin
	if c.OwnEntrypoint {
		words, err := shellwords.Parse(c.Entrypoint)
		if err != nil {
			return s, &usageError{fmt.Errorf("--entrypoint %q: %w", c.Entrypoint, err), "quote it as for a shell"}
		}
		if len(words) == 0 {
			words = []string{""} // an engine's word for none
		}
		s.Entrypoint, s.Command = words, []string{}
	}
	if len(c.Command) > 0 {
		s.Command = c.Command
	}
	if c.User != "" {
		s.User = c.User
	}
	if c.Dir != "" {
		s.WorkingDir = c.Dir
	}
	if !c.ServicePorts {
		s.Ports = nil
	}
	s.CapAdd, s.CapDrop = without(append(s.CapAdd, c.CapAdd...), c.CapDrop), without(append(s.CapDrop, c.CapDrop...), c.CapAdd)
	for _, p := range c.Publish {
		ports, err := types.ParsePortConfig(p)
		if err != nil {
			return s, &usageError{fmt.Errorf("--publish %q: %w", p, err), "write [[IP:]HOST:]CONTAINER[/PROTOCOL]"}
		}
		s.Ports = append(s.Ports, ports...)
	}
	for _, v := range c.Volumes {
		mount, err := format.ParseVolume(v)
		if err != nil {
			return s, &usageError{fmt.Errorf("--volume %q: %w", v, err), "write SOURCE:TARGET[:ro]"}
		}
		if mount.Type == types.VolumeTypeBind && !filepath.IsAbs(mount.Source) {
			if mount.Source, err = here(mount.Source); err != nil {
				return s, err
			}
		}
		s.Volumes = append(slices.DeleteFunc(s.Volumes, func(o types.ServiceVolumeConfig) bool { return o.Target == mount.Target }), mount)
	}
	return s, variables(&s, env, c)
}

// variables adds variables and labels. One that is only named has the value that
// the project's environment has for it.
func variables(s *types.ServiceConfig, env types.Mapping, c changes) error {
	if s.Environment == nil {
		s.Environment = types.MappingWithEquals{}
	}
	lookup := func(name string) (string, bool) {
		if v, ok := env[name]; ok {
			return v, true
		}
		return os.LookupEnv(name)
	}
	for _, file := range c.EnvFiles {
		f, err := os.Open(file)
		if err != nil {
			return &usageError{fmt.Errorf("--env-from-file: %w", err), ""}
		}
		vars, err := dotenv.ParseWithLookup(f, lookup)
		_ = f.Close() // it was only read
		if err != nil {
			return &configError{fmt.Errorf("%s: %w", file, err), "a line is NAME=VALUE"}
		}
		for k, v := range vars {
			s.Environment[k] = &v
		}
	}
	for _, e := range c.Env {
		name, value, given := strings.Cut(e, "=")
		if !given {
			v, ok := lookup(name)
			if !ok {
				continue
			}
			value = v
		}
		s.Environment[name] = &value
	}
	for _, l := range c.Labels {
		name, value, _ := strings.Cut(l, "=")
		if name == "" || strings.HasPrefix(name, "com.docker.compose.") {
			return &usageError{fmt.Errorf("--label can't be %q", l), "write NAME=VALUE; com.docker.compose.… belongs to Compose"}
		}
		s.Labels = s.Labels.Add(name, value)
	}
	return nil
}

func without(list, others []string) []string {
	return slices.DeleteFunc(list, func(s string) bool { return slices.Contains(others, s) })
}

// here makes a path of this machine absolute.
func here(path string) (string, error) {
	if rest, ok := strings.CutPrefix(path, "~"); ok && (rest == "" || rest[0] == '/') {
		home, err := os.UserHomeDir()
		return filepath.Join(home, rest), err
	}
	return filepath.Abs(path)
}
