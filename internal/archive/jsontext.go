package archive

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"unicode/utf8"
)

// appendJSONString writes a JSON string. A byte that is not valid UTF-8 becomes \udcHH, a lone surrogate that no valid
// text has, so that it reads back as that byte.
func appendJSONString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		n := 1
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c < 0x20 || c == 0x7f:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		case c < utf8.RuneSelf:
			dst = append(dst, c)
		default:
			if n = validRune(s[i:]); n == 0 {
				n = 1
				dst = append(dst, '\\', 'u', 'd', 'c', hexDigits[c>>4], hexDigits[c&15])
			} else {
				dst = append(dst, s[i:i+n]...)
			}
		}
		i += n
	}
	return append(dst, '"')
}

// appendJSONStrings writes an array of strings, null for nil.
func appendJSONStrings(dst []byte, list []string) []byte {
	if list == nil {
		return append(dst, "null"...)
	}
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendJSONString(dst, s)
	}
	return append(dst, ']')
}

// appendJSONMap writes an object with sorted keys, so that equal maps are equal bytes, null for nil.
func appendJSONMap[V any](dst []byte, m map[string]V, value func([]byte, V) []byte) []byte {
	if m == nil {
		return append(dst, "null"...)
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	dst = append(dst, '{')
	for i, k := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendJSONString(dst, k), ':')
		dst = value(dst, m[k])
	}
	return append(dst, '}')
}

// appendFloat writes a decimal that reads back as the same float64; what is no number is NaN, +Inf or -Inf.
func appendFloat(dst []byte, f float64) []byte {
	if a := math.Abs(f); a == 0 || a >= 1e-6 && a < 1e21 || a != a {
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	return strconv.AppendFloat(dst, f, 'g', -1, 64)
}

// appendJSONValue writes any value that a record may hold. A float always has a point or an exponent, so that it does
// not read back as an integer.
func appendJSONValue(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...)
	case bool:
		return strconv.AppendBool(dst, v)
	case string:
		return appendJSONString(dst, v)
	case []byte:
		return appendJSONString(dst, string(v))
	case []any:
		dst = append(dst, '[')
		for i, e := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSONValue(dst, e)
		}
		return append(dst, ']')
	case map[string]any:
		return appendJSONMap(dst, v, appendJSONValue)
	case float32:
		return appendJSONFloat(dst, float64(v))
	case float64:
		return appendJSONFloat(dst, v)
	}
	return appendJSONInteger(dst, v)
}

func appendJSONInteger(dst []byte, v any) []byte {
	switch n := reflect.ValueOf(v); {
	case n.CanInt():
		return strconv.AppendInt(dst, n.Int(), 10)
	case n.CanUint():
		return strconv.AppendUint(dst, n.Uint(), 10)
	}
	return appendJSONString(dst, fmt.Sprint(v))
}

func appendJSONFloat(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return appendJSONString(dst, strconv.FormatFloat(f, 'g', -1, 64))
	}
	start := len(dst)
	dst = appendFloat(dst, f)
	if !bytes.ContainsAny(dst[start:], ".e") {
		dst = append(dst, '.', '0')
	}
	return dst
}
