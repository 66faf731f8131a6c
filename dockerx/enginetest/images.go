package enginetest

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// tagged is a reference with the tag that it has without one.
func tagged(ref string) string {
	name := ref[strings.LastIndex(ref, "/")+1:]
	if strings.ContainsAny(name, ":@") || strings.HasPrefix(ref, "sha256:") {
		return ref
	}
	return ref + ":latest"
}

func (e *Engine) listImages(_ http.ResponseWriter, r *http.Request) (reply, error) {
	f, err := parseFilters(r)
	if err != nil {
		return reply{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	byID := map[string][]string{}
	for ref, id := range e.images {
		if !f.labels(e.imageLabels[id]) {
			continue
		}
		if ref == id { // no tag is left
			if len(f["label"]) > 0 && byID[id] == nil {
				byID[id] = []string{}
			}
			continue
		}
		if len(f["reference"]) == 0 || f["reference"][ref] || f["reference"][strings.TrimSuffix(ref, ":latest")] {
			byID[id] = append(byID[id], ref)
		}
	}
	list := []any{}
	for id, refs := range byID {
		list = append(list, map[string]any{"Id": id, "RepoTags": refs, "RepoDigests": []string{}, "Labels": e.imageLabels[id]})
	}
	return ok(list)
}

func (e *Engine) imageID(ref string) (string, error) {
	ref = strings.TrimSuffix(ref, "/json")
	for name, id := range e.images {
		if name == tagged(ref) || id == ref {
			return id, nil
		}
	}
	return "", errorf(http.StatusNotFound, "No such image: %s", tagged(ref))
}

func (e *Engine) inspectImage(_ http.ResponseWriter, r *http.Request) (reply, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	id, err := e.imageID(r.PathValue("id"))
	if err != nil {
		return reply{}, err
	}
	return ok(map[string]any{"Id": id, "Os": "linux", "Architecture": "amd64"})
}

func (e *Engine) tagImage(_ http.ResponseWriter, r *http.Request) (reply, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	id, err := e.imageID(strings.TrimSuffix(r.PathValue("id"), "/tag"))
	if err != nil {
		return reply{}, err
	}
	repo := strings.TrimPrefix(strings.TrimPrefix(r.URL.Query().Get("repo"), "docker.io/"), "library/")
	e.images[tagged(repo+":"+r.URL.Query().Get("tag"))] = id
	return reply{http.StatusCreated, nil}, nil
}

func (e *Engine) removeImage(_ http.ResponseWriter, r *http.Request) (reply, error) {
	ref := r.PathValue("id")
	e.mu.Lock()
	defer e.mu.Unlock()
	id, err := e.imageID(ref)
	if err != nil {
		return reply{}, err
	}
	for _, c := range e.containers {
		if c.imageID == id {
			return reply{}, errorf(http.StatusConflict, "conflict: unable to remove repository reference %q (must force) - container %s is using its referenced image %s", ref, c.id[:12], id)
		}
	}
	delete(e.images, tagged(ref))
	return ok([]any{map[string]string{"Untagged": tagged(ref)}})
}

// stream writes the objects of an answer that comes bit by bit.
type stream struct{ w http.ResponseWriter }

func (s stream) send(m map[string]any) {
	_ = json.NewEncoder(s.w).Encode(m)
	flush(s.w)
}

func (s stream) fail(msg string) {
	s.send(map[string]any{"error": msg, "errorDetail": map[string]string{"message": msg}})
}

func (e *Engine) pullImage(w http.ResponseWriter, r *http.Request) (reply, error) {
	q := r.URL.Query()
	ref := strings.TrimPrefix(q.Get("fromImage"), "docker.io/library/")
	ref = strings.TrimPrefix(ref, "docker.io/")
	if tag := q.Get("tag"); strings.Contains(tag, ":") {
		ref += "@" + tag
	} else if tag != "" {
		ref += ":" + tag
	}
	ref = tagged(ref)
	for name, msg := range e.opts.PullErrors {
		if tagged(name) == ref {
			return reply{}, errorf(http.StatusNotFound, "%s", msg)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	s := stream{w}
	s.send(map[string]any{"status": "Pulling from " + ref, "id": "latest"})
	for _, layer := range []string{"aaaaaaaaaaaa", "bbbbbbbbbbbb"} {
		s.send(map[string]any{"status": "Pulling fs layer", "id": layer})
	}
	for _, layer := range []string{"aaaaaaaaaaaa", "bbbbbbbbbbbb"} {
		for _, n := range []int{50, 100} {
			s.send(map[string]any{"status": "Downloading", "id": layer, "progressDetail": map[string]int{"current": n, "total": 100}})
		}
		s.send(map[string]any{"status": "Pull complete", "id": layer})
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.images[ref] == "" {
		e.images[ref] = "sha256:" + e.newID()
	}
	return streamed, nil
}

func (e *Engine) buildImage(w http.ResponseWriter, r *http.Request) (reply, error) {
	q := r.URL.Query()
	if v := q.Get("version"); v == "2" {
		return reply{}, errorf(http.StatusBadRequest, "enginetest has the classic builder only")
	}
	files, err := readTar(r.Body)
	if err != nil {
		return reply{}, errorf(http.StatusInternalServerError, "Error processing tar file: %v", err)
	}
	name := q.Get("dockerfile")
	dockerfile, ok := files[name]
	if !ok {
		return reply{}, errorf(http.StatusInternalServerError, "Cannot locate specified Dockerfile: %s", name)
	}
	labels := map[string]string{}
	if text := q.Get("labels"); text != "" {
		if err := json.Unmarshal([]byte(text), &labels); err != nil {
			return reply{}, errorf(http.StatusBadRequest, "labels: %v", err)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	s := stream{w}
	steps := strings.Split(strings.TrimSpace(string(dockerfile)), "\n")
	for i, step := range steps {
		s.send(map[string]any{"stream": fmt.Sprintf("Step %d/%d : %s\n", i+1, len(steps), step)})
	}
	for _, t := range q["t"] {
		if msg := e.opts.BuildErrors[t]; msg != "" {
			s.send(map[string]any{"stream": "output of the failing step\n"})
			s.fail(msg)
			return streamed, nil
		}
	}
	e.mu.Lock()
	id := "sha256:" + e.newID()
	e.imageLabels[id] = labels
	for _, t := range q["t"] {
		if was := e.images[tagged(t)]; was != "" {
			e.images[was] = was
		}
		e.images[tagged(t)] = id
		e.contexts[tagged(t)] = files
	}
	e.mu.Unlock()
	s.send(map[string]any{"aux": map[string]string{"ID": id}})
	s.send(map[string]any{"stream": "Successfully built " + id[7:19] + "\n"})
	return streamed, nil
}

func readTar(r io.Reader) (map[string][]byte, error) {
	files := map[string][]byte{}
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(tr)
		if err != nil {
			return nil, err
		}
		if h.Typeflag == tar.TypeSymlink {
			data = []byte(h.Linkname)
		}
		files[h.Name] = data
	}
}

// askRegistry tells of an image that could be pulled.
func (e *Engine) askRegistry(_ http.ResponseWriter, r *http.Request) (reply, error) {
	ref := strings.TrimPrefix(strings.TrimSuffix(r.PathValue("id"), "/json"), "docker.io/")
	ref = tagged(strings.TrimPrefix(ref, "library/"))
	for name, msg := range e.opts.PullErrors {
		if tagged(name) == ref {
			return reply{}, errorf(http.StatusNotFound, "%s", msg)
		}
	}
	return ok(map[string]any{"Descriptor": map[string]any{"mediaType": "application/vnd.docker.distribution.manifest.v2+json", "size": 1, "digest": "sha256:" + strings.Repeat("0", 64)}, "Platforms": []any{}})
}
