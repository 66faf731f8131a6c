package syntax

// The codes of the diagnostics of this package. They are stable: scripts and
// editors match on them.
const (
	codeFileTooLarge      = "file-too-large"
	codeInvalidUTF8       = "invalid-utf8"
	codeNotText           = "not-text"
	codeControlCharacter  = "control-character"
	codeUnexpectedRune    = "unexpected-character"
	codeTooDeep           = "too-deep"
	codeTooMany           = "too-many-errors"
	codeUnterminatedStr   = "unterminated-string"
	codeUnterminatedBlock = "unterminated-block"
	codeUnterminatedArray = "unterminated-array"
	codeUnexpectedCloser  = "unexpected-closer"
	codeUnexpectedComma   = "unexpected-comma"
	codeInvalidEscape     = "invalid-escape"
	codeInvalidEnv        = "invalid-env"
	codeInvalidName       = "invalid-name"
	codeInvalidValue      = "invalid-value"
	codeExpectedDecl      = "expected-declaration"
	codeExpectedAssign    = "expected-assign"
	codeExpectedHead      = "expected-head"
	codeHeadTooLong       = "head-too-long"
	codeExpectedBlock     = "expected-block"
	codeExpectedKey       = "expected-key"
	codeExpectedColon     = "expected-colon"
	codeExpectedValue     = "expected-value"
	codeUnexpectedToken   = "unexpected-token"
	codeDuplicateKey      = "duplicate-key"
)

// structural reports whether a mistake puts the meaning of what is around it in
// doubt, so that what looks like another one there most likely isn't.
func structural(code string) bool {
	switch code {
	case codeUnexpectedCloser, codeExpectedDecl, codeExpectedAssign, codeExpectedHead, codeExpectedBlock, codeExpectedKey,
		codeExpectedColon, codeExpectedValue, codeUnexpectedToken, codeInvalidValue, codeUnterminatedBlock, codeUnterminatedArray:
		return true
	}
	return false
}
