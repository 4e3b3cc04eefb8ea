package aggregate

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"strings"
	"unicode/utf8"
)

// MaxKey bounds map keys and identifiers in bytes: a path of a megabyte must not make a counter of fifty. A longer one
// is cut and ends in a hash of the whole, so that different ones stay apart.
const MaxKey = 4096

// Other is the key and identifier of what newcomers count under when a document is full.
const Other = "other"

// EscapeKey writes a map key so that MongoDB takes it as the name of a field and of a path's part: '.' as the four
// characters \u2e, a leading '$' as \u24, NUL as \u00, a backslash before 'u' as \u5c, the empty key as \u, an invalid
// byte as U+FFFD. Different valid keys have different names.
func EscapeKey(s string) string {
	if s == "" {
		return `\u`
	}
	if s = shorten(s); !needsEscape(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	for i, r := range s {
		switch {
		case r == '.':
			b.WriteString(`\u2e`)
		case r == '$' && i == 0:
			b.WriteString(`\u24`)
		case r == 0:
			b.WriteString(`\u00`)
		case r == '\\' && i+1 < len(s) && s[i+1] == 'u':
			b.WriteString(`\u5c`)
		default:
			b.WriteRune(r) // an invalid byte ranges as U+FFFD
		}
	}
	return b.String()
}

func needsEscape(s string) bool {
	return s[0] == '$' || strings.ContainsAny(s, ".\x00\\") || !utf8.ValidString(s)
}

// Clean makes text that BSON takes: every invalid byte becomes U+FFFD. NUL stays. What is too long is shortened.
func Clean(s string) string {
	s = shorten(s)
	if utf8.ValidString(s) {
		return s
	}
	return string([]rune(s))
}

// shorten cuts at a character, so that a valid string stays valid.
func shorten(s string) string {
	if len(s) <= MaxKey {
		return s
	}
	h := fnv.New64a()
	h.Write([]byte(s))
	cut := MaxKey - 20
	for cut > MaxKey-24 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + fmt.Sprintf("~%016x", h.Sum64())
}

// cleanTag is a tag as it counts, empty when it does not: outer spaces and all dots go, what the gateway made of an API
// key is left out.
func cleanTag(tag string, ignore []string) string {
	if strings.HasPrefix(tag, "key-") {
		return ""
	}
	for _, p := range ignore {
		if strings.HasPrefix(tag, p) {
			return ""
		}
	}
	return Clean(strings.ReplaceAll(strings.TrimSpace(tag), ".", ""))
}

// joined64 and joinedHex are the keys of dimensions that join several values: by raw bytes, also invalid ones.
func joined64(a, b string) string {
	return shorten(base64.RawStdEncoding.EncodeToString([]byte(a + ":" + b)))
}

func joinedHex(a, b, c string) string {
	return shorten(hex.EncodeToString([]byte(a + ":" + b + ":" + c)))
}
