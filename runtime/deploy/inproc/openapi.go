package inproc

import (
	"net/http"
	"slices"
	"text/template"
)

type object = map[string]any

// openAPI describes the server in the form of OpenAPI 3.1. The document is a
// few paths; a library for it would be larger than the server.
func (s *server) openAPI(w http.ResponseWriter, r *http.Request) {
	names, err := s.known(r.Context())
	if err != nil {
		names = slices.Clone(s.Components)
	}
	writeJSON(w, http.StatusOK, s.document(names))
}

func (s *server) document(names []string) object {
	answer := func(text, schema string) object {
		return object{"description": text, "content": object{"application/json": object{"schema": object{"$ref": "#/components/schemas/" + schema}}}}
	}
	common := func(more object) object {
		all := object{
			"400": answer("The body is none that can be read", "Error"), "404": answer("There is no such component", "Error"),
			"413": answer("The body is too large", "Error"), "429": answer("Too many requests; Retry-After says when to try again", "Error"),
			"503": answer("Not now: the system starts or stops, or the bus is away; Retry-After says when to try again", "Error"),
		}
		if s.Token != "" {
			all["401"] = answer("The token is missing or wrong", "Error")
		}
		for k, v := range more {
			all[k] = v
		}
		return all
	}
	name := object{"name": "name", "in": "path", "required": true, "schema": object{"type": "string", "enum": names}}
	session := object{"name": "session", "in": "query", "schema": object{"type": "string", "maxLength": 256}}
	body := object{"required": true, "content": object{
		"application/json": object{"schema": object{"$ref": "#/components/schemas/Input"}}, "text/plain": object{"schema": object{"type": "string"}},
	}}
	ok := answer("The component's answer", "Answer")
	ok["content"].(object)["text/event-stream"] = object{"schema": object{"type": "string", "description": "events chunk, and answer or error"}}
	get := func(summary string, answers object) object {
		return object{"get": object{"summary": summary, "responses": answers}}
	}
	paths := object{
		"/{name}/input": object{"parameters": []any{name, session}, "post": object{
			"summary": "Ask a component, and wait for its answer", "requestBody": body,
			"responses": common(object{"200": ok, "502": answer("The component failed", "Answer"), "504": answer("No answer in time", "Answer")}),
		}},
		"/{name}/messages": object{"parameters": []any{name, session}, "post": object{
			"summary": "Leave a message for a component", "requestBody": body,
			"responses": common(object{"202": answer("The bus has the message", "Accepted")}),
		}},
		"/metrics": get("Metrics in Prometheus's format", object{"200": object{"description": "The metrics", "content": object{"text/plain": object{"schema": object{"type": "string"}}}}}),
	}
	if s.Health {
		paths["/health"] = get("Whether the system is ready", object{"200": answer("It is", "Health"), "503": answer("It isn't", "Health")})
	}
	if s.Discovery {
		paths["/components"] = get("Who is there", object{"200": object{"description": "The components", "content": object{"application/json": object{"schema": object{"type": "array", "items": object{"$ref": "#/components/schemas/Component"}}}}}})
	}
	text, anything := object{"type": "string"}, object{}
	doc := object{
		"openapi": "3.1.0", "info": object{"title": s.Name, "version": "1"}, "paths": paths,
		"components": object{"schemas": object{
			"Input":    object{"type": "object", "required": []string{"value"}, "properties": object{"value": anything, "session": text}},
			"Answer":   object{"type": "object", "properties": object{"value": anything, "error": text, "session_id": text, "message_id": text}},
			"Accepted": object{"type": "object", "properties": object{"session_id": text, "message_id": text}},
			"Error":    object{"type": "object", "properties": object{"error": text}},
			"Health": object{"type": "object", "properties": object{
				"status": text, "message_bus": object{"type": "object", "properties": object{"reachable": object{"type": "boolean"}, "latency_ms": object{"type": "number"}}},
				"components": object{"type": "object", "additionalProperties": text},
			}},
			"Component": object{"type": "object", "properties": object{
				"name": text, "kind": text, "type": text, "state": text, "reason": text, "deployment": text, "load": object{"type": "number"}, "instances": object{"type": "integer"},
				"cpu": object{"type": "number", "description": "Seconds of processor time, of a component with processes of its own"}, "memory_bytes": object{"type": "integer"},
				"routes": object{"type": "array", "items": text}, "endpoints": object{"type": "array", "items": text},
			}},
		}},
	}
	if s.Token != "" {
		doc["components"].(object)["securitySchemes"] = object{"token": object{"type": "http", "scheme": "bearer"}}
		doc["security"] = []any{object{"token": []string{}}}
	}
	return doc
}

// page shows people what there is, with the means of any browser and nothing
// from elsewhere.
func (s *server) page(w http.ResponseWriter, r *http.Request) {
	names, err := s.known(r.Context())
	if err != nil {
		names = slices.Clone(s.Components)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	_ = pageText.Execute(w, struct {
		Name              string
		Components        []string
		Health, Discovery bool
	}{s.Name, names, s.Health, s.Discovery}) // a client that has gone needs no page
}

var pageText = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{{html .Name}}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:46em;margin:2em auto;padding:0 1em}code{background:#8882;padding:.1em .3em}</style>
<h1>{{html .Name}}</h1>
<p>A system that ww runs. <a href="/openapi.json">openapi.json</a> describes it for programs.</p>
<h2>Components</h2>
<ul>{{range .Components}}<li><code>POST /{{html .}}/input</code> asks it; <code>POST /{{html .}}/messages</code> leaves a message{{else}}<li>none{{end}}</ul>
<p>The body is <code>{"value": …, "session": "optional"}</code>, any other JSON, or text as <code>text/plain</code>.
With <code>Accept: text/event-stream</code> the answer comes piece by piece.</p>
<h2>The system</h2>
<ul>{{if .Health}}<li><a href="/health">/health</a>{{end}}{{if .Discovery}}<li><a href="/components">/components</a>{{end}}<li><a href="/metrics">/metrics</a></ul>
</html>
`))
