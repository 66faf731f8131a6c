package bus

import (
	"context"
	"slices"
	"time"
)

// lastLook is how long the look may take that comes after the end.
const lastLook = 2 * time.Second

// UntilEmpty looks again and again until nothing is left, or ctx is done, and
// returns what is left then. That ctx is done is no error; a look that fails is.
func UntilEmpty(ctx context.Context, look func(context.Context) (left map[string]int64, err error)) (map[string]int64, error) {
	var looks looks
	for {
		began := time.Now()
		left, err := look(ctx)
		if ctx.Err() != nil { // the last look comes after the end of ctx
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLook)
			left, err = look(last)
			cancel()
		}
		if err != nil {
			return nil, err
		}
		if len(left) == 0 || ctx.Err() != nil {
			return left, nil
		}
		now := time.Now()
		// Looks at a large system cost it something.
		t := time.NewTimer(max(looks.next(left, now), 4*now.Sub(began)))
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// AwaitEmpty waits until nothing waits for the components that are named, or for
// any component, but no longer than wait. It returns what is left then. With
// served it doesn't wait for what nobody takes.
func AwaitEmpty(ctx context.Context, b Bus, wait time.Duration, served bool, components ...string) (left map[string]int64, err error) {
	within, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	_, err = UntilEmpty(within, func(ctx context.Context) (map[string]int64, error) {
		stats, err := b.Stats(ctx)
		if err != nil {
			return nil, err
		}
		taken := false
		left = map[string]int64{}
		for name, s := range stats {
			if s.Depth > 0 && (len(components) == 0 || slices.Contains(components, name)) {
				left[name] = s.Depth
				taken = taken || s.Consumers > 0
			}
		}
		if served && !taken {
			return nil, nil
		}
		return left, nil
	})
	if err == nil {
		err = ctx.Err()
	}
	return left, err
}

// looks decides how often to look at what gets less: about when half of it will
// be gone, or, where nothing goes, less and less often.
type looks struct {
	total int64
	at    time.Time
	wait  time.Duration
}

func (l *looks) next(left map[string]int64, now time.Time) time.Duration {
	const often, seldom = 3 * time.Millisecond, 50 * time.Millisecond
	total := int64(0)
	for _, n := range left {
		total += n
	}
	switch gone := l.total - total; {
	case l.at.IsZero():
		l.wait = often
	case gone > 0:
		l.wait = time.Duration(float64(now.Sub(l.at)) * float64(total) / float64(gone) / 2)
	default:
		l.wait *= 2
	}
	l.total, l.at, l.wait = total, now, min(max(l.wait, often), seldom)
	return l.wait
}
