package mongoagg

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/bson/primitive"
)

// Collections that the Dashboard reads, and where the counters of adopted documents are kept as they were.
const (
	orgPrefix = "z_tyk_analyticz_aggregate_"
	mixedName = "tyk_analytics_aggregates"
	basesName = "sluice_aggregate_bases"
)

// maxNamespace is MongoDB's limit for database, dot and collection, in bytes (4.4 and later; an older one refuses a
// shorter name itself, with InvalidNamespace).
const maxNamespace = 255

// orgCollection is the collection of an organisation, or why there can be none. Such a record is a dead letter: a made-up
// name would hide it from the Dashboard, and could be another organisation's.
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
	case len(database)+1+len(name) > maxNamespace:
		reason = "it is too long"
	default:
		return name, ""
	}
	if len(org) > 64 {
		org = org[:64]
	}
	return "", fmt.Sprintf("organisation ID %q makes no collection name: %s", org, reason)
}

// documentID is the _id of an organisation's document: the bucket's second, then a hash of organisation and width, so
// that every process finds the same. It is frozen by a test.
func documentID(org string, bucket, width int64) (id primitive.ObjectID) {
	binary.BigEndian.PutUint32(id[:4], uint32(bucket))
	sum := sha256.Sum256(fmt.Appendf(nil, "%d\x00%s", width, org))
	copy(id[4:], sum[:8])
	return id
}
