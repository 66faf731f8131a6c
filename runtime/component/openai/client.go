package openai

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"woodwork.dev/ww/runtime/bus"
)

// maxErrorBytes is how much of an error's body is read.
const maxErrorBytes = 64 << 10

// message is one thing that was said.
type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// request is the body of a streamed chat completion.
type request struct {
	Model       string    `json:"model"`
	Messages    []message `json:"messages"`
	Stream      bool      `json:"stream"`
	Temperature *float64  `json:"temperature,omitempty"`
	MaxTokens   *int64    `json:"max_tokens,omitempty"`

	// The name of MaxTokens for OpenAI's newer models.
	MaxCompletionTokens *int64 `json:"max_completion_tokens,omitempty"`
}

// event is one event of the answer.
type event struct {
	Choices []struct {
		Delta struct {
			Content string `json:"content"`
			Refusal string `json:"refusal"`
		} `json:"delta"`
		FinishReason string `json:"finish_reason"`
	} `json:"choices"`
	Error json.RawMessage `json:"error"`
}

// apiError is an answer that says no.
type apiError struct {
	status int // 0 where it came in the middle of the answer
	detail string
}

func (e *apiError) Error() string {
	if e.status == 0 {
		return "the model API broke off: " + e.detail
	}
	text := fmt.Sprintf("the model API answered %d %s", e.status, http.StatusText(e.status))
	if e.detail != "" {
		text += ": " + e.detail
	}
	return text
}

// stream asks for one answer, calls each with every piece of it, and returns
// why the model ended. It asks once: trying again is the bus's.
func (l *model) stream(ctx context.Context, r request, each func(string) error) (finish string, err error) {
	r.Stream = true
	body, err := json.Marshal(r)
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.BaseURL+"/chat/completions", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "text/event-stream")
	if l.APIKey != "" {
		req.Header.Set("Authorization", "Bearer "+l.APIKey)
	}
	res, err := l.client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, maxErrorBytes)) // what there is of it
		return "", &apiError{res.StatusCode, errorDetail(text)}
	}
	return pieces(res.Body, each)
}

// pieces reads server-sent events up to the last one.
func pieces(r io.Reader, each func(string) error) (finish string, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, bus.MaxMessageBytes)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data:")
		if data = strings.TrimSpace(data); !ok || data == "" {
			continue
		}
		if data == "[DONE]" {
			break
		}
		var e event
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return "", fmt.Errorf("an event of the model's answer is not JSON: %w", err)
		}
		if len(e.Error) > 0 && string(e.Error) != "null" {
			return "", &apiError{0, errorDetail([]byte(data))}
		}
		if len(e.Choices) == 0 {
			continue
		}
		c := e.Choices[0]
		if c.FinishReason != "" {
			finish = c.FinishReason
		}
		if piece := c.Delta.Content + c.Delta.Refusal; piece != "" {
			if err := each(piece); err != nil {
				return "", err
			}
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return "", errTooLarge
	}
	if finish == "" && lines.Err() == nil {
		return "", errors.New("the model's answer broke off: the connection ended early")
	}
	return finish, lines.Err()
}

// errorDetail is what a body {"error": {"message": "…"}} or {"error": "…"}
// says.
func errorDetail(body []byte) string {
	var b struct {
		Error json.RawMessage `json:"error"`
	}
	if json.Unmarshal(body, &b) != nil {
		return ""
	}
	var long struct {
		Message string `json:"message"`
	}
	var short string
	if json.Unmarshal(b.Error, &long) == nil && long.Message != "" {
		return long.Message
	}
	if json.Unmarshal(b.Error, &short) == nil {
		return short
	}
	return ""
}
