// Package bus is the contract between components and whatever carries their
// messages. Backends live in packages of their own below this one; the suite
// that all of them pass is bustest.
package bus

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// Bus carries messages. All methods may be called at the same time.
//
// A lost connection is not an error of a handler: Publish waits up to its
// context's deadline, and Consume resumes when the bus is back.
type Bus interface {
	Operator

	// Publish returns when the bus has the messages: from then on they survive
	// the death of the sender. A message without an id gets one; publishing an
	// id twice is harmless for whoever consumes. Where ctx has no deadline it
	// waits for the bus for at most DefaultPublishWait. ErrStopped after
	// StopAccepting, ErrTooLarge for a message beyond MaxMessageBytes; then,
	// and where a message is invalid, none of them is published. ErrFull where
	// a queue was at its limit all that time.
	Publish(ctx context.Context, ms ...Message) error

	// Consume calls the handler for each message of the target until ctx is
	// done, then lets the running handlers finish (their own context is not
	// ended by ctx; see Consumer.Grace), and returns nil. ready, where it
	// isn't nil, is called once, when messages can arrive.
	//
	// A component's queue and its topics outlive Consume: what is published
	// while no replica is there waits for the next one, but not longer than
	// its TTL: then it goes to the dead letters, as one to a component that
	// doesn't exist does, as long as anyone consumes anything.
	//
	// Messages of one session are handled one after the other, in the order in
	// which they were published, across replicas and attempts; those of
	// different sessions up to Concurrency at the same time.
	Consume(ctx context.Context, c Consumer, ready func()) error

	// Request publishes m with a fresh inbox as its ReplyTo and returns the
	// answers as they come: chunks first, the whole answer last. The stream
	// ends with the first message that isn't a chunk. Close it when done.
	//
	// Where ReplyTo names an inbox already, as InboxName does, that one is used,
	// and what comes to it is kept for minutes: whoever asks again with the same
	// message, in another process since the first one died, has it handled once
	// and gets the answer, of whose chunks some may be missing.
	Request(ctx context.Context, m Message) (Replies, error)

	// Gather keeps part under key and returns all parts that are there,
	// itself included. What is gathered expires ttl after the last call. It is
	// how a component waits for several messages without holding them in its
	// own memory; calling it again for a part it has seen changes nothing.
	Gather(ctx context.Context, key, part string, value json.RawMessage, ttl time.Duration) (map[string]json.RawMessage, error)

	// StopAccepting makes further calls of Publish and Request in this process
	// fail with ErrStopped, but for what handlers emit: their outputs, and
	// what they publish with the context that they were called with.
	StopAccepting()

	// Drain waits until nothing is queued, in flight or waiting for a retry,
	// or until ctx is done, and reports what is left per component: nothing
	// when all is drained. Running out of time isn't an error; being unable
	// to tell what is left is one.
	Drain(ctx context.Context) (map[string]int64, error)

	// Healthy returns nil, or the reason why the bus can't be used now.
	Healthy(ctx context.Context) error

	// Close ends all that the bus started in this process and waits for it:
	// running handlers finish as they do when the context of Consume is done.
	// What is queued stays where the backend keeps it. ErrClosed afterwards.
	Close() error
}

// Operator is what a person needs to look into a bus and to mend what is in it.
type Operator interface {
	// Stats tells what each component that has a queue has in it.
	Stats(ctx context.Context) (map[string]Stats, error)

	// DeadLetters returns the newest dead letters of a component, the last one
	// first, at most limit of them (100 if limit is not positive).
	DeadLetters(ctx context.Context, component string, limit int) ([]DeadLetter, error)

	// Requeue puts dead letters back on the queue of the component that they
	// were for, as if they were just published: no attempts so far, and a new
	// TTL. It returns how many it moved: an id that isn't there counts for
	// none. All of them where no id is given. Each is moved in one step: it is
	// in one place or in the other.
	Requeue(ctx context.Context, component string, ids ...string) (int, error)

	// Discard deletes dead letters; all of them where no id is given.
	Discard(ctx context.Context, component string, ids ...string) (int, error)

	// Tail calls each for every message that is published from now on to one
	// of the components, or on a topic that one of the patterns covers; for
	// all messages where both are empty. ready, where it isn't nil, is called
	// once, when nothing is missed any more. Watching changes nothing, and
	// where messages come faster than each returns, some may be left out. It
	// returns nil when ctx is done.
	Tail(ctx context.Context, w Watch, ready func(), each func(Message)) error

	// Trace returns what happened to the messages of a session, oldest first,
	// as far as the bus still remembers.
	Trace(ctx context.Context, session string) ([]Hop, error)

	// Dropped tells how many messages were published on topics that nobody
	// subscribes to. They are dropped by design.
	Dropped(ctx context.Context) (int64, error)

	// Subscribers returns the components that get what is published on a
	// topic now, in order of their names.
	Subscribers(ctx context.Context, topic string) ([]string, error)
}

// Watch says which messages to show.
type Watch struct {
	Components []string
	Topics     []string // patterns
}

// Hop is one delivery of a message to a component. Pieces of streams leave none:
// there may be many.
type Hop struct {
	Session   string    `json:"session_id"`
	Message   string    `json:"message_id"`
	Type      string    `json:"event_type,omitempty"`
	Sender    string    `json:"sender_component,omitempty"`
	Component string    `json:"component"`
	Instance  string    `json:"instance"`
	Queued    time.Time `json:"queued"` // when the bus got the message
	Began     time.Time `json:"began"`  // the handler's call
	Ended     time.Time `json:"ended"`
	Attempt   int       `json:"attempt"` // from 1 on
	Outcome   Outcome   `json:"outcome"`
	Error     string    `json:"error,omitempty"`
	Outputs   []string  `json:"outputs,omitempty"` // targets and topics; of a dead letter, who is told
}

// Outcome of one delivery.
type Outcome string

// The outcomes. Deliveries that come to nothing, since the message was handled
// before, are not hops.
const (
	Done  Outcome = "done"
	Retry Outcome = "retry" // failed, and is tried again
	Dead  Outcome = "dead"  // went to the dead letters
)

// Replies is a stream of answers to one request.
type Replies interface {
	// Next returns the next answer, io.EOF after the last one, or the
	// context's error.
	Next(ctx context.Context) (Message, error)
	Close() error
}

// Handler handles one message. What it returns in outputs is put on the bus in
// one step with the acknowledgement of m; ids of outputs that have none are
// derived from m's id, so that a message handled twice has its results on the
// bus once. An error makes the message be tried again after a delay, up to its
// MaxRetries, then it goes to the dead letters; so does a panic. An error that
// is marked Permanent or RetryAfter says otherwise.
//
// Whoever waits for the answer to a message that goes to the dead letters is
// told: the bus sends its ReplyTo a message with Error set, in the same step.
//
// A message that is delivered at most once isn't tried again: it goes to the
// dead letters with the first error.
//
// The payload may be kept, and must not be written to.
type Handler func(ctx context.Context, m Message) (outputs []Message, err error)

// Consumer describes one replica of a component that takes messages.
type Consumer struct {
	Component string   // whose queue; replicas of it compete
	Instance  string   // unique among the replicas; a new one if empty
	Topics    []string // patterns of topics that it also gets; `*` is one segment, a final `>` the rest

	Concurrency int           // messages handled at the same time; 1 if 0
	Timeout     time.Duration // of one call of the handler; none if 0
	// Grace is for running handlers once ctx is done: then their context ends
	// too, and a message whose handler fails for that goes back to the queue
	// as if it had not been tried. No end (wait for them) if 0.
	Grace   time.Duration
	Hurry   <-chan struct{} // Grace is over when it is closed; nil: it isn't cut short
	Handler Handler

	// MaxRetries and TTL, where they are not 0, hold for all messages of the
	// component in place of what the messages say; NoRetries, or a negative
	// TTL, for none.
	MaxRetries int
	TTL        time.Duration

	// QueueLimit bounds the Depth of the component's queue for whoever
	// publishes to it; no bound if 0. It holds until another consumer of the
	// component says something else, and may be passed by what is under way
	// at the same time.
	QueueLimit int
	Overflow   Overflow // Block if empty
}

// Overflow is what becomes of a message to a queue that has its limit.
type Overflow string

// The ways to deal with a full queue. What a handler returns always fits
// unless it is Divert: components that wait for each other would never end.
const (
	Block  Overflow = "block"       // Publish waits for room; ErrFull in the end
	Divert Overflow = "dead_letter" // it goes to the dead letters at once
)

// Stats of one component's queue. The counters count from the beginning of the
// bus; a rate is the difference of two looks.
type Stats struct {
	Depth    int64 `json:"depth"`     // all that is not finished, without dead letters
	InFlight int64 `json:"in_flight"` // handed to a consumer, not acknowledged
	Delayed  int64 `json:"delayed"`   // waiting for a retry
	Lag      int64 `json:"lag"`       // waiting for a consumer for the first time, or again
	Dead     int64 `json:"dead"`      // dead letters

	Oldest float64 `json:"oldest_seconds"` // age of the oldest message that is not finished

	Handled   int64 `json:"handled_total"`
	Retried   int64 `json:"retried_total"`
	Buried    int64 `json:"dead_total"`
	Consumers int   `json:"consumers"` // replicas that take messages
	Limit     int64 `json:"limit,omitempty"`
}

// DeadLetter is a message that failed for good.
type DeadLetter struct {
	ID       string    `json:"id"` // of the dead letter, unique for its component
	Message  Message   `json:"message"`
	Target   string    `json:"target"`
	Error    string    `json:"error"`
	Attempts int       `json:"attempts"`
	First    time.Time `json:"first"` // when it was first tried
	Last     time.Time `json:"last"`
}

// DefaultPublishWait is how long Publish waits for a bus that can't be reached
// or is full, where its context sets no deadline.
const DefaultPublishWait = 10 * time.Second

// MaxMessageBytes is the largest envelope a bus takes.
const MaxMessageBytes = 16 << 20

var (
	// ErrStopped is returned by Publish after StopAccepting.
	ErrStopped = errors.New("the bus is not accepting messages: the system is shutting down")
	// ErrTooLarge is returned for a message beyond MaxMessageBytes.
	ErrTooLarge = errors.New("message too large")
	// ErrFull is returned by Publish where a queue has its limit.
	ErrFull = errors.New("the queue is full")
	// ErrClosed is returned by everything after Close.
	ErrClosed = errors.New("the bus is closed")
)

// Permanent marks an error after which trying again is of no use: the message
// goes to the dead letters at once.
func Permanent(err error) error { return &permanent{err} }

type permanent struct{ error }

func (p *permanent) Unwrap() error { return p.error }

// IsPermanent reports whether err, or one that it wraps, is marked Permanent.
func IsPermanent(err error) bool {
	var p *permanent
	return errors.As(err, &p)
}
