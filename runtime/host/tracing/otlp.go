package tracing

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/encoding/protowire"

	"woodwork.dev/ww/runtime/bus"
)

// collector sends spans by OTLP over HTTP. The project's own exporter brings
// gRPC and its gateway along, 2.4 MB in every component's image; what is needed
// of it is here. As there, OTEL_EXPORTER_OTLP_HEADERS, _CERTIFICATE and
// _COMPRESSION are honoured, and those with TRACES_ in their names before them.
type collector struct {
	url     string
	headers http.Header
	gzip    bool
	client  http.Client
}

func newCollector(endpoint string) (*collector, error) {
	setting := func(name string) string {
		return cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_"+name), os.Getenv("OTEL_EXPORTER_OTLP_"+name))
	}
	c := &collector{url: endpoint, headers: http.Header{}, gzip: setting("COMPRESSION") == "gzip"}
	if u, err := url.Parse(endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("the endpoint of OTLP is no URL: write one such as http://collector:4318")
	}
	for pair := range strings.SplitSeq(setting("HEADERS"), ",") {
		if name, value, ok := strings.Cut(pair, "="); ok {
			text, err := url.PathUnescape(strings.TrimSpace(value))
			if err != nil {
				return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_HEADERS: %s isn't percent-encoded", strings.TrimSpace(name))
			}
			c.headers.Set(strings.TrimSpace(name), text)
		}
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute}
	if file := setting("CERTIFICATE"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_CERTIFICATE: %w", err)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool()}
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_CERTIFICATE: %s has no certificate", file)
		}
	}
	c.client.Transport = transport
	return c, nil
}

// ExportSpans implements sdktrace.SpanExporter. What the collector can't take
// now is sent again until ctx is done.
func (c *collector) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if len(spans) == 0 {
		return nil
	}
	body := encodeSpans(spans)
	if c.gzip {
		var small bytes.Buffer
		w := gzip.NewWriter(&small)
		_, err := w.Write(body)
		if err := errors.Join(err, w.Close()); err != nil {
			return err
		}
		body = small.Bytes()
	}
	delay := bus.Backoff{Min: 500 * time.Millisecond, Max: 5 * time.Second}
	for n := 1; ; n++ {
		wait, err := c.post(ctx, body)
		if err == nil || wait < 0 {
			return err
		}
		timer := time.NewTimer(max(wait, delay.Delay(n)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}

// Shutdown implements sdktrace.SpanExporter.
func (c *collector) Shutdown(context.Context) error {
	c.client.CloseIdleConnections()
	return nil
}

// post sends a batch once. After an error, again is how long to wait at least
// before another attempt; negative where that is of no use.
func (c *collector) post(ctx context.Context, body []byte) (again time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return -1, err
	}
	req.Header = c.headers.Clone()
	req.Header.Set("Content-Type", "application/x-protobuf")
	if c.gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	res, err := c.client.Do(req)
	if err != nil {
		return 0, err
	}
	_, _ = io.CopyN(io.Discard, res.Body, 64<<10) // so that the connection can be used again
	_ = res.Body.Close()
	if res.StatusCode/100 == 2 {
		return 0, nil
	}
	err = fmt.Errorf("the collector at %s answers %s", req.URL.Host, res.Status)
	switch res.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		seconds, _ := strconv.Atoi(res.Header.Get("Retry-After")) // 0 if it names none
		return time.Duration(seconds) * time.Second, err
	}
	return -1, err
}

// fields is a message of the protocol: fields are appended to it.
type fields []byte

func (p *fields) bytes(field protowire.Number, b []byte) {
	if len(b) > 0 {
		*p = protowire.AppendBytes(protowire.AppendTag(*p, field, protowire.BytesType), b)
	}
}

func (p *fields) text(field protowire.Number, s string) { p.bytes(field, []byte(s)) }

func (p *fields) number(field protowire.Number, n uint64) {
	*p = protowire.AppendVarint(protowire.AppendTag(*p, field, protowire.VarintType), n)
}

func (p *fields) fixed(field protowire.Number, n uint64) {
	*p = protowire.AppendFixed64(protowire.AppendTag(*p, field, protowire.Fixed64Type), n)
}

func (p *fields) time(field protowire.Number, t time.Time) {
	p.fixed(field, uint64(max(t.UnixNano(), 0)))
}

func (p *fields) message(field protowire.Number, build func(*fields)) {
	var inner fields
	build(&inner)
	*p = protowire.AppendBytes(protowire.AppendTag(*p, field, protowire.BytesType), inner)
}

// encodeSpans is an ExportTraceServiceRequest. All spans are of one resource and
// one scope: a Tracer makes them.
func encodeSpans(spans []sdktrace.ReadOnlySpan) []byte {
	var request fields
	request.message(1, func(rs *fields) {
		rs.message(1, func(r *fields) { r.attributes(1, spans[0].Resource().Attributes()) })
		rs.message(2, func(ss *fields) {
			ss.message(1, func(scope *fields) {
				scope.text(1, spans[0].InstrumentationScope().Name)
				scope.text(2, spans[0].InstrumentationScope().Version)
			})
			for _, s := range spans {
				ss.message(2, func(p *fields) { p.span(s) })
			}
		})
		rs.text(3, spans[0].Resource().SchemaURL())
	})
	return request
}

func (p *fields) span(s sdktrace.ReadOnlySpan) {
	at, parent := s.SpanContext(), s.Parent()
	trace, id := at.TraceID(), at.SpanID()
	p.bytes(1, trace[:])
	p.bytes(2, id[:])
	p.text(3, at.TraceState().String())
	if parent.SpanID().IsValid() {
		id := parent.SpanID()
		p.bytes(4, id[:])
	}
	p.text(5, s.Name())
	p.number(6, kindOf(s.SpanKind()))
	p.time(7, s.StartTime())
	p.time(8, s.EndTime())
	p.attributes(9, s.Attributes())
	for _, e := range s.Events() {
		p.message(11, func(p *fields) {
			p.time(1, e.Time)
			p.text(2, e.Name)
			p.attributes(3, e.Attributes)
		})
	}
	p.message(15, func(p *fields) {
		p.text(2, s.Status().Description)
		switch s.Status().Code {
		case codes.Ok:
			p.number(3, 1)
		case codes.Error:
			p.number(3, 2)
		}
	})
}

// kindOf is the protocol's number: it has them in another order.
func kindOf(k trace.SpanKind) uint64 {
	switch k {
	case trace.SpanKindServer:
		return 2
	case trace.SpanKindClient:
		return 3
	case trace.SpanKindProducer:
		return 4
	case trace.SpanKindConsumer:
		return 5
	}
	return 1
}

func (p *fields) attributes(field protowire.Number, all []attribute.KeyValue) {
	for _, a := range all {
		p.message(field, func(p *fields) {
			p.text(1, string(a.Key))
			p.message(2, func(p *fields) {
				switch a.Value.Type() {
				case attribute.BOOL:
					p.number(2, protowire.EncodeBool(a.Value.AsBool()))
				case attribute.INT64:
					p.number(3, uint64(a.Value.AsInt64()))
				case attribute.FLOAT64:
					p.fixed(4, math.Float64bits(a.Value.AsFloat64()))
				default:
					p.text(1, a.Value.String())
				}
			})
		})
	}
}
