package dockerx

import (
	"io"
	"sync"
)

// blockingReader is input that never comes, until it is stopped.
func blockingReader() (io.Reader, func()) {
	r, w := io.Pipe()
	return r, func() { _ = w.Close() }
}

// testPipe is input that a test writes.
type testPipe struct {
	*io.PipeWriter
	once   sync.Once
	closed chan struct{}
}

func blockingPipe() (io.Reader, *testPipe) {
	r, w := io.Pipe()
	return r, &testPipe{PipeWriter: w, closed: make(chan struct{})}
}

// lineEnd is a writer that closes the pipe once a whole line has come.
func lineEnd(w io.Writer, p *testPipe) io.Writer {
	return writerFunc(func(b []byte) (int, error) {
		n, err := w.Write(b)
		if len(b) > 0 && b[len(b)-1] == '\n' {
			p.once.Do(func() {
				_ = p.PipeWriter.Close()
				close(p.closed)
			})
		}
		return n, err
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
