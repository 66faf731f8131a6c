package redis

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestWindowIdle: who waits until nothing is held goes on then, or when it has
// waited long enough, or has to end.
func TestWindowIdle(t *testing.T) {
	for _, tt := range []struct {
		name   string
		during func(w *window, cancel func())
		want   time.Duration
	}{
		{"nothing is held", func(w *window, _ func()) { w.remove(2, 20) }, 0},
		{"it is handled", func(w *window, _ func()) {
			time.Sleep(100 * time.Microsecond)
			w.remove(1, 10)
			time.Sleep(100 * time.Microsecond)
			w.remove(1, 10)
		}, 200 * time.Microsecond},
		{"it takes long", func(*window, func()) {}, moment},
		{"the end", func(_ *window, cancel func()) {
			time.Sleep(300 * time.Microsecond)
			cancel()
		}, 300 * time.Microsecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				timer := time.NewTimer(time.Hour)
				defer timer.Stop()
				w := newWindow(1)
				w.add(10)
				w.add(10)
				start := time.Now()
				go tt.during(w, cancel)
				if tt.want == 0 {
					synctest.Wait()
				}
				w.idle(ctx, timer, moment)
				if took := time.Since(start); took != tt.want {
					t.Errorf("%s, want %s", took, tt.want)
				}
			})
		})
	}
}
