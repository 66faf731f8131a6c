package enginetest

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
)

// proxy passes calls on to an engine at a unix socket, streams and terminals
// included.
func proxy(socket string) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			to, err := url.ParseRequestURI(r.In.RequestURI) // with the version of the API
			if err != nil {
				return // there is no such request: it has been parsed before
			}
			to.Scheme, to.Host = "http", "engine"
			r.Out.URL = to
		},
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}},
		ModifyResponse: func(r *http.Response) error {
			if r.Request.Context().Value(lostKey{}) == nil {
				return nil
			}
			_ = r.Body.Close()
			panic(http.ErrAbortHandler) // the answer is kept from whoever called
		},
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0),
	}
}

// lostKey marks the context of a call whose answer is to get lost.
type lostKey struct{}

func (e *Engine) forward(w http.ResponseWriter, r *http.Request) (reply, error) {
	e.behind.ServeHTTP(w, r)
	return streamed, nil
}
