package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// imageRegistry is as much of a registry as an engine needs to push and to pull. What
// is below /private/ can only be pulled.
type imageRegistry struct {
	mu    sync.Mutex
	blobs map[string][]byte // uploads by their path, blobs and manifests by digest and by name
	types map[string]string // of manifests
}

// startRegistry sets $REGISTRY to the address of a registry that is there until
// the script ends. Engines ask one on this machine without TLS.
func startRegistry(ts *testscript.TestScript, neg bool, args []string) {
	s := httptest.NewServer(&imageRegistry{blobs: map[string][]byte{}, types: map[string]string{}})
	ts.Defer(s.Close)
	ts.Setenv("REGISTRY", strings.TrimPrefix(s.URL, "http://"))
}

func (g *imageRegistry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	path := r.URL.Path
	key := path[strings.LastIndex(path, "/")+1:]
	manifest := strings.Contains(path, "/manifests/")
	if manifest && !strings.HasPrefix(key, "sha256:") {
		key = path
	}
	switch {
	case path == "/v2/":
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		b, ok := g.blobs[key]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		if manifest {
			w.Header().Set("Content-Type", g.types[key])
		}
		w.Header().Set("Docker-Content-Digest", digestOf(b))
		w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		if r.Method == http.MethodGet {
			_, _ = w.Write(b)
		}
	case strings.Contains(path, "/private/"):
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}`)
	case r.Method == http.MethodPost:
		w.Header().Set("Location", fmt.Sprintf("%s%d", path, len(g.blobs)))
		g.blobs[fmt.Sprintf("%s%d", path, len(g.blobs))] = nil
		w.WriteHeader(http.StatusAccepted)
	case manifest:
		for _, k := range []string{key, digestOf(body)} {
			g.blobs[k], g.types[k] = body, r.Header.Get("Content-Type")
		}
		w.Header().Set("Docker-Content-Digest", digestOf(body))
		w.WriteHeader(http.StatusCreated)
	default: // a piece of a blob, and with its digest the last one
		g.blobs[path] = append(g.blobs[path], body...)
		w.Header().Set("Location", path)
		w.Header().Set("Range", fmt.Sprintf("0-%d", len(g.blobs[path])-1))
		if d := r.URL.Query().Get("digest"); d != "" {
			g.blobs[d] = g.blobs[path]
			w.Header().Set("Docker-Content-Digest", d)
			w.WriteHeader(http.StatusCreated)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	}
}

func digestOf(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }
