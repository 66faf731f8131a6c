package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/compose-spec/compose-go/v2/types"

	"woodwork.dev/ww/compose"
	"woodwork.dev/ww/dockerx"
	"woodwork.dev/ww/runtime/plan"
)

// checkFolder is about where ww keeps what it generates.
func checkFolder(_ context.Context, p *patient) []finding {
	l := p.project()
	if l == nil || l.Generated == nil {
		return nil
	}
	dir := filepath.Join(l.Dir, compose.Folder)
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if !writable(l.Dir) {
			return []finding{wrong("the folder has to be writable: build contexts and the bus's password are kept in "+compose.Folder, "%s can't be written", l.Dir)}
		}
		return []finding{ok("%s isn't there yet: the first `up` makes it", dir)}
	case err != nil:
		return []finding{wrong("correct the folder's permissions", "%v", err)}
	case !info.IsDir():
		return []finding{wrong("move it away", "%s is no folder", dir)}
	case !writable(dir):
		return []finding{wrong("`sudo chown -R $USER "+dir+"`: it was made by another user, perhaps by root", "%s can't be written", dir)}
	}
	var open []string
	err = filepath.WalkDir(filepath.Join(dir, "secrets"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // what can't be read can't be too open
		}
		if info, err := d.Info(); err == nil && info.Mode().Perm()&0o022 != 0 {
			open = append(open, filepath.Base(path))
		}
		return nil
	})
	if err != nil || len(open) == 0 {
		return []finding{ok("%s can be written, and its secrets by nobody else", dir)}
	}
	return []finding{warn("`chmod go-w "+filepath.Join(dir, "secrets")+"/*`", "others may write secrets in %s: %s", dir, strings.Join(open, ", "))}
}

func checkPorts(_ context.Context, p *patient) []finding {
	l := p.project()
	survey, err := p.survey()
	if l == nil || err != nil {
		return nil
	}
	e, _ := p.engine()
	var found []finding
	wanted := 0
	for _, name := range l.Project.ServiceNames() {
		for _, port := range l.Project.Services[name].Ports {
			n, err := strconv.Atoi(port.Published)
			if err != nil || n == 0 {
				continue // any, or one of a range
			}
			wanted++
			if f := checkPort(l.Project.Name, name, port, n, survey, e.Local()); f != nil {
				found = append(found, *f)
			}
		}
	}
	if len(found) == 0 && wanted > 0 {
		found = append(found, ok("%s: free, or this project's own", plural(wanted, "port")))
	}
	return found
}

func checkPort(project, service string, port types.ServicePortConfig, n int, survey dockerx.Survey, local bool) *finding {
	proto := port.Protocol
	if proto == "" {
		proto = "tcp"
	}
	for _, c := range survey.Containers {
		holds := slices.ContainsFunc(c.Ports, func(h plan.Port) bool {
			return int(h.Host) == n && h.Protocol == proto && overlap(h.HostIP, port.HostIP)
		})
		if !holds {
			continue
		}
		other := dockerx.ProjectOf(c.Labels)
		switch {
		case other == project:
			return nil
		case other != "":
			f := wrong(fmt.Sprintf("`ww compose -p %s down` stops that project, or give %s another port", other, service),
				"port %d, which %s wants: container %s of project %s has it", n, service, c.Name, other)
			return &f
		}
		f := wrong(fmt.Sprintf("`docker stop %s`, or give %s another port", c.Name, service), "port %d, which %s wants: container %s has it", n, service, c.Name)
		return &f
	}
	if !local || free(proto, port.HostIP, n) {
		return nil
	}
	owner := portOwner(n)
	if owner == "" {
		owner = "another program"
	}
	f := wrong(fmt.Sprintf("stop that program, or give %s another port", service), "port %d, which %s wants: %s has it", n, service, owner)
	return &f
}

// overlap tells whether two addresses exclude each other at one port.
func overlap(a, b string) bool {
	every := func(ip string) bool { return ip == "" || ip == "0.0.0.0" || ip == "::" }
	return a == b || every(a) || every(b)
}

// free tells whether a port can be had on this machine. What only root may open
// counts as free: the engine is root.
func free(proto, ip string, port int) bool {
	addr := net.JoinHostPort(ip, strconv.Itoa(port))
	var c interface{ Close() error }
	var err error
	if proto == "udp" {
		c, err = net.ListenPacket("udp", addr)
	} else {
		c, err = net.Listen("tcp", addr)
	}
	if err != nil {
		return !errors.Is(err, syscall.EADDRINUSE)
	}
	_ = c.Close()
	return true
}

func checkNames(_ context.Context, p *patient) []finding {
	l := p.project()
	survey, err := p.survey()
	if l == nil || err != nil {
		return nil
	}
	project := l.Project.Name
	var found []finding
	mine := map[string]bool{}
	for _, name := range l.Project.ServiceNames() {
		s := l.Project.Services[name]
		for n := 1; n <= s.GetScale(); n++ {
			mine[plan.ContainerName(l.Project, s, n)] = true
		}
	}
	for _, c := range survey.Containers {
		if other := dockerx.ProjectOf(c.Labels); mine[c.Name] && other != project {
			found = append(found, wrong(fmt.Sprintf("`docker rm -f %s`, or give this project another name with -p", c.Name),
				"container %s is there, and belongs to %s", c.Name, whose(other)))
		}
	}
	for _, n := range l.Project.Networks {
		if n.Driver == "host" || n.Name == "host" || n.Name == "none" {
			continue
		}
		found = append(found, nameFinding("network", n.Name, bool(n.External), project, survey.Networks)...)
	}
	for _, v := range l.Project.Volumes {
		found = append(found, nameFinding("volume", v.Name, bool(v.External), project, survey.Volumes)...)
	}
	slices.SortFunc(found, func(a, b finding) int { return strings.Compare(a.Evidence, b.Evidence) })
	if len(found) == 0 {
		found = append(found, ok("nobody else has those of project %s", project))
	}
	return found
}

func nameFinding(kind, name string, external bool, project string, there map[string]map[string]string) []finding {
	labels, exists := there[name]
	switch {
	case external && !exists:
		return []finding{wrong(fmt.Sprintf("`docker %s create %s`", kind, name), "%s %s is declared as external, and isn't there", kind, name)}
	case exists && !external && dockerx.ProjectOf(labels) != project:
		return []finding{warn(fmt.Sprintf("give it another name, or declare it as external if it is meant to be shared; `docker %s rm %s` removes it", kind, name),
			"%s %s is there, and belongs to %s", kind, name, whose(dockerx.ProjectOf(labels)))}
	}
	return nil
}

func whose(project string) string {
	if project == "" {
		return "no project"
	}
	return "project " + project
}

func checkAddresses(_ context.Context, p *patient) []finding {
	d, err := p.details()
	if err != nil {
		return nil
	}
	survey, err := p.survey()
	if err != nil {
		return []finding{fromError(err)}
	}
	needs := 0
	if l := p.project(); l != nil {
		for _, n := range l.Project.Networks {
			if _, there := survey.Networks[n.Name]; !there && !bool(n.External) {
				needs++
			}
		}
	}
	left := d.AddressRanges - survey.Ranges
	evidence := fmt.Sprintf("networks have taken %d of about %d address ranges", survey.Ranges, d.AddressRanges)
	remedy := "`docker network prune` removes networks that nothing uses; `default-address-pools` in the engine's daemon.json makes room for more"
	switch {
	case left < needs:
		return []finding{wrong(remedy, "%s, and this project needs %d more", evidence, needs)}
	case left < needs+4:
		return []finding{warn(remedy, "%s", evidence)}
	}
	return []finding{ok("%s", evidence)}
}
