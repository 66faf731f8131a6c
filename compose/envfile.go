package compose

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/compose-spec/compose-go/v2/dotenv"
)

// registerFormats makes `format: raw` of env_file known. The loader keeps its
// formats in one place for the whole process, without a lock.
var registerFormats = sync.OnceFunc(func() { dotenv.RegisterFormat("raw", rawEnv) })

// rawEnv reads variables as `docker run --env-file` does: a line is NAME=VALUE,
// the value as it stands, without quotes or variables of its own; NAME alone
// takes its value from the environment, and is left out where it has none.
func rawEnv(r io.Reader, filename string, vars map[string]string, lookup func(string) (string, bool)) error {
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if n == 1 {
			line = strings.TrimPrefix(line, "\ufeff")
		}
		line = strings.TrimLeftFunc(line, unicode.IsSpace)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		switch {
		case !utf8.ValidString(line):
			return fmt.Errorf("%s:%d: it isn't UTF-8", filename, n)
		case name == "":
			return fmt.Errorf("%s:%d: there is no name before the =", filename, n)
		case strings.ContainsFunc(name, unicode.IsSpace):
			return fmt.Errorf("%s:%d: %q has white space in it: a name can't", filename, n, name)
		}
		if !ok && lookup != nil {
			value, ok = lookup(name)
		}
		if ok {
			vars[name] = value
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w", filename, err)
	}
	return nil
}
