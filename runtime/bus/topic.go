package bus

import (
	"fmt"
	"strings"
)

// CheckTopic says why a message can't be published on the topic.
func CheckTopic(topic string) error {
	if err := checkName("topic", topic); err != nil {
		return err
	}
	for seg := range strings.SplitSeq(topic, ".") {
		switch seg {
		case "":
			return fmt.Errorf("topic %q has an empty segment", clip(topic))
		case "*", ">":
			return fmt.Errorf("topic %q has the wildcard %q: only subscriptions may", clip(topic), seg)
		}
	}
	return nil
}

// CheckPattern says why a pattern of topics can't be subscribed to.
func CheckPattern(pattern string) error {
	if err := checkName("topic pattern", pattern); err != nil {
		return err
	}
	segs := strings.Split(pattern, ".")
	for i, seg := range segs {
		if seg == "" {
			return fmt.Errorf("topic pattern %q has an empty segment", clip(pattern))
		}
		if seg == ">" && i < len(segs)-1 {
			return fmt.Errorf("topic pattern %q: %q may only come last", clip(pattern), ">")
		}
	}
	return nil
}

// MatchTopic reports whether the pattern covers the topic: `*` is one segment,
// a final `>` is one or more.
func MatchTopic(pattern, topic string) bool {
	for {
		p, prest, pmore := strings.Cut(pattern, ".")
		t, trest, tmore := strings.Cut(topic, ".")
		if p == ">" && !pmore {
			return t != ""
		}
		if p != t && (p != "*" || t == "") {
			return false
		}
		if !pmore || !tmore {
			return pmore == tmore
		}
		pattern, topic = prest, trest
	}
}

// MatchAny reports whether one of the patterns covers the topic.
func MatchAny(patterns []string, topic string) bool {
	for _, p := range patterns {
		if MatchTopic(p, topic) {
			return true
		}
	}
	return false
}
