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
	"sync"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
)

const (
	openAI      = "https://api.openai.com/v1"
	maxSessions = 1000
)

var errTooLarge = bus.Permanent(errors.New("the answer of the model is too large"))

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
	return &component.Instance{
		Handle: (&model{
			settings: s,
			log:      env.Log,
			history:  newHistory(s.History, maxSessions),
			client:   http.Client{Transport: env.Transport},
		}).handle,
		Timed:        true,
		Capabilities: []string{"chat", "stream", "model:" + s.Model},
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
	return nil
}

type model struct {
	settings
	log     *slog.Logger
	history *history
	client  http.Client
}

func (l *model) handle(ctx context.Context, m bus.Message, out component.Out) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(l.Timeout))
	defer cancel()
	said := component.Text(m.Payload)
	text, err := l.complete(ctx, l.request(l.history.of(m.SessionID), said), out)
	if err != nil {
		return nil, err
	}
	l.history.add(m.SessionID, turn{user: said, model: text})
	return component.JSONString(text), nil
}

// complete streams one answer and returns the whole of it.
func (l *model) complete(ctx context.Context, r request, out component.Out) (string, error) {
	reading, stop := context.WithCancel(ctx)
	come := make(chan string)
	var finish string
	var broken error
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(come)
		finish, broken = l.stream(reading, r, func(piece string) error {
			select {
			case come <- piece:
				return nil
			case <-reading.Done():
				return reading.Err()
			}
		})
	})
	answer, err := relay(come, func(text string) error { return out.Chunk(ctx, component.JSONString(text)) })
	stop()
	reader.Wait()
	switch {
	case err != nil && ctx.Err() == nil:
		return "", err
	case err != nil:
		return "", l.explain(ctx, err)
	case broken != nil:
		return "", l.explain(ctx, broken)
	case finish == "length" || finish == "content_filter":
		l.log.WarnContext(ctx, "the model's answer is not complete", "reason", finish)
	}
	return answer, nil
}

func (l *model) request(past []turn, said string) request {
	r := request{Model: l.Model, Temperature: l.Temperature}
	if l.System != "" {
		r.Messages = append(r.Messages, message{"system", l.System})
	}
	for _, t := range past {
		r.Messages = append(r.Messages, message{"user", t.user}, message{"assistant", t.model})
	}
	r.Messages = append(r.Messages, message{"user", said})
	// OpenAI's newer models refuse the old name, others know only that one.
	if l.BaseURL == openAI {
		r.MaxCompletionTokens = l.MaxTokens
	} else {
		r.MaxTokens = l.MaxTokens
	}
	return r
}

// explain makes an error that says what to do, is permanent where trying again
// is of no use, and has nothing of the key in it.
func (l *model) explain(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("the model gave no answer within %s", time.Duration(l.Timeout))
	}
	var api *apiError
	if !errors.As(err, &api) {
		var call *url.Error
		if errors.As(err, &call) {
			err = call.Err // the rest of it is said here
		}
		failed := errors.New(l.clean("ask the model at " + l.BaseURL + ": " + err.Error()))
		if bus.IsPermanent(err) {
			return bus.Permanent(failed)
		}
		if d, ok := bus.RetryDelay(err); ok {
			return bus.RetryAfter(d, failed)
		}
		return failed
	}
	switch api.status {
	case http.StatusUnauthorized, http.StatusForbidden:
		// The detail may quote a part of the key.
		api = &apiError{status: api.status}
		return bus.Permanent(fmt.Errorf(`%w: check the setting "api_key" and what it may do`, api))
	case http.StatusNotFound:
		detail := ""
		if api.detail != "" {
			detail = l.clean(": " + api.detail)
		}
		api = &apiError{status: api.status}
		return bus.Permanent(fmt.Errorf(`%w: check the settings "model" (%s) and "base_url" (%s)%s`, api, l.Model, l.BaseURL, detail))
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return bus.Permanent(errors.New(l.clean(api.Error())))
	}
	return errors.New(l.clean(api.Error()))
}

func (l *model) clean(text string) string {
	if l.APIKey != "" {
		text = strings.ReplaceAll(text, l.APIKey, "[redacted]")
	}
	const most = 500
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
