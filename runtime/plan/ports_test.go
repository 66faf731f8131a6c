package plan

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
)

func TestPortClashes(t *testing.T) {
	for ports, want := range map[string]string{
		"a=80 b=81":                         "",
		"a=80 b=80":                         `services "a" and "b" both publish host port 80/tcp`,
		"a=80 b=80/udp":                     "",
		"a=127.0.0.1:80 b=80":               `services "a" and "b" both publish host port 80/tcp`,
		"a=127.0.0.1:80 b=::1:80":           "",
		"a=127.0.0.1:80 b=0.0.0.0:80":       `services "a" and "b" both publish host port 80/tcp`,
		"a=127.0.0.1:80 b=127.0.0.2:80":     "",
		"a=127.0.0.1:80 a=127.0.0.2:80":     "",
		"a=80-90 b=80":                      "",
		"a=0 b=0 a= b=":                     "",
		"two=80":                            `service "two" has 2 containers, and only one of them can publish host port 80`,
		"two=80-81":                         "",
		"two=127.0.0.1:80 two=127.0.0.2:80": `service "two" has 2 containers, and only one of them can publish host port 80`,
		"none=80 a=80":                      "",
		"host=80 a=80":                      "",
		"a=80 b=80 c=80 b=81 c=81":          `services "a" and "b" both publish host port 80/tcp; services "b" and "c" both publish host port 81/tcp; services "a" and "c" both publish host port 80/tcp`,
	} {
		p := project("a:", "b:", "c:", "two:", "none:", "host:")
		change := func(name string, do func(*types.ServiceConfig)) {
			s := p.Services[name]
			do(&s)
			p.Services[name] = s
		}
		change("two", func(s *types.ServiceConfig) { s.SetScale(2) })
		change("none", func(s *types.ServiceConfig) { s.SetScale(0) })
		change("host", func(s *types.ServiceConfig) { s.NetworkMode = "host" })
		for _, one := range strings.Fields(ports) {
			name, port, _ := strings.Cut(one, "=")
			port, protocol, _ := strings.Cut(port, "/")
			i := strings.LastIndex(port, ":")
			change(name, func(s *types.ServiceConfig) {
				s.Ports = append(s.Ports, types.ServicePortConfig{Target: 80, HostIP: port[:max(i, 0)], Published: port[i+1:], Protocol: protocol})
			})
		}
		e := newEngine(p)
		_, err := Up(Wanted{Project: p, Hashes: hashesOf(p)}, e.Observed, Options{})
		var clash *PortError
		if want == "" && err != nil || want != "" && (!errors.As(err, &clash) || strings.Join(sorted(err), "; ") != strings.Join(sorted(errors.New(want)), "; ") || clash.Remedy() == "") {
			t.Errorf("%s: %v, want %s", ports, err, want)
		}
		if _, err := Up(Wanted{Project: p, Hashes: hashesOf(p)}, e.Observed, Options{NoStart: true}); err != nil {
			t.Errorf("%s: not started: %v", ports, err)
		}
	}
}

func sorted(err error) []string {
	all := strings.Split(err.Error(), "; ")
	slices.Sort(all)
	return all
}
