package mongoagg

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"go.mongodb.org/mongo-driver/bson/primitive"

	"sluice/internal/mongo"
)

// Collections that the Dashboard reads, and where the counters of adopted documents are kept as they were.
const (
	orgPrefix = "z_tyk_analyticz_aggregate_"
	mixedName = "tyk_analytics_aggregates"
	basesName = "sluice_aggregate_bases"
)

// orgCollection is the collection of an organisation, or why there can be none.
func orgCollection(database, org string) (name, reason string) {
	return mongo.OrgCollection(database, orgPrefix, org)
}

// documentID is the _id of an organisation's document: the bucket's second, then a hash of organisation and width, so
// that every process finds the same. It is frozen by a test.
func documentID(org string, bucket, width int64) (id primitive.ObjectID) {
	binary.BigEndian.PutUint32(id[:4], uint32(bucket))
	sum := sha256.Sum256(fmt.Appendf(nil, "%d\x00%s", width, org))
	copy(id[4:], sum[:8])
	return id
}
