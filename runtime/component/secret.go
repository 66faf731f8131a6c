package component

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// redacted stands where a secret was.
const redacted = "[redacted]"

// minRedacted is the length from which a secret is searched for inside longer
// text; a shorter one would turn half of a log into [redacted].
const minRedacted = 4

var secretName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

// SecretFiles returns a lookup that reads the secret NAME from the file NAME
// in dir. Line breaks at the end of the file are not part of the secret. The
// error for a secret that isn't there wraps fs.ErrNotExist.
func SecretFiles(dir string) func(name string) (string, error) {
	return func(name string) (string, error) {
		path := filepath.Join(dir, name)
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("secret %s: there is no file %s: %w", name, path, fs.ErrNotExist)
		}
		if err != nil {
			return "", fmt.Errorf("secret %s: %w", name, err)
		}
		return strings.TrimRight(string(b), "\r\n"), nil
	}
}

// Secrets looks secrets up and remembers the values that it gave out, so that
// they can be kept out of logs and errors. Its methods may be called at the
// same time.
type Secrets struct {
	lookup func(name string) (string, error)

	mu     sync.RWMutex
	values []string // longest first, in every spelling that is hidden
}

// NewSecrets returns Secrets that come from lookup.
func NewSecrets(lookup func(name string) (string, error)) *Secrets {
	return &Secrets{lookup: lookup}
}

// Lookup returns the value of a secret.
func (s *Secrets) Lookup(name string) (string, error) {
	if !secretName.MatchString(name) {
		return "", fmt.Errorf("secret %q: a name has letters, digits, '_', '-' and '.'", name)
	}
	v, err := s.lookup(name)
	if err != nil {
		return "", err
	}
	s.remember(v)
	return v, nil
}

func (s *Secrets) remember(v string) {
	if v == "" {
		return
	}
	spellings := []string{v, url.QueryEscape(v), url.PathEscape(v)}
	if j, err := json.Marshal(v); err == nil {
		spellings = append(spellings, string(j[1:len(j)-1]))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sp := range spellings {
		if !slices.Contains(s.values, sp) {
			s.values = append(s.values, sp)
		}
	}
	slices.SortStableFunc(s.values, func(a, b string) int { return len(b) - len(a) })
}

// Redact returns text without the values of secrets that were looked up. A
// value of fewer than 4 bytes is hidden only where it is the whole text.
func (s *Secrets) Redact(text string) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, v := range s.values {
		if text == v {
			return redacted
		}
		if len(v) >= minRedacted {
			text = strings.ReplaceAll(text, v, redacted)
		}
	}
	return text
}

// RedactError returns an error with the same chain as err and a text without
// secrets.
func (s *Secrets) RedactError(err error) error {
	if err == nil {
		return nil
	}
	if text := s.Redact(err.Error()); text != err.Error() {
		return &redactedError{text, err}
	}
	return err
}

type redactedError struct {
	text string
	err  error
}

func (e *redactedError) Error() string { return e.text }
func (e *redactedError) Unwrap() error { return e.err }

// Handler returns a handler that redacts messages and attributes before next
// gets them.
func (s *Secrets) Handler(next slog.Handler) slog.Handler { return &redactor{s, next} }

type redactor struct {
	secrets *Secrets
	next    slog.Handler
}

func (r *redactor) Enabled(ctx context.Context, l slog.Level) bool { return r.next.Enabled(ctx, l) }

func (r *redactor) Handle(ctx context.Context, rec slog.Record) error {
	out := slog.NewRecord(rec.Time, rec.Level, r.secrets.Redact(rec.Message), rec.PC)
	rec.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(r.attr(a))
		return true
	})
	return r.next.Handle(ctx, out)
}

func (r *redactor) WithAttrs(as []slog.Attr) slog.Handler {
	clean := make([]slog.Attr, len(as))
	for i, a := range as {
		clean[i] = r.attr(a)
	}
	return &redactor{r.secrets, r.next.WithAttrs(clean)}
}

func (r *redactor) WithGroup(name string) slog.Handler {
	return &redactor{r.secrets, r.next.WithGroup(name)}
}

func (r *redactor) attr(a slog.Attr) slog.Attr {
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(r.secrets.Redact(v.String()))
	case slog.KindGroup:
		var group []slog.Attr
		for _, g := range v.Group() {
			group = append(group, r.attr(g))
		}
		a.Value = slog.GroupValue(group...)
	case slog.KindAny:
		a.Value = r.any(v)
	}
	return a
}

// any renders a value that may hold a secret anywhere, as the handlers of
// log/slog would, and replaces it by its text only where a secret is in it.
func (r *redactor) any(v slog.Value) slog.Value {
	text := fmt.Sprintf("%+v", v.Any())
	if err, ok := v.Any().(error); ok {
		text = err.Error()
	} else if b, ok := v.Any().([]byte); ok {
		text = string(b)
	} else if j, err := json.Marshal(v.Any()); err == nil {
		if clean := r.secrets.Redact(string(j)); clean != string(j) {
			return slog.StringValue(clean)
		}
	}
	if clean := r.secrets.Redact(text); clean != text {
		return slog.StringValue(clean)
	}
	return v
}

// reference is a secret as it stands in settings.
type reference struct {
	Name    *string `json:"$secret"`
	Default *string `json:"default"`
}

// Resolve returns a JSON value with the values of secrets in the place of
// {"$secret":"NAME"} and {"$secret":"NAME","default":"x"}, at any depth. The
// default counts where there is no secret of that name.
func (s *Secrets) Resolve(raw json.RawMessage) (json.RawMessage, error) {
	return Resolve(raw, s.Lookup)
}

// Resolve is the method of Secrets with any lookup.
func Resolve(raw json.RawMessage, lookup func(name string) (string, error)) (json.RawMessage, error) {
	if !bytes.Contains(raw, []byte(`$`)) && !bytes.Contains(raw, []byte(`\u0024`)) {
		return raw, nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, errors.New("not valid JSON")
	}
	v, err := resolve(v, lookup)
	if err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

func resolve(v any, lookup func(string) (string, error)) (any, error) {
	var err error
	switch v := v.(type) {
	case []any:
		for i := range v {
			if v[i], err = resolve(v[i], lookup); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		if _, ok := v["$secret"]; ok {
			return deref(v, lookup)
		}
		for k := range v {
			if v[k], err = resolve(v[k], lookup); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

func deref(m map[string]any, lookup func(string) (string, error)) (any, error) {
	var ref reference
	b, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&ref); err != nil || ref.Name == nil {
		return nil, errors.New(`a secret is written {"$secret":"NAME"} or {"$secret":"NAME","default":"text"}`)
	}
	value, err := lookup(*ref.Name)
	if err != nil && ref.Default != nil && errors.Is(err, fs.ErrNotExist) {
		return *ref.Default, nil
	}
	if err != nil {
		return nil, err
	}
	return value, nil
}
