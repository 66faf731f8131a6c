package redis

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"woodwork.dev/ww/runtime/bus"
)

// A hop is written as fields that end in these: it has to cost next to nothing.
const (
	endOfField = '\x1f'
	endOfHop   = '\x1e'
)

// appendHop appends what a delivery leaves in the trail. Pieces of streams and
// messages that belong to no session leave nothing.
func (k *consumer) appendHop(b []byte, o *op) []byte {
	m := &o.message
	if o.outcome == "" || m.SessionID == "" || m.Chunk() {
		return b
	}
	b = appendField(b, m.SessionID)
	b = appendField(b, m.ID)
	b = appendField(b, m.Type)
	b = appendField(b, m.Sender)
	b = appendField(b, k.Component)
	b = appendField(b, k.Instance)
	b = append(strconv.AppendInt(b, o.past.Queued, 10), endOfField)
	b = append(strconv.AppendInt(b, o.began, 10), endOfField)
	b = append(strconv.AppendInt(b, max(o.ended, o.began), 10), endOfField)
	b = append(strconv.AppendInt(b, int64(m.RetryCount)+1, 10), endOfField)
	b = appendField(b, string(o.outcome))
	if o.cause != nil {
		text := o.cause.Error()
		b = append(b, safe(text[:min(len(text), 500)])...)
	}
	b = append(b, endOfField)
	for i := range o.outputs {
		out := &o.outputs[i].message
		if out.Pattern == bus.PublishSubscribe {
			b = appendField(b, out.Type)
		} else {
			b = appendField(b, out.Target)
		}
	}
	return append(b, endOfHop)
}

func appendField(b []byte, s string) []byte { return append(append(b, safe(s)...), endOfField) }

// safe takes the marks of ends out of what others wrote.
func safe(s string) string {
	if strings.IndexByte(s, endOfField) < 0 && strings.IndexByte(s, endOfHop) < 0 {
		return s
	}
	return strings.NewReplacer(string(endOfHop), " ", string(endOfField), " ").Replace(s)
}

const hopFields = 12 // before the outputs

func parseHop(s string) (h bus.Hop, ok bool) {
	f := strings.Split(strings.TrimSuffix(s, string(endOfField)), string(endOfField))
	if len(f) < hopFields-1 {
		return h, false
	}
	f = append(f, make([]string, max(hopFields-len(f), 0))...)
	when := func(s string) time.Time {
		ms, _ := strconv.ParseInt(s, 10, 64) // written by hop
		return time.UnixMilli(ms).UTC()
	}
	h = bus.Hop{Session: f[0], Message: f[1], Type: f[2], Sender: f[3], Component: f[4], Instance: f[5],
		Queued: when(f[6]), Began: when(f[7]), Ended: when(f[8]), Outcome: bus.Outcome(f[10]), Error: f[11]}
	h.Attempt, _ = strconv.Atoi(f[9])
	if len(f) > hopFields {
		h.Outputs = f[hopFields:]
	}
	return h, true
}

// Trace implements bus.Operator. The trail is as long as the last 10,000 round
// trips in which replicas told what they did.
func (b *Bus) Trace(ctx context.Context, session string) ([]bus.Hop, error) {
	const page = 500
	var out []bus.Hop
	end := "+"
	for {
		var got int
		err := b.read(ctx, "trace "+session, func(ctx context.Context) error {
			entries, err := b.client.XRevRangeN(ctx, b.keys.trail(), end, "-", page).Result()
			if err != nil {
				return err
			}
			got = len(entries)
			for _, e := range entries {
				end = "(" + e.ID
				text, _ := e.Values["t"].(string)
				hops := hopsOf(text, session)
				slices.Reverse(hops)
				out = append(out, hops...)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if got < page {
			break
		}
	}
	// The order of the trail is that of cause and effect, which clocks aren't.
	slices.Reverse(out)
	type key struct {
		message, component string
		attempt            int
		began              int64
	}
	told := map[key]bool{} // what was told twice counts once
	return slices.DeleteFunc(out, func(h bus.Hop) bool {
		k := key{h.Message, h.Component, h.Attempt, h.Began.UnixMilli()}
		again := told[k]
		told[k] = true
		return again
	}), nil
}

func hopsOf(text, session string) (out []bus.Hop) {
	for s := range strings.SplitSeq(text, string(endOfHop)) {
		if strings.HasPrefix(s, safe(session)+string(endOfField)) {
			if h, ok := parseHop(s); ok {
				out = append(out, h)
			}
		}
	}
	return out
}
