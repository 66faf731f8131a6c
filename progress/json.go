package progress

import (
	"encoding/json"
	"io"
	"math"
	"strings"
	"sync"

	"github.com/charmbracelet/x/ansi"

	"woodwork.dev/ww/runtime/deploy"
)

// Record is an event as a line of JSON. Fields may be added; those that are
// here keep their names and meanings.
type Record struct {
	// ID is the same in all records of one step.
	ID      string `json:"id,omitempty"`
	Name    string `json:"name,omitempty"`    // of the container, image, network or volume
	Service string `json:"service,omitempty"` // or the key of a network or volume
	Phase   string `json:"phase,omitempty"`
	// Op is one of plan.Op.
	Op string `json:"op,omitempty"`
	// Status is running, info (something about a running step: text), done or
	// failed (error); or, of no step, note (text) and error (error, and in text
	// what to do about it).
	Status  string  `json:"status"`
	Elapsed float64 `json:"elapsed,omitempty"` // seconds that the step took
	Cause   string  `json:"cause,omitempty"`   // why the step is there
	Text    string  `json:"text,omitempty"`
	Error   string  `json:"error,omitempty"`
}

// The status of records that belong to no step.
const (
	StatusNote  = "note"
	StatusError = "error"
)

// JSON writes a line for each event.
type JSON struct {
	w      io.Writer
	phases Phases
	mu     sync.Mutex
}

// NewJSON writes to w.
func NewJSON(w io.Writer, phases Phases) *JSON { return &JSON{w: w, phases: phases} }

// Report implements View.
func (j *JSON) Report(ev deploy.Progress) {
	r := Record{
		ID: string(ev.Step.Op) + " " + ev.Step.Name, Name: ev.Step.Name, Service: ev.Step.Service,
		Phase: j.phases.ofStep(ev.Step), Op: string(ev.Step.Op), Status: string(ev.Status),
		Elapsed: math.Round(ev.Elapsed.Seconds()*1000) / 1000, Cause: ev.Step.Cause, Text: strings.TrimSpace(ansi.Strip(ev.Text)),
	}
	if ev.Err != nil {
		r.Error = ev.Err.Error()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	_ = WriteRecord(j.w, r) // nobody is left to tell when it is closed
}

// End implements View: all has been said.
func (j *JSON) End() {}

// WriteRecord writes a record as one line, in one write.
func WriteRecord(w io.Writer, r Record) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}
