package host

// NewTrace returns a W3C trace context of a trace of its own, for work that
// comes from outside.
func NewTrace() string { return nextSpan("") }
