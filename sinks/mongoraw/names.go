package mongoraw

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Collections that the Dashboard reads.
const (
	cappedName = "tyk_analytics"
	uptimeName = "tyk_uptime_analytics"
	orgPrefix  = "z_tyk_analyticz_"
)

// aggregatePrefix begins what stands behind orgPrefix in the names of the aggregates' collections: an organisation of
// that name would write its records among another one's aggregates.
const aggregatePrefix = "aggregate_"

// maxNamespace is MongoDB's limit for database, dot and collection, in bytes (4.4 and later; an older one refuses a
// shorter name itself, with InvalidNamespace).
const maxNamespace = 255

// orgCollection is the collection of an organisation, or why there can be none.
func orgCollection(database, org string) (name, reason string) {
	name = orgPrefix + org
	switch {
	case strings.ContainsRune(org, 0):
		reason = "it has a NUL byte"
	case strings.ContainsRune(org, '$'):
		reason = "it has a $"
	case !utf8.ValidString(org):
		reason = "it is not UTF-8"
	case strings.HasPrefix(org, "system.") || strings.Contains(org, ".system."):
		reason = "it names a system collection"
	case strings.HasPrefix(org, aggregatePrefix):
		reason = "it names a collection of aggregates"
	case len(database)+1+len(name) > maxNamespace:
		reason = "it is too long"
	default:
		return name, ""
	}
	return "", noCollection(org, reason)
}

func noCollection(org, why string) string {
	const most = 64
	if len(org) > most {
		org = org[:most]
	}
	return fmt.Sprintf("organisation ID %q makes no collection name: %s", org, why)
}
