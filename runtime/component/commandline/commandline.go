// Package commandline is the input that reads lines from the standard input of
// its container and shows the answers: a chat in the terminal, reached with an
// attach. It keeps one session.
//
// With nothing attached the input ends at once; the component then stays as it
// is, without work, until it is stopped.
//
// Settings:
//
//	timeout  how long to wait for the whole answer (default "2m")
//	prompt   what is shown to a person before each line (default "> ")
package commandline

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
)

// maxLine is the longest line in bytes.
const maxLine = 1 << 20

// Build makes a command line.
func Build(_ context.Context, env component.Env) (*component.Instance, error) {
	s := struct {
		Timeout component.Duration `json:"timeout"`
		Prompt  string             `json:"prompt"`
	}{component.Duration(2 * time.Minute), "> "}
	if err := env.Decode(&s); err != nil {
		return nil, err
	}
	if len(env.Config.To) == 0 && len(env.Config.Topics) == 0 {
		return nil, errors.New(`setting "to" is missing: name the component that gets the lines, such as to: [agent]`)
	}
	if !isTerminal(env.Stdin) {
		s.Prompt = ""
	}
	c := &chat{env: env, timeout: time.Duration(s.Timeout), prompt: s.Prompt, session: bus.NewID()}
	return &component.Instance{Run: c.run}, nil
}

func isTerminal(r io.Reader) bool {
	f, ok := r.(syscall.Conn)
	if !ok {
		return false
	}
	// Not the method Fd: it would make reads of a pipe uninterruptible.
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	is := false
	err = raw.Control(func(fd uintptr) { is = term.IsTerminal(int(fd)) })
	return err == nil && is
}

type chat struct {
	env     component.Env
	timeout time.Duration
	prompt  string
	session string
}

func (c *chat) run(ctx context.Context) error {
	if c.env.Stdin != nil {
		if err := c.lines(ctx); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}

// lines asks for each line of the input until its end or until ctx is done.
func (c *chat) lines(ctx context.Context) error {
	lines := make(chan string)
	go func() {
		defer close(lines)
		if err := c.read(ctx, lines); err != nil && ctx.Err() == nil {
			c.env.Log.Warn("standard input can't be read any more", "error", err)
		}
	}()
	// A read of a terminal can't be interrupted: then the reader ends with the
	// process, having nothing left that it could do.
	defer func() {
		if f, ok := c.env.Stdin.(interface{ SetReadDeadline(time.Time) error }); ok && f.SetReadDeadline(time.Unix(1, 0)) == nil {
			for range lines {
			}
		}
	}()
	for {
		if err := c.show(c.prompt); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case line, ok := <-lines:
			if !ok {
				return nil
			}
			if err := c.answer(ctx, line); err != nil {
				return err
			}
		}
	}
}

// read sends the lines that aren't blank.
func (c *chat) read(ctx context.Context, lines chan<- string) error {
	r := bufio.NewReader(c.env.Stdin)
	for {
		line, err := c.readLine(r)
		if line = strings.ToValidUTF8(strings.TrimSpace(line), "\uFFFD"); line != "" {
			select {
			case lines <- line:
			case <-ctx.Done():
				return nil
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read standard input: %w", err)
		}
	}
}

// readLine returns the next line, or nothing for one that is too long.
func (c *chat) readLine(r *bufio.Reader) (string, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line) <= maxLine {
			line = append(line, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if len(line) > maxLine {
			c.env.Log.Warn("a line was too long and is ignored", "max_bytes", maxLine)
			line = nil
		}
		return string(line), err
	}
}

// answer asks and shows what comes; only a failure to show is an error.
func (c *chat) answer(ctx context.Context, line string) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	replies, err := c.env.Ask(ctx, component.Submission{Session: c.session, Payload: component.JSONString(line)})
	if err != nil {
		return c.complain(ctx, err)
	}
	defer func() { _ = replies.Close() }()
	streamed := ""
	for {
		m, err := replies.Next(ctx)
		if err == nil && m.Error != "" {
			err = errors.New(m.Error)
		}
		if err != nil {
			if streamed != "" {
				_ = c.show("\n")
			}
			return c.complain(ctx, err)
		}
		if text := component.Text(m.Payload); m.Chunk() {
			streamed += text
			err = c.show(text)
		} else {
			return c.show(rest(streamed, text) + "\n")
		}
		if err != nil {
			return err
		}
	}
}

// rest is what is still to be shown of a whole answer after its pieces.
func rest(streamed, whole string) string {
	if tail, ok := strings.CutPrefix(whole, streamed); ok {
		return tail
	}
	return "\n" + whole
}

func (c *chat) complain(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil // the component stops; so does the terminal
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("no answer within %s", c.timeout)
	}
	return c.show("error: " + err.Error() + "\n")
}

func (c *chat) show(text string) error {
	if _, err := io.WriteString(c.env.Stdout, component.Harmless(text)); err != nil {
		return fmt.Errorf("write to the terminal: %w", err)
	}
	return nil
}
