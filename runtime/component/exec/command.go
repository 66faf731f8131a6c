package exec

import (
	"encoding/json"
	"errors"
	"strings"
)

// command is a setting: an array of strings, or one string that is split.
type command []string

// Want describes the setting.
func (command) Want() string {
	return "an array of strings, or a string whose quotes are closed"
}

// UnmarshalJSON reads either form.
func (c *command) UnmarshalJSON(b []byte) error {
	var list []string
	if json.Unmarshal(b, &list) == nil {
		*c = list
	} else {
		var line string
		if err := json.Unmarshal(b, &line); err != nil {
			return err
		}
		words, err := split(line)
		if err != nil {
			return err
		}
		*c = words
	}
	if len(*c) > 0 && (*c)[0] == "" {
		return errors.New("the program has no name")
	}
	for _, w := range *c {
		if strings.ContainsRune(w, 0) {
			return errors.New("NUL in an argument")
		}
	}
	return nil
}

// split splits a line into words as a shell would, without any expansion: blanks
// separate, 'x' is x, in "x" a backslash keeps a following " or \, and outside
// of quotes any character.
func split(line string) ([]string, error) {
	var (
		words  []string
		word   strings.Builder
		inWord bool
		quote  byte
	)
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case quote != 0 && c == quote:
			quote = 0
		case c == '\\' && quote != '\'':
			if i+1 == len(line) {
				return nil, errors.New("it ends with a backslash")
			}
			if next := line[i+1]; quote == 0 || next == '"' || next == '\\' {
				c = next
				i++
			}
			word.WriteByte(c)
			inWord = true
		case quote != 0:
			word.WriteByte(c)
		case c == '\'' || c == '"':
			quote, inWord = c, true
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if quote != 0 {
		return nil, errors.New("a quote is not closed")
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}
