// Package syntax is the .ww language as text: it scans, parses and prints
// files, and it defines and renders the diagnostics that every later stage
// reports too. It exists apart from the model so that tools that only care for
// the text (the formatter, an editor) need nothing else.
//
// [Parse] never fails: it returns a tree of what could be understood and a
// diagnostic for each mistake. Resolve only files whose diagnostics hold no
// error: parts that couldn't be understood are missing from the tree.
//
// # The lexical rules that the grammar leaves open
//
// A word is an ASCII letter or `_`, then letters, digits, `_` and `-`. A number
// is written as in JSON but without an exponent; `0644` and `1e5` are bare
// values, that is strings. A bare value ends at white space, a comma, a bracket,
// a quote, a `$`, or a `:` that ends the word; `#` starts a comment in it unless
// it is a URL, which may have a fragment. It starts with a letter, a digit, one
// of `_ . / ~ - + @ * % \`, or a character outside ASCII.
//
// A word directly followed on its line by `{`, or by a second word and `{`, is
// the head of a typed block. Otherwise a word is a reference, and the end of the
// line ends the value.
//
// In a `"""` string the line break after the opening quotes and the indent that
// is common to all lines with text are dropped; lines of white space are empty.
// When the text starts on the line of the opening quotes, that line has no part
// in the indent. A closing `"""` on a line of its own leaves the text a final
// line break, and its own indent doesn't count. Escapes are resolved last.
//
// A byte order mark at the start and CRLF line ends are accepted silently. A
// file over [MaxFileSize], and one that isn't text at all, isn't parsed.
package syntax
