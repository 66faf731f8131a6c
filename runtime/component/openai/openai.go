// Package openai is the language model behind an API that speaks OpenAI's chat
// completions, of OpenAI or of anyone else (base_url). A payload is what the
// user says, a string as it is and anything else as JSON; the result is the
// model's answer as a string, streamed piece by piece.
//
// What was said in a session is kept in memory: it ends with the process.
//
// Settings:
//
//	model        required
//	api_key      a secret; may be absent where base_url is set
//	base_url     default "https://api.openai.com/v1"
//	system       the system prompt
//	temperature  default: that of the model
//	max_tokens   of one answer; default: that of the model
//	timeout      of one answer (default "120s")
//	history      messages of a session that the model sees again (default 20)
package openai

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
)

const (
	openAI      = "https://api.openai.com/v1"
	maxSessions = 1000
	noKey       = "none" // the client insists on one, where the server doesn't
)

type settings struct {
	Model       string             `json:"model"`
	APIKey      string             `json:"api_key"`
	BaseURL     string             `json:"base_url"`
	System      string             `json:"system"`
	Temperature *float64           `json:"temperature"`
	MaxTokens   *int64             `json:"max_tokens"`
	Timeout     component.Duration `json:"timeout"`
	History     int                `json:"history"`
}

// Build makes a language model.
func Build(_ context.Context, env component.Env) (*component.Instance, error) {
	s := settings{BaseURL: openAI, Timeout: component.Duration(2 * time.Minute), History: 20}
	if err := env.Decode(&s); err != nil {
		return nil, err
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	m := &model{
		settings: s,
		log:      env.Log,
		history:  newHistory(s.History, maxSessions),
		// The service and not openai.NewClient, which reads OPENAI_* variables:
		// what a component does is in its settings. Retries are the bus's.
		chat: openai.NewChatCompletionService(
			option.WithBaseURL(s.BaseURL),
			option.WithAPIKey(s.APIKey),
			option.WithHTTPClient(&http.Client{Transport: transport}),
			option.WithMaxRetries(0),
		),
	}
	return &component.Instance{
		Handle: m.handle,
		Close:  func() error { transport.CloseIdleConnections(); return nil },
	}, nil
}

func (s *settings) check() error {
	s.BaseURL = strings.TrimRight(s.BaseURL, "/")
	u, err := url.Parse(s.BaseURL)
	switch {
	case s.Model == "":
		return errors.New(`setting "model" is missing: name the model, such as model: "gpt-5-mini"`)
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return errors.New(`setting "base_url": want a URL such as "https://api.openai.com/v1"`)
	case s.APIKey == "" && s.BaseURL == openAI:
		return errors.New(`setting "api_key" is missing: write api_key: $OPENAI_API_KEY and set that variable`)
	case s.History < 0:
		return errors.New(`setting "history": want a number of messages from 0`)
	case s.MaxTokens != nil && *s.MaxTokens < 1:
		return errors.New(`setting "max_tokens": want a number from 1`)
	}
	if s.APIKey == "" {
		s.APIKey = noKey
	}
	return nil
}

type model struct {
	settings
	log     *slog.Logger
	history *history
	chat    openai.ChatCompletionService
}

func (l *model) handle(ctx context.Context, m bus.Message, out component.Out) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(l.Timeout))
	defer cancel()
	said := component.Text(m.Payload)
	text, err := l.complete(ctx, l.history.of(m.SessionID), said, out)
	if err != nil {
		return nil, err
	}
	l.history.add(m.SessionID, turn{user: said, model: text})
	return component.JSONString(text), nil
}

// complete streams one answer and returns the whole of it.
func (l *model) complete(ctx context.Context, past []turn, said string, out component.Out) (string, error) {
	stream := l.chat.NewStreaming(ctx, l.params(past, said))
	defer func() { _ = stream.Close() }()
	var answer strings.Builder
	finish := ""
	for stream.Next() {
		chunk := stream.Current()
		if len(chunk.Choices) == 0 {
			continue
		}
		choice := chunk.Choices[0]
		if choice.FinishReason != "" {
			finish = choice.FinishReason
		}
		piece := choice.Delta.Content + choice.Delta.Refusal
		if piece == "" {
			continue
		}
		if answer.Len()+len(piece) > bus.MaxMessageBytes {
			return "", bus.Permanent(errors.New("the answer of the model is too large"))
		}
		answer.WriteString(piece)
		if err := out.Chunk(ctx, component.JSONString(piece)); err != nil {
			return "", err
		}
	}
	if err := stream.Err(); err != nil {
		return "", l.explain(ctx, err)
	}
	switch finish {
	case "":
		return "", errors.New("the model's answer broke off: the connection ended early")
	case "length", "content_filter":
		l.log.Warn("the model's answer is not complete", "reason", finish)
	}
	return answer.String(), nil
}

func (l *model) params(past []turn, said string) openai.ChatCompletionNewParams {
	p := openai.ChatCompletionNewParams{Model: l.Model}
	if l.System != "" {
		p.Messages = append(p.Messages, openai.SystemMessage(l.System))
	}
	for _, t := range past {
		p.Messages = append(p.Messages, openai.UserMessage(t.user), openai.AssistantMessage(t.model))
	}
	p.Messages = append(p.Messages, openai.UserMessage(said))
	if l.Temperature != nil {
		p.Temperature = openai.Float(*l.Temperature)
	}
	if l.MaxTokens != nil {
		// OpenAI's newer models refuse the old name, others know only that one.
		if l.BaseURL == openAI {
			p.MaxCompletionTokens = openai.Int(*l.MaxTokens)
		} else {
			p.MaxTokens = openai.Int(*l.MaxTokens)
		}
	}
	return p
}

// explain makes an error that says what to do, is permanent where trying again
// is of no use, and has nothing of the key in it.
func (l *model) explain(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("the model gave no answer within %s", time.Duration(l.Timeout))
	}
	var api *openai.Error
	if !errors.As(err, &api) {
		return errors.New(l.clean("ask the model at " + l.BaseURL + ": " + err.Error()))
	}
	status := fmt.Sprintf("the model API answered %d %s", api.StatusCode, http.StatusText(api.StatusCode))
	detail := ""
	if api.Message != "" {
		detail = l.clean(": " + api.Message)
	}
	switch api.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		// The detail may quote a part of the key.
		return bus.Permanent(fmt.Errorf(`%s: check the setting "api_key" and what it may do`, status))
	case http.StatusNotFound:
		return bus.Permanent(fmt.Errorf(`%s: check the settings "model" (%s) and "base_url" (%s)%s`, status, l.Model, l.BaseURL, detail))
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return bus.Permanent(errors.New(status + detail))
	}
	return errors.New(status + detail)
}

func (l *model) clean(text string) string {
	if l.APIKey != noKey {
		text = strings.ReplaceAll(text, l.APIKey, "[redacted]")
	}
	const most = 500
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
