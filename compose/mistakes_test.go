package compose

import (
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
)

// FuzzMistakes: whatever is in a compose file, its mistakes have places in it.
func FuzzMistakes(f *testing.F) {
	for _, seed := range []string{
		"services: {a: {imag: x, ports: [a], depends_on: [b]}}\n",
		"services:\n  a: &a {image: '${B:?}'}\n  b: {<<: [*a, *a], image: x}\n",
		"a: &a [*a]\n", "services: [\n", "\tx", "services:\n  é: {\"ü\": 1, \"ü\": 2}\n---\nx: 1\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		l := &Loaded{Dir: t.TempDir(), Sources: map[string][]byte{}}
		l.details = types.ConfigDetails{WorkingDir: l.Dir, Environment: types.Mapping{}}
		l.add("-", content)
		for _, d := range l.explain(t.Context(), ErrNoFile) {
			if from, to := d.Span.Start.Offset, d.Span.End.Offset; from < 0 || from > to || to > len(content)+1 {
				t.Errorf("%s: %d to %d of %d", d, from, to, len(content))
			}
		}
	})
}
