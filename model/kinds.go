package model

// kind describes what a declaration's head may say.
type kind struct {
	phase Phase
	types map[string]schema
}

// schema is what a type of component may say about itself.
type schema struct {
	built bool // this version can run it
	keys  []key
}

// key is one setting.
type key struct {
	name     string
	is       shape
	required bool
	refs     []string // kinds that a reference may name; nil: any
	later    bool     // part of the language, and not honoured yet
	values   []string // that the text can be; nil: any
}

// shape is what a value has to look like.
type shape int

const (
	anything shape = iota
	text
	integer
	count   // from 1
	natural // from 0
	decimal
	boolean
	duration // 30s, 5m, or a number of seconds
	period   // a duration of more than zero
	size     // 256m, 1g, or a number of bytes
	list
	block
	reference
	references // one or a list
	textOrList
	port
	gotemplate
	address
)

// literal reports whether a name can't be meant: neither of something that is
// declared, nor as text without its quotes.
func (s shape) literal() bool {
	switch s {
	case integer, count, natural, decimal, boolean, duration, period, size, port:
		return true
	}
	return false
}

var shapeNames = map[shape]string{
	anything: "a value", text: "text", integer: "a whole number", count: "a whole number from 1", natural: "a whole number from 0", decimal: "a number", boolean: "true or false",
	duration: "a duration such as 30s", period: "a duration of more than zero, such as 30s", size: "a size such as 256m", list: "a list", block: "a block",
	reference: "the name of a component", references: "the names of components", textOrList: "text or a list",
	port: "a port from 1 to 65535", gotemplate: "a Go template", address: "an IP address such as 127.0.0.1",
}

// common are the settings that every component understands.
var common = []key{
	{name: "to", is: anything},
	{name: "resources", is: block},
	{name: "replicas", is: integer},
	{name: "restart", is: text, values: []string{"no", "always", "unless-stopped", "on-failure"}},
	{name: "concurrency", is: count},
	{name: "grace", is: duration},
	{name: "volumes", is: list},
	{name: "image", is: text},
	{name: "dockerfile", is: text},
	{name: "timeout", is: period},
	{name: "max_retries", is: natural},
	{name: "ttl", is: period},
	{name: "max_queue_size", is: count},
	{name: "overflow", is: text, values: []string{"block", "dead_letter"}},
	{name: "subscribe", is: textOrList},
	{name: "hooks", is: list, later: true},
	{name: "pipes", is: list, later: true},
	{name: "scale", is: block},
	{name: "workers", is: count},
	{name: "max_workers", is: count},
	{name: "isolation", is: text, values: []string{Inline, OwnProcess}},
}

var resourceKeys = []string{"memory", "cpus", "pids", "memory_reservation"}

func llm(built bool) schema {
	return schema{built: built, keys: []key{
		{name: "model", is: text, required: true},
		{name: "api_key", is: text},
		{name: "base_url", is: text},
		{name: "memory", is: reference, refs: []string{"memory", "knowledge_base"}, later: true},
		{name: "system", is: text},
		{name: "temperature", is: decimal},
		{name: "max_tokens", is: integer},
		{name: "history", is: integer},
	}}
}

var agent = schema{keys: []key{
	{name: "model", is: reference, refs: []string{"llm"}},
	{name: "api_key", is: text},
	{name: "tools", is: references},
	{name: "memory", is: reference, refs: []string{"memory", "knowledge_base"}},
	{name: "knowledge_base", is: references, refs: []string{"knowledge_base"}},
	{name: "cache", is: boolean},
	{name: "planning", is: boolean},
	{name: "prompt", is: anything},
	{name: "max_steps", is: integer},
}}

// kinds lists every kind of component that the language knows.
var kinds = map[string]kind{
	"input": {phase: PhaseIngress, types: map[string]schema{
		"api": {built: true, keys: []key{
			{name: "port", is: port}, {name: "host", is: address}, {name: "max_body", is: integer},
		}},
		"command_line":  {built: true, keys: []key{{name: "prompt", is: text}}},
		"voice":         {},
		"keyword_voice": {},
	}},
	"output": {phase: PhaseComponents, types: map[string]schema{
		"console": {built: true, keys: []key{{name: "raw", is: boolean}}},
		"voice":   {},
	}},
	"core": {phase: PhaseComponents, types: map[string]schema{
		"template": {built: true, keys: []key{
			{name: "template", is: gotemplate, required: true},
			{name: "join", is: references},
			{name: "format", is: text, values: []string{"text", "json"}},
		}},
		"exec": {built: true, keys: []key{
			{name: "command", is: textOrList},
			{name: "mode", is: text, values: []string{"message", "lines"}},
			{name: "output", is: text, values: []string{"text", "json"}},
			{name: "environment", is: block},
			{name: "workdir", is: text},
			{name: "source", is: text},
			{name: "python", is: text},
			{name: "requirements", is: text},
		}},
	}},
	"llm": {phase: PhaseComponents, types: map[string]schema{
		"openai": llm(true), "claude": llm(false), "ollama": llm(false), "hugging_face": llm(false),
	}},
	"agent": {phase: PhaseComponents, types: map[string]schema{"llm": agent}},
	"memory": {phase: PhaseBacking, types: map[string]schema{
		"short_term": {}, "long_term": {},
	}},
	"knowledge_base": {phase: PhaseBacking, types: map[string]schema{
		"chroma":    {keys: []key{{name: "client", is: text}, {name: "path", is: text}, {name: "file_to_embed", is: text}}},
		"neo4j":     {keys: []key{{name: "uri", is: text}, {name: "user", is: text}, {name: "password", is: text}}},
		"text_file": {keys: []key{{name: "path", is: text}}},
	}},
	"api": {phase: PhaseComponents, types: map[string]schema{
		"functions": {keys: []key{{name: "path", is: text, required: true}}},
		"web":       {keys: []key{{name: "url", is: text, required: true}, {name: "documentation", is: text}}},
	}},
	"mcp": {phase: PhaseBacking, types: map[string]schema{
		"server": {keys: []key{
			{name: "server", is: text}, {name: "version", is: text}, {name: "toolsets", is: anything},
			{name: "env", is: block}, {name: "url", is: text}, {name: "command", is: textOrList},
		}},
	}},
	"environment": {phase: PhaseBacking, types: map[string]schema{
		"coding": {keys: []key{
			{name: "repo_url", is: text}, {name: "local_path", is: text}, {name: "setup_scripts", is: list},
			{name: "startup_scripts", is: list}, {name: "environment_variables", is: block},
		}},
	}},
}

// shorthands are the one-word heads of components.
var shorthands = map[string][2]string{
	"claude": {"llm", "claude"}, "openai": {"llm", "openai"},
	"ollama": {"llm", "ollama"}, "hugging_face": {"llm", "hugging_face"},
}

// aliases are old words for kinds.
var aliases = map[string]string{"decomposer": "agent"}

var deploymentKinds = []string{"docker", "local", "server"}

var busKinds = []string{"redis", "nats", "memory"}

// deploymentKeys is what each kind of deployment may say.
var deploymentKeys = map[string][]key{
	"docker": {{name: "components", is: anything}, {name: "message_bus", is: anything}},
	"local":  {{name: "components", is: list}, {name: "message_bus", is: anything}},
	"server": {
		{name: "components", is: list}, {name: "message_bus", is: anything}, {name: "port", is: port}, {name: "host", is: text},
		{name: "health_checks", is: boolean}, {name: "component_discovery", is: boolean}, {name: "token", is: text},
	},
}

// busKeys is what each kind of bus may say.
var busKeys = map[string][]key{
	"redis": {
		{name: "url", is: text}, {name: "redis_url", is: text}, {name: "image", is: text}, {name: "ports", is: anything},
		{name: "appendfsync", is: text, values: []string{"always", "everysec", "no"}}, {name: "maxmemory", is: size}, {name: "resources", is: block},
	},
	"nats": {
		{name: "url", is: text}, {name: "nats_url", is: text}, {name: "ports", is: anything},
		{name: "resources", is: block},
	},
	"memory": {},
}
