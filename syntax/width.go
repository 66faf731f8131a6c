package syntax

import "unicode"

// concealed reports whether r must not reach a terminal as it is: controls,
// formats such as changes of direction, and what isn't a character.
func concealed(r rune) bool {
	return r != ' ' && !unicode.IsGraphic(r)
}

// wide holds the ranges of characters that take two columns of a terminal: the
// East Asian wide ones and the emoji.
func wide(r rune) bool {
	switch {
	case r < 0x1100:
		return false
	case r <= 0x115F, 0x2E80 <= r && r <= 0x303E, 0x3041 <= r && r <= 0x4DBF, 0x4E00 <= r && r <= 0xA4CF:
		return true
	case 0xA960 <= r && r <= 0xA97C, 0xAC00 <= r && r <= 0xD7A3, 0xF900 <= r && r <= 0xFAFF:
		return true
	case 0xFE30 <= r && r <= 0xFE6F, 0xFF00 <= r && r <= 0xFF60, 0xFFE0 <= r && r <= 0xFFE6:
		return true
	case 0x1F300 <= r && r <= 0x1F64F, 0x1F680 <= r && r <= 0x1F6FF, 0x1F900 <= r && r <= 0x1FAFF:
		return true
	}
	return 0x20000 <= r && r <= 0x3FFFD
}

// runeWidth is the number of columns that r takes in a terminal.
func runeWidth(r rune) int {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	case wide(r):
		return 2
	}
	return 1
}
