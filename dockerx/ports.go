package dockerx

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

func isPortTaken(text string) bool {
	return strings.Contains(text, "port is already allocated") ||
		strings.Contains(text, "address already in use") ||
		strings.Contains(text, "ports are not available") ||
		strings.Contains(text, "all ports are allocated")
}

// takenPort finds the host port in an engine's words: the number after an
// address, as in "Bind for 0.0.0.0:8080 failed".
var takenPort = regexp.MustCompile(`(?i)(?:bind for|listen (?:tcp|udp)[46]?|failed to bind host port(?: for)?|exposing port (?:tcp|udp)) \S*?:(\d+)`)

func portRemedy(msg string) string {
	m := takenPort.FindStringSubmatch(msg)
	if m == nil {
		return "another program or container has the port; stop it, or publish another port"
	}
	return fmt.Sprintf("host port %s is in use by another program or container; stop it ('docker ps' shows containers, 'ss -ltnp' programs), or publish another port", m[1])
}

// portHolder has the error of a host port that is taken name the container that
// has it, in one call more. Any other error stays as it is.
func (e *Engine) portHolder(ctx context.Context, err error) error {
	var ee *deploy.EngineError
	if !errors.As(err, &ee) || ee.Kind != deploy.PortTaken {
		return err
	}
	m := takenPort.FindStringSubmatch(ee.Err.Error())
	if m == nil {
		return err
	}
	var list []container.Summary
	if e.call(ctx, "list containers", func(c *client.Client) (err error) {
		list, err = c.ContainerList(ctx, container.ListOptions{})
		return err
	}) != nil {
		return err
	}
	said := "host port " + m[1] + " is taken"
	remedy := fmt.Sprintf("it is no container of this engine's, unless it is on the host's network: 'ss -ltnp' shows the program; stop it, or publish another port than %s", m[1])
	for _, s := range list {
		c := fromSummary(s)
		if !slices.ContainsFunc(c.Ports, func(p plan.Port) bool { return fmt.Sprint(p.Host) == m[1] }) {
			continue
		}
		said += " by container " + c.Name
		remedy = fmt.Sprintf("stop it ('docker stop %s'), or publish another port than %s", c.Name, m[1])
		if of := ProjectOf(c.Labels); of != "" {
			said += ", service " + c.Service + " of project " + of
		}
		break
	}
	ee.Err, ee.Remedy = &shortError{said, ee.Err}, remedy
	return err
}
