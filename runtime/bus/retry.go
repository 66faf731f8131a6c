package bus

import (
	"errors"
	"time"
)

// leastRetryAfter keeps a handler that asks for no delay from being called
// without pause.
const leastRetryAfter = time.Millisecond

// RetryAfter marks an error that is no fault of the message, such as what it
// needs being away for a while: the message is delivered again after d, and the
// attempt isn't counted. Its TTL still holds. What is Permanent, or delivered
// at most once, goes to the dead letters as with any other error.
func RetryAfter(d time.Duration, err error) error {
	return &retryAfter{err, max(d, leastRetryAfter)}
}

type retryAfter struct {
	error
	after time.Duration
}

func (r *retryAfter) Unwrap() error { return r.error }

// RetryDelay tells whether err, or one that it wraps, is marked RetryAfter and
// not Permanent, and the delay.
func RetryDelay(err error) (time.Duration, bool) {
	var r *retryAfter
	if !errors.As(err, &r) || IsPermanent(err) {
		return 0, false
	}
	return r.after, true
}

// Postponed tells whether m, which has waited so long and failed with err, is
// to be delivered again without counting the attempt, and in how long: not
// later than it expires. It is for backends.
func (m *Message) Postponed(err error, waited time.Duration) (time.Duration, bool) {
	d, ok := RetryDelay(err)
	if !ok || m.Mode == AtMostOnce {
		return 0, false
	}
	if ttl := m.TTL(); ttl > 0 {
		d = max(min(d, ttl-waited+leastRetryAfter), leastRetryAfter)
	}
	return d, true
}

// Final reports whether m, which has failed with err, goes to the dead letters
// now.
func (m *Message) Final(err error) bool {
	if IsPermanent(err) {
		return true
	}
	_, again := m.Postponed(err, 0)
	return !again && m.LastAttempt()
}
