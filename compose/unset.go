package compose

import (
	"maps"
	"regexp"
	"slices"
	"sync"

	"github.com/compose-spec/compose-go/v2/loader"
)

// hasDefault reports whether a variable stands in the files only with what
// counts where it isn't set: nothing is missing then.
func (l *Loaded) hasDefault(name string) bool {
	other := regexp.MustCompile(`\$\{` + regexp.QuoteMeta(name) + `:?[-+]`)
	bare := regexp.MustCompile(`\$(` + regexp.QuoteMeta(name) + `\b|\{` + regexp.QuoteMeta(name) + `(\}|:?\?))`)
	found := false
	for _, f := range l.details.ConfigFiles {
		if bare.Match(f.Content) {
			return false
		}
		found = found || other.Match(f.Content)
	}
	return found
}

// unsetVariables notes every variable that is asked for and isn't set.
type unsetVariables struct {
	mu    sync.Mutex
	names map[string]bool
}

func (u *unsetVariables) watch(o *loader.Options) {
	if o.Interpolate == nil || o.Interpolate.LookupValue == nil {
		return
	}
	lookup := o.Interpolate.LookupValue
	o.Interpolate.LookupValue = func(key string) (string, bool) {
		v, ok := lookup(key)
		if !ok {
			u.mu.Lock()
			defer u.mu.Unlock()
			if u.names == nil {
				u.names = map[string]bool{}
			}
			u.names[key] = true
		}
		return v, ok
	}
}

func (u *unsetVariables) sorted() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Sorted(maps.Keys(u.names))
}
