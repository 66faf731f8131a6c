package compose

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	interp "github.com/compose-spec/compose-go/v2/interpolation"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/tree"
	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/model"
	"woodwork.dev/ww/syntax"
	"woodwork.dev/ww/templates"
)

// MainFile is the file that is looked for where none is named.
const MainFile = "main.ww"

// Request says what to load. The process environment is part of it, as it is
// for docker compose: COMPOSE_FILE, COMPOSE_PROJECT_NAME, COMPOSE_PROFILES and
// COMPOSE_ENV_FILES have the meaning that they have there.
type Request struct {
	Files    []string // .ww and compose files, in any order; "-" is Stdin, a compose file
	Dir      string   // the project's folder; that of the first file if empty
	Name     string   // the project's name
	Profiles []string
	EnvFiles []string
	Stdin    io.Reader
	Strict   bool             // what isn't known in .ww files is an error
	Running  bool             // it is for what runs already: the variables in env_file aren't needed
	Binary   templates.Binary // for the images
	Raw      Raw
	Here     bool // components are to run without containers: the files are read, and nothing is generated
	// Inside and Deployment are those of Options.
	Inside     func(*model.Component) bool
	Deployment string
}

// Raw is what is to stay as compose files have it.
type Raw struct {
	Values      bool // nothing that follows from something else is added
	Paths       bool // relative paths
	EnvFiles    bool // env_file isn't read into environment
	Consistency bool // it isn't looked whether all that is referred to is there
}

// Loaded is a project with where it comes from.
type Loaded struct {
	Project *types.Project // nil where Diagnostics has errors, or Here was asked for
	Name    string         // of the project
	Dir     string         // absolute
	Files   []string       // absolute, in order

	// Of the .ww files; nil where there are none.
	Model     *model.Project
	Generated *Generated
	Sources   map[string][]byte // of .ww files, by name, for showing diagnostics

	Diagnostics syntax.Diagnostics
	// Unset are the variables that were interpolated and aren't set, sorted.
	Unset []string

	unmet   map[string]types.DependsOnConfig // dependencies on disabled services, which aren't required
	details types.ConfigDetails
	options []func(*loader.Options)
}

// ErrNoFile is returned where no file was named and none was found.
var ErrNoFile = errors.New("no main.ww and no compose file here or in a folder above")

// Load reads, generates and merges. An error is something that no place in a
// .ww file can be blamed for; everything else is in Diagnostics.
func Load(ctx context.Context, req Request) (*Loaded, error) {
	registerFormats()
	opts, err := projectOptions(req)
	if err != nil {
		return nil, err
	}
	dir, err := opts.GetWorkingDir()
	if err != nil {
		return nil, err
	}
	l := &Loaded{Dir: dir, Sources: map[string][]byte{}}
	l.details = types.ConfigDetails{WorkingDir: dir, Environment: opts.Environment}
	name, explicit := projectName(opts, dir)
	if err := checkName(name); err != nil {
		return nil, err
	}
	l.Name = name
	if err := l.read(req, opts.ConfigPaths, name); err != nil || req.Here {
		return l, err
	}
	if l.Diagnostics.HasErrors() {
		l.Diagnostics = append(l.Diagnostics, l.explain(ctx, nil)...)
		return l, nil
	}
	var unset unsetVariables
	// As docker compose does before it computes hashes.
	if !req.Raw.EnvFiles {
		l.options = append(l.options, loader.WithDiscardEnvFiles)
	}
	l.options = append(l.options, func(o *loader.Options) {
		o.SetProjectName(name, explicit)
		o.Profiles = opts.Profiles()
		o.ResolvePaths = !req.Raw.Paths
		o.SkipNormalization, o.SkipConsistencyCheck = req.Raw.Values, req.Raw.Consistency
		o.SkipResolveEnvironment = req.Raw.EnvFiles || req.Running
		unset.watch(o)
		l.narrowCasts(o)
	})
	l.Project, l.unmet, err = loadFiles(ctx, l.details, l.parts(), l.plain(), l.options)
	if err != nil {
		if ctx.Err() == nil {
			l.Diagnostics = append(l.Diagnostics, l.explain(ctx, err)...)
		}
		if l.Diagnostics.HasErrors() {
			return l, nil
		}
		return l, tidy(err)
	}
	if explicit || l.Project.Name == "" { // only what is normalized has it
		l.Project.Name = name
	}
	l.Project.ComposeFiles = l.Files
	l.Unset = slices.DeleteFunc(unset.sorted(), l.hasDefault)
	return l, nil
}

// projectOptions finds the files, and reads .env and the environment, in the
// order in which docker compose does.
func projectOptions(req Request) (*options, error) {
	envFiles := req.EnvFiles
	if list := os.Getenv("COMPOSE_ENV_FILES"); len(envFiles) == 0 && list != "" {
		envFiles = strings.Split(list, ",")
	}
	o, err := cli.NewProjectOptions(req.Files,
		cli.WithWorkingDirectory(req.Dir),
		cli.WithOsEnv,
		withPWD,
		cli.WithEnvFiles(envFiles...), cli.WithDotEnv,
		cli.WithConfigFileEnv,
		withMainFile,
		withDefaultFile,
		// The project's folder may be another one than the first guess.
		cli.WithEnvFiles(envFiles...), cli.WithDotEnv,
		cli.WithName(req.Name),
	)
	if err != nil {
		return nil, tidy(err)
	}
	return &options{o, req.Profiles}, nil
}

type options struct {
	*cli.ProjectOptions
	profiles []string
}

// Profiles are those asked for, else COMPOSE_PROFILES.
func (o *options) Profiles() []string {
	if len(o.profiles) > 0 || o.Environment["COMPOSE_PROFILES"] == "" {
		return o.profiles
	}
	var profiles []string
	for _, s := range strings.Split(o.Environment["COMPOSE_PROFILES"], ",") {
		profiles = append(profiles, strings.TrimSpace(s))
	}
	return profiles
}

func withPWD(o *cli.ProjectOptions) error {
	if _, ok := o.Environment["PWD"]; ok {
		return nil
	}
	wd, err := os.Getwd()
	if err != nil {
		return err
	}
	return cli.WithEnv([]string{"PWD=" + wd})(o)
}

// withMainFile looks for main.ww upwards from the project's folder. A compose
// file in a nearer folder wins; in the same folder, main.ww does.
func withMainFile(o *cli.ProjectOptions) error {
	if len(o.ConfigPaths) > 0 {
		return nil
	}
	dir, err := o.GetWorkingDir()
	if err != nil {
		return err
	}
	for {
		if isFile(filepath.Join(dir, MainFile)) {
			o.ConfigPaths = []string{filepath.Join(dir, MainFile)}
			return nil
		}
		for _, name := range cli.DefaultFileNames {
			if isFile(filepath.Join(dir, name)) {
				return nil
			}
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return nil
		}
		dir = parent
	}
}

func withDefaultFile(o *cli.ProjectOptions) error {
	if len(o.ConfigPaths) > 0 {
		return nil
	}
	if err := cli.WithDefaultConfigPath(o); err != nil || len(o.ConfigPaths) == 0 {
		return ErrNoFile
	}
	return nil
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && !info.IsDir()
}

// read fills in the files' contents. All .ww files are one system, and their
// compose file stands where the first of them is named.
func (l *Loaded) read(req Request, paths []string, name string) error {
	var parsed []*syntax.File
	place := -1
	for _, path := range paths {
		if path == "-" {
			if req.Stdin == nil {
				return errors.New("standard input: there is none")
			}
			content, err := io.ReadAll(req.Stdin)
			if err != nil {
				return fmt.Errorf("standard input: %w", err)
			}
			l.add("-", content)
			continue
		}
		abs, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(abs)
		if err != nil {
			return fileError(path, err)
		}
		if filepath.Ext(path) != ".ww" {
			l.add(abs, content)
			continue
		}
		shown := display(path)
		f, diags := syntax.Parse(shown, content)
		l.Sources[shown] = content
		l.Diagnostics = append(l.Diagnostics, diags...)
		parsed = append(parsed, f)
		l.Files = append(l.Files, abs)
		if place < 0 {
			place = len(l.details.ConfigFiles)
			l.details.ConfigFiles = append(l.details.ConfigFiles, types.ConfigFile{Filename: abs})
		}
	}
	if place < 0 || l.Diagnostics.HasErrors() {
		return nil
	}
	m, diags := model.Resolve(parsed...)
	if req.Strict {
		diags = model.Strict(diags)
	}
	l.Model = m
	l.Diagnostics = append(l.Diagnostics, diags...)
	if req.Here {
		l.Diagnostics = append(l.Diagnostics, Lost(m, l.Dir, false)...)
	}
	if l.Diagnostics.HasErrors() || req.Here {
		return nil
	}
	gen, diags := Generate(m, Options{Name: name, Dir: l.Dir, Binary: req.Binary, Header: header(parsed), Inside: req.Inside, Deployment: req.Deployment})
	l.Generated = gen
	l.Diagnostics = append(l.Diagnostics, diags...)
	if gen != nil {
		l.details.ConfigFiles[place].Content = gen.YAML
	}
	return nil
}

func (l *Loaded) add(name string, content []byte) {
	l.Files = append(l.Files, name)
	l.details.ConfigFiles = append(l.details.ConfigFiles, types.ConfigFile{Filename: name, Content: content})
}

// display is how a file is called in messages: as it was named, or, found in
// the working folder, by its name alone.
func display(path string) string {
	if wd, err := os.Getwd(); err == nil && filepath.IsAbs(path) {
		if rel, err := filepath.Rel(wd, path); err == nil && !strings.HasPrefix(rel, "..") {
			return rel
		}
	}
	return path
}

func fileError(path string, err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%s: no such file", path)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%s: no permission to read it", path)
	}
	return err
}

// parts are those of the generated file, where it is the only one and nothing
// in it takes up another service.
func (l *Loaded) parts() [][]byte {
	if l.Generated == nil || len(l.details.ConfigFiles) > 1 {
		return nil
	}
	for _, c := range l.Model.Components {
		if c.Override.Field("extends") != nil {
			return nil
		}
	}
	return l.Generated.parts
}

// narrowCasts keeps the loader from comparing every string with the paths of all
// numbers and bools that may be variables: where nothing but what is generated
// can be one, and elsewhere with those whose key is in none of the files.
func (l *Loaded) narrowCasts(o *loader.Options) {
	if o.Interpolate == nil {
		return
	}
	unused := func(path tree.Path) bool {
		return !strings.HasSuffix(string(path), ".deploy.replicas") && !strings.Contains(string(path), ".volumes.[]") &&
			!strings.Contains(string(path), ".ports.[]")
	}
	if !l.plain() {
		for _, f := range l.details.ConfigFiles {
			if elsewhere.Match(f.Content) {
				return
			}
		}
		unused = func(path tree.Path) bool { return !l.mentions(lastKey(path)) }
	}
	casts := maps.Clone(o.Interpolate.TypeCastMapping)
	maps.DeleteFunc(casts, func(path tree.Path, _ interp.Cast) bool { return unused(path) })
	o.Interpolate.TypeCastMapping = casts
}

// elsewhere matches a file that takes in others, or keys written otherwise than
// they are.
var elsewhere = regexp.MustCompile(`include|extends|\\[xuU]`)

// mentions reports whether there is a text in one of the files.
func (l *Loaded) mentions(text string) bool {
	return slices.ContainsFunc(l.details.ConfigFiles, func(f types.ConfigFile) bool { return bytes.Contains(f.Content, []byte(text)) })
}

// lastKey is the last part of a path that stands for itself.
func lastKey(path tree.Path) string {
	parts := path.Parts()
	for i := len(parts) - 1; i > 0; i-- {
		if parts[i] != tree.PathMatchAll && parts[i] != tree.PathMatchList {
			return parts[i]
		}
	}
	return ""
}

// plain reports whether all of the project is what Generate writes by itself:
// no compose file, and nothing in Compose's own words.
func (l *Loaded) plain() bool {
	return l.Generated != nil && len(l.details.ConfigFiles) == 1 &&
		!slices.ContainsFunc(l.Model.Components, func(c *model.Component) bool { return c.Override != nil })
}

// tidy gives compose-go's errors a form of one line.
func tidy(err error) error {
	msg := strings.TrimSpace(err.Error())
	if !strings.Contains(msg, "\n") {
		return err
	}
	lines := strings.Split(msg, "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return errors.New(strings.Join(lines, " "))
}
