package compose

import (
	"fmt"
	"testing"
)

func TestPlace(t *testing.T) {
	clearEnvironment(t, nil)
	dir := folder(t, map[string]string{
		"a.yml": "name: x\nx-base: &base\n  annotations: {a: b}\nservices:\n  a.b:\n    image: i\n    volumes:\n    - v:/v\n    - type: tmpfs\n" +
			"      target: /t\n  aliased: *base\nvolumes: {v: {}}\n",
		"b.yml": "services:\n  a.b:\n    deploy:\n      mode: global\n  aliased: {image: i}\n",
	})
	t.Chdir(dir)
	l := mustLoad(t, Request{Files: []string{"a.yml", "b.yml"}})
	places := l.Places(t.Context())
	for key, want := range map[string]string{
		"services.a.b.volumes.1.tmpfs": "a.yml:9",
		"services.a.b.volumes.0.bind":  "a.yml:8",
		"services.a.b.deploy.mode":     "b.yml:4",
		"services.aliased.annotations": "a.yml:3",
		"services.a.b.gpus":            "",
		"services.none.image":          "",
		"networks.default.enable_ipv4": "",
	} {
		got := ""
		if at, ok := places.Of(key); ok {
			got = fmt.Sprintf("%s:%d", at.File, at.Start.Line)
		}
		if got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
}
