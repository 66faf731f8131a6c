package component

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Decode fills the struct that into points to from the component's settings:
// one field for each setting, named by its json tag. What is in a field before
// stays where the setting is absent or null. Secrets are resolved. A value of
// the wrong type is an error that names the setting; a setting that the struct
// has no field for is logged and ignored, since files may be ahead of us.
// Errors never contain values; a type that has a method Want() string says with
// it what it wants.
func (e Env) Decode(into any) error {
	settings := map[string]json.RawMessage{}
	if raw := bytes.TrimSpace(e.Config.Settings); len(raw) > 0 && !bytes.Equal(raw, []byte("null")) {
		if err := json.Unmarshal(raw, &settings); err != nil {
			return errors.New("settings: want a JSON object")
		}
	}
	v := reflect.ValueOf(into).Elem()
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		raw, ok := settings[name]
		delete(settings, name)
		if !ok || bytes.Equal(raw, []byte("null")) {
			continue
		}
		raw, err := Resolve(raw, e.Secret)
		if err != nil {
			return fmt.Errorf("setting %q: %w", name, err)
		}
		if err := json.Unmarshal(raw, v.Field(i).Addr().Interface()); err != nil {
			return settingError(name, raw, v.Field(i).Type(), err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		if OfHost(name) {
			continue
		}
		e.Log.Warn("unknown setting is ignored", "setting", name, "kind", e.Config.Kind, "type", e.Config.Type)
	}
	return nil
}

// OfHost reports whether a setting is one that every component has and that its
// host honours: a kind need not know of it.
func OfHost(setting string) bool {
	switch setting {
	case "concurrency", "timeout", "max_retries", "ttl", "max_queue_size", "overflow", "subscribe", "grace", "isolation":
		return true
	}
	return false
}

// wanter is a type of a setting that describes itself, in its zero value too.
type wanter interface{ Want() string }

func settingError(name string, raw json.RawMessage, t reflect.Type, err error) error {
	want := ""
	if w, ok := reflect.Zero(t).Interface().(wanter); ok {
		want = w.Want()
	} else {
		want = typeName(t)
	}
	var inner *json.UnmarshalTypeError
	if errors.As(err, &inner) && inner.Field != "" {
		return fmt.Errorf("setting %q: want %s, got another type in %q", name, want, inner.Field)
	}
	return fmt.Errorf("setting %q: want %s, got %s", name, want, shape(raw))
}

func typeName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return typeName(t.Elem())
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "an array"
	default:
		return "an object"
	}
}

func shape(raw json.RawMessage) string {
	switch raw[0] {
	case '"':
		return "a string"
	case '{':
		return "an object"
	case '[':
		return "an array"
	case 't', 'f':
		return "a boolean"
	default:
		return "a number"
	}
}

// Duration is a setting such as "60s" or "1m30s"; a plain number is seconds.
// It is more than zero.
type Duration time.Duration

// Want describes the setting.
func (Duration) Want() string { return `a duration of more than zero such as "60s" or "1m30s"` }

// UnmarshalJSON reads either form.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var secs float64
	if json.Unmarshal(b, &secs) == nil {
		if !(secs > 0) || secs > math.MaxInt64/float64(time.Second) {
			return errors.New("out of range")
		}
		*d = Duration(secs * float64(time.Second))
		return nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	v, err := time.ParseDuration(s)
	if err != nil || v <= 0 {
		return errors.New("out of range")
	}
	*d = Duration(v)
	return nil
}

// Strings is a setting that is a string or an array of strings.
type Strings []string

// Want describes the setting.
func (Strings) Want() string { return "a string or an array of strings" }

// UnmarshalJSON reads either form.
func (l *Strings) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		*l = Strings{s}
		return nil
	}
	var many []string
	if err := json.Unmarshal(b, &many); err != nil {
		return err
	}
	*l = many
	return nil
}
