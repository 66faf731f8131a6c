package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/compose"
	"woodwork.dev/ww/dockerx"
	"woodwork.dev/ww/runtime/plan"
	"woodwork.dev/ww/syntax"
	"woodwork.dev/ww/templates"
)

func (t *tool) doctorCommand() *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "look for what is wrong with the engine, the file and what runs, and say how to mend it",
		Flags: slices.Concat([]cli.Flag{
			formatFlag("text", "text or json"),
			durationFlag("timeout", 8*time.Second, "how long all of it may take"),
		}, projectFlags(true), engineFlags()),
		Action: t.doctor,
	}
}

// verdict is how serious a finding is.
type verdict string

const (
	fine    verdict = "ok"
	warning verdict = "warning"
	problem verdict = "problem"
)

// finding is what one check found, in a line, and what to do about it.
type finding struct {
	Check    string  `json:"check"`
	Verdict  verdict `json:"verdict"`
	Evidence string  `json:"evidence"`
	Remedy   string  `json:"remedy,omitempty"`
	code     int     // exit code of a problem; exitFailed if 0
}

func ok(format string, args ...any) finding {
	return finding{Verdict: fine, Evidence: fmt.Sprintf(format, args...)}
}

func warn(remedy, format string, args ...any) finding {
	return finding{Verdict: warning, Evidence: fmt.Sprintf(format, args...), Remedy: remedy}
}

func wrong(remedy, format string, args ...any) finding {
	return finding{Verdict: problem, Evidence: fmt.Sprintf(format, args...), Remedy: remedy}
}

// check is one thing to look at. It finds nothing where it has nothing to say,
// as about an engine that doesn't answer: one check says that.
type check struct {
	name string
	look func(context.Context, *patient) []finding
}

var checks = [...]check{
	{"engine", checkEngine}, {"defects", checkDefects}, {"limits", checkLimits}, {"disk", checkDisk}, {"clock", checkClock},
	{"proxy", checkProxy}, {"versions", checkVersions},
	{"binary", checkBinary}, {"file", checkFile}, {"variables", checkVariables}, {"folder", checkFolder},
	{"images", checkImages}, {"ports", checkPorts}, {"names", checkNames}, {"addresses", checkAddresses},
	{"containers", checkContainers}, {"component image", checkComponentImage}, {"bus", checkBus},
}

// patient is what the checks look at. Each thing is asked for once, by the first
// check that needs it.
type patient struct {
	tool     *tool
	source   string // where the engine's address is from
	getenv   func(string) string
	engine   func() (*dockerx.Engine, error)
	details  func() (dockerx.Details, error)
	survey   func() (dockerx.Survey, error)
	binary   func() (templates.Binary, error)
	loaded   func() (*compose.Loaded, error) // nil without a file; without a project where the file has mistakes
	name     func() (string, error)          // of the project
	observed func() (plan.Observed, error)
}

// newPatient asks for nothing yet. All that is asked for ends with ctx.
func (t *tool) newPatient(ctx context.Context, c *cli.Context) *patient {
	o := dockerx.Options{Host: inherited(c, "host"), Context: inherited(c, "context"), Getenv: os.Getenv}
	req := t.request(c)
	p := &patient{tool: t, source: dockerx.Source(o), getenv: os.Getenv}
	p.engine = sync.OnceValues(func() (*dockerx.Engine, error) { return dockerx.Open(ctx, o) })
	p.details = sync.OnceValues(func() (dockerx.Details, error) {
		e, err := p.engine()
		if err != nil {
			return dockerx.Details{}, err
		}
		return e.Details(ctx)
	})
	p.survey = sync.OnceValues(func() (dockerx.Survey, error) {
		if _, err := p.details(); err != nil {
			return dockerx.Survey{}, err
		}
		e, _ := p.engine()
		return e.Survey(ctx)
	})
	p.binary = sync.OnceValues(func() (templates.Binary, error) { return templates.FindBinary("") })
	p.loaded = sync.OnceValues(func() (*compose.Loaded, error) {
		req := req
		req.Binary, _ = p.binary() // a check of its own tells of an error
		return compose.Load(ctx, req)
	})
	p.name = sync.OnceValues(func() (string, error) { return compose.Name(ctx, req) })
	p.observed = sync.OnceValues(func() (plan.Observed, error) {
		name, err := p.name()
		if err == nil {
			_, err = p.details()
		}
		if err != nil {
			return plan.Observed{}, err
		}
		e, _ := p.engine()
		return e.Observe(ctx, name, nil)
	})
	return p
}

// project gives the project, where there is one that can be run.
func (p *patient) project() *compose.Loaded {
	if l, err := p.loaded(); err == nil && l != nil && l.Project != nil && !l.Diagnostics.HasErrors() {
		return l
	}
	return nil
}

func (t *tool) doctor(c *cli.Context) error {
	if err := oneOf("format", c.String("format"), "text", "json"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Context, durationOf(c, "timeout"))
	defer cancel()
	p := t.newPatient(ctx, c)
	found := examine(ctx, p, checks[:])
	if c.Context.Err() != nil {
		return c.Context.Err()
	}
	if e, err := p.engine(); err == nil {
		defer e.Close()
	}
	return t.showFindings(found, c.String("format") == "json")
}

// lateFor is what a check gets to notice that the time is over.
const lateFor = 500 * time.Millisecond

// examine makes all checks at the same time, and gives what they find in their
// order. One that doesn't end in time is a finding itself.
func examine(ctx context.Context, p *patient, all []check) []finding {
	results := make([]chan []finding, len(all))
	for i, c := range all {
		results[i] = make(chan []finding, 1)
		go func() { results[i] <- c.look(ctx, p) }()
	}
	over := make(chan struct{})
	defer context.AfterFunc(ctx, func() { time.AfterFunc(lateFor, func() { close(over) }) })()
	var found []finding
	for i, c := range all {
		var some []finding
		select {
		case some = <-results[i]:
		case <-over:
			select {
			case some = <-results[i]:
			default:
				some = []finding{warn("`--timeout 1m` gives it longer", "it hasn't ended in time")}
			}
		}
		for _, f := range some {
			f.Check = c.name
			found = append(found, f)
		}
	}
	return found
}

func (t *tool) showFindings(found []finding, asJSON bool) error {
	count := map[verdict]int{}
	code := exitOK
	for _, f := range found {
		count[f.Verdict]++
		if f.Verdict == problem {
			code = worse(code, f.code)
		}
	}
	if asJSON {
		if err := t.printJSON(map[string]any{"findings": append([]finding{}, found...), "problems": count[problem], "warnings": count[warning]}); err != nil {
			return err
		}
	} else {
		for _, f := range found {
			c := map[verdict]colour{fine: green, warning: "33", problem: red}[f.Verdict]
			word := fmt.Sprintf("%-7s", f.Verdict)
			if colourful(t.out) {
				word = "\x1b[" + string(c) + "m" + word + "\x1b[0m"
			}
			fmt.Fprintf(t.out, "%s  %-15s  %s\n", word, f.Check, oneLine(harmless(f.Evidence)))
			if f.Remedy != "" {
				fmt.Fprintf(t.out, "%24s  help: %s\n", "", oneLine(harmless(f.Remedy)))
			}
		}
		fmt.Fprintf(t.out, "%s, %s\n", plural(count[problem], "problem"), plural(count[warning], "warning"))
	}
	if code != exitOK {
		return errReported{code}
	}
	return nil
}

// worse gives the exit code for two problems: the engine's goes before the
// file's, and that before all others.
func worse(a, b int) int {
	if b == 0 {
		b = exitFailed
	}
	for _, c := range []int{exitEngine, exitConfig} {
		if a == c || b == c {
			return c
		}
	}
	return b
}

// fromError makes a finding of an error that says what to do about it.
func fromError(err error) finding {
	code, remedy := classify(err)
	f := wrong(remedy, "%v", err)
	if code == exitEngine || code == exitConfig {
		f.code = code
	}
	return f
}

// checkBinary is about the ww that goes into the components' images.
func checkBinary(_ context.Context, p *patient) []finding {
	switch b, err := p.binary(); {
	case err != nil:
		return []finding{wrong("name a static Linux binary of ww in "+templates.BinaryVariable+", or unset it", "%v", err)}
	case b.Path == "":
		return []finding{warn("put one beside this program as ww-linux-"+b.Arch+", or name it in "+templates.BinaryVariable,
			"there is no static ww for linux/%s: components' images have to be built from source", b.Arch)}
	default:
		return []finding{ok("components' images are made with %s", b.Path)}
	}
}

func checkFile(_ context.Context, p *patient) []finding {
	l, err := p.loaded()
	switch {
	case errors.Is(err, compose.ErrNoFile):
		return []finding{ok("there is no .ww or compose file here: this is about the engine alone")}
	case err != nil:
		f := wrong("`ww check` tells more about a .ww file, `ww compose export` about a compose file", "%v", err)
		f.code = exitConfig
		return []finding{f}
	}
	errs, warnings := 0, 0
	var first *syntax.Diagnostic
	for i, d := range l.Diagnostics {
		if d.Severity == syntax.Error {
			errs++
		} else {
			warnings++
		}
		if first == nil || first.Severity != syntax.Error && d.Severity == syntax.Error {
			first = &l.Diagnostics[i]
		}
	}
	check := "`ww check`"
	if first != nil && !strings.HasSuffix(first.Span.File, ".ww") {
		check = "`ww compose config -q`"
	}
	switch {
	case errs > 0:
		f := wrong(check+" shows "+plural(errs, "mistake")+" with their places", "%s: %s", first.Span.File, first.Message)
		f.code = exitConfig
		return []finding{f}
	case warnings > 0:
		return []finding{warn(check+" shows "+plural(warnings, "warning")+" with their places", "%s: %s", first.Span.File, first.Message)}
	}
	return []finding{ok("%s: %s in project %s", shownFiles(l), plural(len(l.Project.Services), "service"), l.Project.Name)}
}

func shownFiles(l *compose.Loaded) string {
	var names []string
	for _, f := range l.Files {
		names = append(names, strings.TrimPrefix(f, l.Dir+string(os.PathSeparator)))
	}
	return strings.Join(names, ", ")
}

func checkVariables(_ context.Context, p *patient) []finding {
	l := p.project()
	if l == nil {
		return nil
	}
	var missing, empty []string
	if l.Generated != nil {
		for _, d := range unset(l) {
			missing = append(missing, d.Message)
		}
	}
	for _, name := range l.Unset {
		if _, secret := l.Project.Secrets[name]; !secret {
			empty = append(empty, name)
		}
	}
	var found []finding
	for _, m := range missing {
		f := wrong("export it, or write it into .env beside the file", "%s", m)
		f.code = exitConfig
		found = append(found, f)
	}
	if len(empty) > 0 {
		found = append(found, warn("export them, write them into .env, or give them a default: ${NAME:-value}",
			"not set, and counted as empty: %s", strings.Join(empty, ", ")))
	}
	if len(found) == 0 {
		found = append(found, ok("all that the file names are set"))
	}
	return found
}
