package mongoraw

import (
	"strings"

	"sluice/internal/mongo"
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

// orgCollection is the collection of an organisation, or why there can be none.
func orgCollection(database, org string) (name, reason string) {
	if strings.HasPrefix(org, aggregatePrefix) {
		return "", mongo.NoCollection(org, "it names a collection of aggregates")
	}
	return mongo.OrgCollection(database, orgPrefix, org)
}

// HoldsRecords tells whether a collection of that name has the records of requests, in a layout.
func HoldsRecords(layout, name string) bool {
	if layout == LayoutCapped {
		return name == cappedName
	}
	org, ok := strings.CutPrefix(name, orgPrefix)
	return ok && !strings.HasPrefix(org, aggregatePrefix)
}
