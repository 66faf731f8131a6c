package chaos

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Report is what records come to. The first four figures are facts; the others
// are zero where nothing went wrong.
type Report struct {
	Sent         int // numbers
	Acknowledged int // of them
	Unknown      int // of them never acknowledged: they may have come out or not
	Repeated     int // times that the sink handled what it had handled: it died before the bus knew

	Lost        int // acknowledged, and never came out
	Unexpected  int // came out, and was never sent, or never handled by the sink
	Duplicated  int // times that a number came out again as another message
	Redelivered int // times that it did as the same message, though whoever collects never dies
	Disordered  int // handled or came out for the first time after a later one of its session

	Stories []string // what happened to the first numbers that something is wrong with
}

const maxStories = 10

// Count adds records up. Those of one event have to be in the order in which
// they were made.
func Count(records []Record) Report {
	c := counter{seen: map[Number]map[Event]int{}, ids: map[Number]string{}, last: map[string]int{}, wrong: map[Number][]string{}}
	for _, r := range records {
		c.add(r)
	}
	for n, events := range c.seen {
		c.judge(n, events)
	}
	c.tell(records)
	return c.Report
}

type counter struct {
	Report
	seen  map[Number]map[Event]int
	ids   map[Number]string // of the message that a number came out as
	last  map[string]int    // highest number so far, by event and session
	wrong map[Number][]string
}

func (c *counter) add(r Record) {
	events := c.seen[r.Number]
	if events == nil {
		events = map[Event]int{}
		c.seen[r.Number] = events
	}
	events[r.Event]++
	if r.Event != Logged && r.Event != Collected {
		return
	}
	if events[r.Event] > 1 {
		c.again(r)
		return
	}
	if r.Event == Collected {
		c.ids[r.Number] = r.ID
	}
	lane := string(r.Event) + " " + r.Session
	if last := c.last[lane]; r.N < last {
		c.Disordered++
		c.blame(r.Number, fmt.Sprintf("%s after %d", r.Event, last))
	}
	c.last[lane] = max(c.last[lane], r.N)
}

func (c *counter) again(r Record) {
	switch {
	case r.Event == Logged:
		c.Repeated++
	case r.ID == c.ids[r.Number]:
		c.Redelivered++
		c.blame(r.Number, "delivered again")
	default:
		c.Duplicated++
		c.blame(r.Number, "duplicated")
	}
}

func (c *counter) blame(n Number, what string) { c.wrong[n] = append(c.wrong[n], what) }

func (c *counter) judge(n Number, events map[Event]int) {
	sent, out := events[Called] > 0, events[Collected] > 0
	if sent {
		c.Sent++
	}
	if events[Acknowledged] > 0 {
		c.Acknowledged++
	} else if sent {
		c.Unknown++
	}
	switch {
	case events[Acknowledged] > 0 && !out:
		c.Lost++
		c.blame(n, "lost")
	case out && (!sent || events[Logged] == 0):
		c.Unexpected++
		c.blame(n, "unexpected")
	}
}

func (c *counter) tell(records []Record) {
	first := slices.SortedFunc(maps.Keys(c.wrong), func(a, b Number) int {
		return cmp.Or(cmp.Compare(a.Session, b.Session), cmp.Compare(a.N, b.N))
	})
	stories := map[Number][]Record{}
	for _, n := range first[:min(len(first), maxStories)] {
		stories[n] = nil
	}
	for _, r := range records {
		if _, ok := stories[r.Number]; ok {
			stories[r.Number] = append(stories[r.Number], r)
		}
	}
	for _, n := range first[:len(stories)] {
		slices.SortStableFunc(stories[n], func(a, b Record) int { return a.At.Compare(b.At) })
		var b strings.Builder
		fmt.Fprintf(&b, "%s %d: %s", n.Session, n.N, strings.Join(c.wrong[n], ", "))
		for _, r := range stories[n] {
			fmt.Fprintf(&b, "\n    %s %s %s %s", r.At.Format("15:04:05.000"), r.Event, r.ID, r.Error)
		}
		c.Stories = append(c.Stories, b.String())
	}
}

// OK reports whether nothing went wrong.
func (r Report) OK() bool {
	return r.Lost == 0 && r.Unexpected == 0 && r.Duplicated == 0 && r.Redelivered == 0 && r.Disordered == 0
}

func (r Report) String() string {
	return fmt.Sprintf("sent %d, acknowledged %d, unknown %d, handled again %d; lost %d, unexpected %d, duplicated %d, delivered again %d, out of order %d",
		r.Sent, r.Acknowledged, r.Unknown, r.Repeated, r.Lost, r.Unexpected, r.Duplicated, r.Redelivered, r.Disordered)
}
