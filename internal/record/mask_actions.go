package record

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
)

func maskTags(r *Record, mask func(string) string) {
	if len(r.Tags) == 0 {
		return
	}
	tags := make([]string, 0, len(r.Tags)) // never in place: another copy of the record may share them
	for _, tag := range r.Tags {
		if masked := mask(tag); masked != "" || tag == "" {
			tags = append(tags, masked)
		}
	}
	r.Tags = tags
}

// keyTag begins the tag that a gateway adds to every record, with the API key behind it.
const keyTag = "key-"

// maskKeyTags masks whatever stands behind key-, also where it is not this record's key: better one tag too many.
func maskKeyTags(r *Record, mask func(string) string) {
	if !slices.ContainsFunc(r.Tags, func(tag string) bool { return strings.HasPrefix(tag, keyTag) }) {
		return
	}
	maskTags(r, func(tag string) string {
		key, ok := strings.CutPrefix(tag, keyTag)
		if !ok {
			return tag
		}
		if key = mask(key); key == "" {
			return ""
		}
		return keyTag + key
	})
}

func truncateIP(s string) string {
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return ""
	}
	addr = addr.Unmap().WithZone("")
	bits := 48
	if addr.Is4() {
		bits = 24
	}
	network, err := addr.Prefix(bits)
	if err != nil {
		return ""
	}
	return network.Addr().String()
}

func hashText(s string) string {
	if s == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:8])
}
