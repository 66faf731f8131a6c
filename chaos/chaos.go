// Package chaos is how it is proved that nothing is lost: numbered messages go
// through a system whose parts are killed, cut off and replaced, each step of
// each number is recorded by whoever does it, and the records are counted.
//
// The programs are in the folder peer, the faults in the tests of cmd/ww.
package chaos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"
)

// Number is the payload of a message: one of its session's, from 1 on.
type Number struct {
	Session string `json:"s"`
	N       int    `json:"n"`
}

// Event is what became of a number.
type Event string

// What is recorded, in the order in which it happens where all goes well.
const (
	Called       Event = "called"       // it is about to be sent
	Acknowledged Event = "acknowledged" // its sender was told that it is taken
	Unknown      Event = "unknown"      // its sender was told nothing, or of an error
	Logged       Event = "logged"       // the sink has handled it, and has that on its disk
	Collected    Event = "collected"    // it came out at the end
)

// Record is one thing that happened to a number.
type Record struct {
	Number
	Event Event     `json:"event"`
	At    time.Time `json:"at"`
	ID    string    `json:"id,omitempty"` // of the message that carried it
	Tries int       `json:"tries,omitempty"`
	Error string    `json:"error,omitempty"`
}

// Journal is a file of records that is only ever appended to.
type Journal struct {
	mu   sync.Mutex
	file *os.File
}

// OpenJournal opens the file, and makes it where there is none.
func OpenJournal(path string) (*Journal, error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return &Journal{file: f}, nil
}

// Append writes records, all at once. They begin a line of their own, whatever
// a writer that was killed has left behind.
func (j *Journal) Append(records ...Record) error {
	text := []byte("\n")
	for _, r := range records {
		line, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		text = append(append(text, line...), '\n')
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := j.file.Write(text); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// Sync returns when what was appended is on the disk.
func (j *Journal) Sync() error { return j.file.Sync() }

// Close closes the file.
func (j *Journal) Close() error { return j.file.Close() }

// ReadJournal returns the records of a file; none where there is no file. A
// line that a killed writer has left unfinished says nothing and is left out.
func ReadJournal(path string) ([]Record, error) {
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("journal: %w", err)
	}
	var all []Record
	for line := range bytes.Lines(text) {
		var r Record
		if json.Unmarshal(line, &r) == nil {
			all = append(all, r)
		}
	}
	return all, nil
}
