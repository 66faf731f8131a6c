package dockerx

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/containerd/errdefs/pkg/errhttp"
	"github.com/docker/docker/client"
)

// request makes a request to the negotiated API, for the few calls where the
// client hides what is needed: the moment at which a stream begins, and what
// the engine says when it refuses to hand a connection over.
func request(ctx context.Context, c *client.Client, method, path string, query url.Values, body any) (*http.Request, error) {
	host := strings.TrimPrefix(c.DaemonHost(), authorityScheme)
	u := url.URL{Scheme: "http", Host: host, Path: "/v" + c.ClientVersion() + path, RawQuery: query.Encode()}
	var content io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), content)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// stream is a hijacked connection: both directions, until one side closes it.
type stream struct {
	net.Conn
	r    *bufio.Reader
	stop func() bool
}

func (s *stream) Read(p []byte) (int, error) { return s.r.Read(p) }

func (s *stream) Close() error {
	s.stop()
	return s.Conn.Close()
}

// CloseWrite tells the other side that no more input comes.
func (s *stream) CloseWrite() error {
	if w, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// hijack makes a request whose connection becomes a stream. The stream is
// closed when ctx is done, whatever reads or writes it then.
func (e *Engine) hijack(ctx context.Context, c *client.Client, path string, query url.Values, body any) (*stream, error) {
	req, err := request(ctx, c, http.MethodPost, path, query, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "tcp")
	conn, err := e.transport.DialContext(ctx, "", "")
	if err != nil {
		return nil, err
	}
	s := &stream{Conn: conn, r: bufio.NewReader(conn)}
	s.stop = context.AfterFunc(ctx, func() { _ = conn.Close() })
	if err := s.upgrade(req); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

func (s *stream) upgrade(req *http.Request) error {
	if err := req.Write(s.Conn); err != nil {
		return err
	}
	resp, err := http.ReadResponse(s.r, req)
	if err != nil {
		return err
	}
	// Engines before 1.20 of the API answered 200 and switched all the same.
	if resp.StatusCode == http.StatusSwitchingProtocols || resp.StatusCode == http.StatusOK {
		return nil
	}
	defer func() { _ = resp.Body.Close() }()
	return responseError(resp)
}

// responseError makes an error of a response that isn't a success, with the
// meaning of its status code.
func responseError(resp *http.Response) error {
	data, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return err
	}
	var answer struct{ Message string }
	if json.Unmarshal(data, &answer) != nil || answer.Message == "" {
		answer.Message = fmt.Sprintf("the engine answered %s", resp.Status)
	}
	native := errhttp.ToNative(resp.StatusCode)
	if native == nil {
		return errors.New(answer.Message)
	}
	return &statusError{answer.Message, native}
}

type statusError struct {
	msg    string
	native error
}

func (e *statusError) Error() string { return e.msg }
func (e *statusError) Unwrap() error { return e.native }
