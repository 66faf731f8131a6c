package model

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"woodwork.dev/ww/syntax"
)

// longestTopic is in bytes; the bus takes no longer ones.
const longestTopic = 512

// checkTopic reports a topic, or with wildcards a pattern of topics, that the
// bus would refuse: a component would end with it again and again.
func (r *resolver) checkTopic(topic string, at syntax.Span, wildcards bool) bool {
	wrong, remedy := "", "write segments with dots between them, such as \"orders.new\""
	switch segs := strings.Split(topic, "."); {
	case topic == "":
		wrong = "is empty"
	case len(topic) > longestTopic:
		topic, wrong = topic[:64]+"…", fmt.Sprintf("is longer than %d bytes", longestTopic)
	case !utf8.ValidString(topic):
		wrong = "is not UTF-8"
	default:
		wrong = wrongSegment(segs, wildcards)
	}
	if wrong == "" {
		return true
	}
	what := "topic"
	if wildcards {
		remedy += "; in a subscription * is one segment, and > at its end the rest"
		what = "topic pattern"
	}
	r.errorf(at, "bad-topic", remedy, "the %s %q %s", what, topic, wrong)
	return false
}

func wrongSegment(segs []string, wildcards bool) string {
	for i, seg := range segs {
		switch {
		case seg == "":
			return "has an empty segment"
		case (seg == "*" || seg == ">") && !wildcards:
			return fmt.Sprintf("has the wildcard %q: only subscriptions may", seg)
		case seg == ">" && i < len(segs)-1:
			return "has \">\" before its end: it may only come last"
		}
		for _, c := range seg {
			if c == ':' || unicode.IsSpace(c) || unicode.IsControl(c) {
				return fmt.Sprintf("contains %q, which is not allowed", c)
			}
		}
	}
	return ""
}

// checkSubscriptions looks at the topics that a component subscribes to.
func (r *resolver) checkSubscriptions(c *Component) {
	f := c.Settings.Field("subscribe")
	if f == nil {
		return
	}
	items, ok := f.Value.([]Value)
	if !ok {
		items = []Value{f.Value}
	}
	for i, it := range items {
		at := f.At
		if i < len(f.Items) {
			at = f.Items[i]
		}
		switch it := it.(type) {
		case string:
			r.checkTopic(it, at, true)
		case Env: // its value isn't known here
		default:
			if ok { // else the value's shape has been judged
				r.errorf(at, "bad-topic", "write topics in quotes, such as \"orders.*\"", "%q of %q lists something that is no topic", f.Key, c.Name)
			}
		}
	}
}
