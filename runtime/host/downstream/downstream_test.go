package downstream_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/trace"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/host/downstream"
)

// outside is what is called: it does what the test says.
type outside func(*http.Request) (*http.Response, error)

func (f outside) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, body io.Reader, header ...string) (*http.Response, error) {
	res := &http.Response{StatusCode: status, Status: http.StatusText(status), Header: http.Header{}, Body: io.NopCloser(body)}
	for i := 0; i < len(header); i += 2 {
		res.Header.Set(header[i], header[i+1])
	}
	return res, nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// call returns the error of one call, its body included.
func call(ctx context.Context, t *downstream.Transport, host string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+host+"/x", strings.NewReader("{}"))
	if err != nil {
		return err
	}
	res, err := t.RoundTrip(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, res.Body)
	return errors.Join(err, res.Body.Close())
}

func isOpen(err error) bool {
	var open *downstream.OpenError
	return errors.As(err, &open)
}

// TestCircuit goes through all states of one host while another is well.
func TestCircuit(t *testing.T) {
	for name, failure := range map[string]func() (*http.Response, error){
		"no connection": func() (*http.Response, error) { return nil, errors.New("connection refused") },
		"status":        func() (*http.Response, error) { return answer(503, strings.NewReader("no")) },
		"body":          func() (*http.Response, error) { return answer(200, broken{}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls, well := 0, false
				tr := downstream.New(outside(func(r *http.Request) (*http.Response, error) {
					if r.URL.Host == "well" {
						return answer(200, strings.NewReader("yes"))
					}
					calls++
					if well {
						return answer(200, strings.NewReader("yes"))
					}
					return failure()
				}), slog.New(slog.DiscardHandler))
				for i := range 5 {
					if err := call(t.Context(), tr, "ill"); isOpen(err) {
						t.Fatalf("open after %d failures: %v", i, err)
					}
				}
				err := call(t.Context(), tr, "ill")
				var open *downstream.OpenError
				if !errors.As(err, &open) || calls != 5 || time.Until(open.Until) != 5*time.Second || open.Cause == nil ||
					!strings.HasPrefix(err.Error(), "ill is not called until 00:00:05.000Z: ") {
					t.Fatalf("after 5 failures: %d calls, %v", calls, err)
				}
				if d, ok := bus.RetryDelay(err); !ok || d < 5*time.Second || d > 7*time.Second {
					t.Errorf("its message comes again after %s, %v", d, ok)
				}
				if err := call(t.Context(), tr, "well"); err != nil {
					t.Errorf("another host: %v", err)
				}
				if now := tr.Open(); !now["ill"] || now["well"] {
					t.Errorf("open: %v", now)
				}
				time.Sleep(5*time.Second + time.Millisecond) // virtual
				if err := call(t.Context(), tr, "ill"); isOpen(err) || calls != 6 {
					t.Errorf("no probe: %d calls, %v", calls, err)
				}
				if err := call(t.Context(), tr, "ill"); !isOpen(err) || calls != 6 {
					t.Errorf("the probe failed: %d calls, %v", calls, err)
				}
				time.Sleep(5*time.Second + time.Millisecond)
				well = true
				for range 10 {
					if err := call(t.Context(), tr, "ill"); err != nil {
						t.Errorf("it is back: %v", err)
					}
				}
				if now := tr.Open(); now["ill"] {
					t.Errorf("open: %v", now)
				}
			})
		})
	}
}

// TestOneProbe: while one call finds out, others don't wait for it.
func TestOneProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		probing, release := false, make(chan struct{})
		tr := downstream.New(outside(func(*http.Request) (*http.Response, error) {
			if probing {
				<-release
				return answer(200, strings.NewReader("yes"))
			}
			return nil, errors.New("down")
		}), slog.New(slog.DiscardHandler))
		for range 5 {
			_ = call(t.Context(), tr, "ill")
		}
		time.Sleep(6 * time.Second)
		probing = true
		done := make(chan error, 1)
		go func() { done <- call(t.Context(), tr, "ill") }()
		synctest.Wait()
		if err := call(t.Context(), tr, "ill"); !isOpen(err) || !strings.Contains(err.Error(), "down") {
			t.Errorf("beside the probe: %v", err)
		}
		close(release)
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := call(t.Context(), tr, "ill"); err != nil {
			t.Errorf("after the probe: %v", err)
		}
	})
}

func TestWhatIsNoFailure(t *testing.T) {
	for name, result := range map[string]func() (*http.Response, error){
		"given up":   func() (*http.Response, error) { return nil, context.Canceled },
		"my mistake": func() (*http.Response, error) { return answer(400, strings.NewReader("no")) },
		"empty":      func() (*http.Response, error) { return answer(204, http.NoBody) },
	} {
		tr := downstream.New(outside(func(*http.Request) (*http.Response, error) { return result() }), slog.New(slog.DiscardHandler))
		for range 20 {
			if err := call(t.Context(), tr, "h"); isOpen(err) {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
}

func TestRetryAfter(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"7": 7 * time.Second, "86400": time.Minute, "99999999999999999999": 0, "Sat, 01 Jan 2000 00:00:20 GMT": 20 * time.Second,
		"Sat, 01 Jan 1999 00:00:20 GMT": 0, "-3": 0, "soon": 0, "": 0,
	} {
		synctest.Test(t, func(t *testing.T) {
			tr := downstream.New(outside(func(*http.Request) (*http.Response, error) {
				return answer(429, strings.NewReader(""), "Retry-After", text)
			}), slog.New(slog.DiscardHandler))
			if err := call(t.Context(), tr, "h"); err != nil {
				t.Fatal(err)
			}
			err := call(t.Context(), tr, "h")
			var open *downstream.OpenError
			if errors.As(err, &open) != (want > 0) || open != nil && time.Until(open.Until) != want {
				t.Errorf("Retry-After %q: %v", text, err)
			}
			time.Sleep(want)
			if err := call(t.Context(), tr, "h"); isOpen(err) {
				t.Errorf("Retry-After %q, when it is over: %v", text, err)
			}
		})
	}
}

func TestTraceIsHandedOn(t *testing.T) {
	got := ""
	tr := downstream.New(outside(func(r *http.Request) (*http.Response, error) {
		got = r.Header.Get("Traceparent")
		return answer(200, http.NoBody)
	}), slog.New(slog.DiscardHandler))
	if err := call(t.Context(), tr, "h"); err != nil || got != "" {
		t.Errorf("without a trace: %q, %v", got, err)
	}
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
	if err := call(trace.ContextWithSpanContext(t.Context(), span), tr, "h"); err != nil || got != "00-01000000000000000000000000000000-0200000000000000-01" {
		t.Errorf("got %q, %v", got, err)
	}
}
