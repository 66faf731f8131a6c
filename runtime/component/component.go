// Package component is what a kind of component has to provide so that a host
// can run it: the built-in kinds live below it, one package each.
package component

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/process"
)

// Config is what a component is told about itself, as it stands in
// COMPONENT_CONFIG: secrets are references in it until Secret resolves them.
type Config struct {
	Name     string          `json:"name"`
	Kind     string          `json:"kind"`             // input, output, core, llm, …
	Type     string          `json:"type"`             // api, console, template, …
	To       []string        `json:"to,omitempty"`     // components that get its results
	Topics   []string        `json:"topics,omitempty"` // topics that its results are published on
	Settings json.RawMessage `json:"settings,omitempty"`

	// Subscribe are patterns of topics that it also takes messages from.
	Subscribe []string `json:"subscribe,omitempty"`
}

// Env is what a component gets from its host.
type Env struct {
	Config Config
	Log    *slog.Logger
	Stdout io.Writer // what an output shows to people
	Stdin  io.Reader // what an input reads from people; nil for none

	// Transport is for HTTP calls to what isn't part of the system. Calls to a
	// host that has kept failing fail at once, for a while; they carry the trace
	// of the message that is being handled. Nil: http.DefaultTransport.
	Transport http.RoundTripper

	// Processes is where the component starts programs; nil for no limits.
	Processes *process.Group

	// Secret returns the value of a secret by the name of its variable. The
	// error says where it was looked for.
	Secret func(name string) (string, error)

	// Submit puts a message from outside into the system: to each of the
	// component's targets and topics, all in one publish. It fills in sender,
	// ids and trace. Used by inputs. ErrDraining once the component stops.
	Submit func(ctx context.Context, in Submission) error

	// Ask is Submit with an inbox: it returns the answers as they come. Where
	// there are several targets, the first whole answer of any of them is the
	// last one that is returned.
	Ask func(ctx context.Context, in Submission) (bus.Replies, error)

	// Gather is the bus's, with keys of this component's own.
	Gather func(ctx context.Context, key, part string, value json.RawMessage) (map[string]json.RawMessage, error)
}

// ErrDraining is what inputs get for new work while their component stops.
var ErrDraining = errors.New("the component is shutting down and takes no new work")

// Submission is work from outside.
type Submission struct {
	ID      string // of the message; a new one if empty
	Session string // a new one if empty
	Type    string // event type; "input" if empty
	Payload json.RawMessage
}

// Instance is a component at work.
type Instance struct {
	// Handle handles a message and returns the result: it goes to the
	// component's targets, or to whoever asked where it has none. A nil result
	// sends nothing; so does that of a chunk. Nil for components that take no
	// messages.
	Handle func(ctx context.Context, m bus.Message, out Out) (result json.RawMessage, err error)

	// Streams says that Handle also wants the chunks of streamed answers.
	Streams bool

	// Timed says that Handle itself keeps to the setting "timeout", since it can
	// tell best what took so long. The host does it for the others.
	Timed bool

	// Capabilities is what it can do, for whoever looks into the registry. The
	// host adds what it sees: "messages", "chunks", "http".
	Capabilities []string

	// Routes are served beside the host's own HTTP endpoints; nil for none.
	Routes http.Handler

	// Run, where it isn't nil, runs until ctx is done or there is no more to
	// do; an error ends the host.
	Run func(ctx context.Context) error

	// Close frees what the component holds. It is called once, after the last
	// handler returned.
	Close func() error
}

// Out sends the pieces of an answer while it is being made.
type Out interface {
	// Chunk sends one piece on to where the result will go. While a chunk is
	// being handled it may be called once: the piece takes the chunk's place
	// in the order.
	Chunk(ctx context.Context, payload json.RawMessage) error
}

// Builder makes a component from its configuration; it fails when the
// settings make no sense, naming the setting.
type Builder func(ctx context.Context, env Env) (*Instance, error)
