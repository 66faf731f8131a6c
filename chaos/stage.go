package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// line is what a program of the exec kind reads and writes in its mode lines.
type line struct {
	ID      string `json:"id"`
	Payload Number `json:"payload"`
}

// Relay answers every line with what was in it, after the time that its work
// takes; several at the same time.
func Relay(in io.Reader, out io.Writer, work time.Duration) error {
	var mu sync.Mutex
	var all sync.WaitGroup
	defer all.Wait()
	enc := json.NewEncoder(out)
	return eachLine(in, func(l line) {
		all.Go(func() {
			<-time.After(work)
			mu.Lock()
			defer mu.Unlock()
			_ = enc.Encode(l) // who doesn't read it is gone
		})
	})
}

// Sink answers every line once it is on the disk, several with one fsync.
func Sink(in io.Reader, out io.Writer, path string) error {
	journal, err := OpenJournal(path)
	if err != nil {
		return err
	}
	lines := make(chan line, 256)
	failed := make(chan error, 1)
	go func() { failed <- sink(lines, out, journal) }()
	err = eachLine(in, func(l line) { lines <- l })
	close(lines)
	if sinkErr := <-failed; sinkErr != nil {
		return sinkErr
	}
	return err
}

func sink(lines <-chan line, out io.Writer, journal *Journal) error {
	enc := json.NewEncoder(out)
	var failure error
	for l := range lines {
		batch := []line{l}
		for len(lines) > 0 {
			batch = append(batch, <-lines)
		}
		if failure != nil {
			continue // whoever sends must not wait for ever
		}
		records := make([]Record, len(batch))
		for i, l := range batch {
			records[i] = Record{Number: l.Payload, Event: Logged, At: time.Now()}
		}
		if failure = journal.Append(records...); failure == nil {
			failure = journal.Sync()
		}
		for i := 0; failure == nil && i < len(batch); i++ {
			failure = enc.Encode(batch[i])
		}
	}
	if err := journal.Close(); failure == nil {
		failure = err
	}
	return failure
}

func eachLine(in io.Reader, f func(line)) error {
	sc := bufio.NewScanner(in)
	for sc.Scan() {
		var l line
		if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
			return fmt.Errorf("read a line: %w", err)
		}
		f(l)
	}
	return sc.Err()
}

// Churn keeps the disk of a folder busy until ctx is done: it writes a file
// and syncs it, again and again.
func Churn(ctx context.Context, dir string) error {
	f, err := os.CreateTemp(dir, "churn-")
	if err != nil {
		return err
	}
	defer func() {
		_ = f.Close()
		_ = os.Remove(f.Name())
	}()
	block := make([]byte, 4<<20)
	for ctx.Err() == nil {
		if _, err := f.WriteAt(block, 0); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
	}
	return nil
}
