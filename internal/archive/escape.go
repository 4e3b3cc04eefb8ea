package archive

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"
	"unsafe"
)

const hexDigits = "0123456789abcdef"

// Bytes of eight ones each, for looking at eight bytes at once.
const (
	lows  = 0x0101010101010101
	highs = 0x8080808080808080
)

// plain tells whether s can stand in a cell as it is: printable ASCII without quote, comma and backslash.
func plain(s string) bool {
	b := unsafe.Slice(unsafe.StringData(s), len(s)) // only read
	if len(b) < 8 {
		return plainBytes(b)
	}
	for len(b) >= 32 {
		bad := odd(b) | odd(b[8:]) | odd(b[16:]) | odd(b[24:])
		if bad&highs != 0 {
			return false
		}
		b = b[32:]
	}
	for len(b) >= 8 {
		if odd(b)&highs != 0 {
			return false
		}
		b = b[8:]
	}
	// The last eight bytes again, with what is left among them.
	return len(b) == 0 || odd(unsafe.Slice(unsafe.StringData(s[len(s)-8:]), 8))&highs == 0
}

// odd has a high bit set if one of eight bytes cannot stand in a cell: beyond 0x7e, below a space, quote, comma,
// backslash. Carries and borrows between bytes come only from a byte that is odd itself.
func odd(b []byte) uint64 {
	w := binary.LittleEndian.Uint64(b)
	return w | (w + lows) | (w - lows*' ') | ((w ^ lows*'"') - lows) | ((w ^ lows*',') - lows) | ((w ^ lows*'\\') - lows)
}

func plainBytes(b []byte) bool {
	for _, c := range b {
		if c < 0x20 || c >= 0x7f || c == '"' || c == ',' || c == '\\' {
			return false
		}
	}
	return true
}

// appendText writes a text cell: backslash as \\, control and invalid bytes as \xHH, quoted where RFC 4180 asks for it.
// With neutral set, a cell that a spreadsheet might run begins with \xHH too, and so does what stands behind a semicolon,
// which cuts cells where a comma is the decimal point; it reads back the same.
func appendText(dst []byte, s string, neutral bool) []byte {
	first := 0
	if neutral {
		first = formula(s)
	}
	if first == 0 && plain(s) && (!neutral || strings.IndexByte(s, ';') < 0) {
		return append(dst, s...)
	}
	quoted := strings.ContainsAny(s[first:], `",`)
	if quoted {
		dst = append(dst, '"')
	}
	for i := range first {
		dst = appendHex(dst, s[i])
	}
	for i := first; i < len(s); {
		c := s[i]
		n := 1
		switch {
		case c == '"':
			dst = append(dst, '"', '"')
		case c == '\\':
			dst = append(dst, '\\', '\\')
		case c < 0x20 || c == 0x7f || neutral && c == ';' && formula(s[i+1:]) > 0:
			dst = appendHex(dst, c)
		case c < utf8.RuneSelf:
			dst = append(dst, c)
		default:
			if n = validRune(s[i:]); n == 0 {
				n = 1
				dst = appendHex(dst, c)
			} else {
				dst = append(dst, s[i:i+n]...)
			}
		}
		i += n
	}
	if quoted {
		dst = append(dst, '"')
	}
	return dst
}

// validRune is the length of the valid rune that s begins with, 0 if it begins with an invalid byte.
func validRune(s string) int {
	r, n := utf8.DecodeRuneInString(s)
	if r == utf8.RuneError && n == 1 {
		return 0
	}
	return n
}

// formula is how many bytes of s must be written as \xHH so that no spreadsheet takes the cell for a formula: its first
// rune, if the first one that is not a space starts one, full-width forms included.
// Rule: https://owasp.org/www-community/attacks/CSV_Injection.
func formula(s string) int {
	t := strings.TrimLeft(s, " ")
	if t == "" {
		return 0
	}
	r, n := utf8.DecodeRuneInString(t)
	if !strings.ContainsRune("=+-@＝＋－＠", r) {
		return 0
	}
	if len(t) < len(s) {
		return 1
	}
	return n
}

func appendHex(dst []byte, c byte) []byte {
	return append(dst, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
}

// unescape reads what appendText wrote, without the CSV quotes.
func unescape(s string) (string, error) {
	i := strings.IndexByte(s, '\\')
	if i < 0 {
		return s, nil
	}
	b := make([]byte, 0, len(s))
	for {
		b = append(b, s[:i]...)
		s = s[i:]
		switch {
		case strings.HasPrefix(s, `\\`):
			b = append(b, '\\')
			s = s[2:]
		case len(s) >= 4 && s[1] == 'x' && hexValue(s[2]) < 16 && hexValue(s[3]) < 16:
			b = append(b, hexValue(s[2])<<4|hexValue(s[3]))
			s = s[4:]
		default:
			return "", fmt.Errorf("%q is not an escape", s[:min(len(s), 4)])
		}
		if i = strings.IndexByte(s, '\\'); i < 0 {
			return string(append(b, s...)), nil
		}
	}
}

// hexValue is the value of a hex digit, 255 for what is none.
func hexValue(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

// appendQuoted writes a cell of any bytes that hold no control characters (JSON).
func appendQuoted(dst, cell []byte) []byte {
	if !bytes.ContainsAny(cell, `",`) {
		return append(dst, cell...)
	}
	dst = append(dst, '"')
	for _, c := range cell {
		if c == '"' {
			dst = append(dst, '"')
		}
		dst = append(dst, c)
	}
	return append(dst, '"')
}
