package model

// What `isolation` says of where a component runs that no container runs.
const (
	Inline     = "inline"  // in the process of ww
	OwnProcess = "process" // in one of its own
)

// RunsPrograms reports whether the component starts programs, which are processes
// of their own in any case.
func (c *Component) RunsPrograms() bool { return c.Kind == "core" && c.Type == "exec" }

// Isolation is the component's setting, or what holds without it: programs of
// others are in processes of their own, and what is part of ww isn't.
func (c *Component) Isolation() string {
	if c.RunsPrograms() || !c.hasPort() && c.Settings.Text("isolation") == OwnProcess {
		return OwnProcess
	}
	return Inline
}

// hasPort reports whether the component has a port or the terminal, which are in
// the process of ww.
func (c *Component) hasPort() bool { return c.Kind == "input" || c.Kind == "output" }

// checkIsolation reports what can't be isolated, or not otherwise.
func (r *resolver) checkIsolation(c *Component) {
	f := c.Settings.Field("isolation")
	if f == nil {
		return
	}
	switch v := c.Settings.Text("isolation"); {
	case v == Inline && c.RunsPrograms():
		r.warnf(f.Span, "no-effect", "leave it out", "the program of %q is a process of its own in any case", c.Name)
	case v == OwnProcess && c.hasPort():
		r.warnf(f.Span, "no-effect", "leave it out: only a container isolates it",
			"%s %q can't run in a process of its own, as it has a port or the terminal", c.Kind+" "+c.Type, c.Name)
	}
}
