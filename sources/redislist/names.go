package redislist

import (
	"strconv"
	"strings"

	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// uptimeList is where gateways put the results of their host checks, whatever the prefix (Tyk's host checker).
const uptimeList = "host-checker:tyk-uptime-analytics"

// analyticsList follows the key prefix; gateways with several analytics keys append _0 to _9 (Tyk's
// enable_multiple_analytics_keys), and all append _protobuf to what is not msgpack.
const analyticsList = "tyk-system-analytics"

const (
	protobufSuffix = "_protobuf"
	retrySuffix    = "_sluice_retry" // where retried dead letters go in again
	multipleLists  = 10
)

// list is one Redis list that the source looks after.
type list struct {
	name   string
	kind   pipeline.Kind
	format record.Format
	only   string // of retried dead letters: the one sink its claims owe; empty: all
}

// expires tells whether gateways put a TTL on the list.
func (l list) expires() bool { return l.format == record.Msgpack }

// registry is the key of the list's registry.
func (l list) registry() string { return tagged(l.name) + ":sluice" }

// claim is the key of one of the list's claims.
func (l list) claim(id pipeline.ClaimID) string { return l.registry() + ":" + id.String() }

// lists names all that may exist; sinks are those that may have dead letters of their own.
func lists(prefix string, uptime bool, sinks ...string) []list {
	names := []string{analyticsList}
	for i := range multipleLists {
		names = append(names, analyticsList+"_"+strconv.Itoa(i))
	}
	var all []list
	for _, n := range names {
		all = append(all,
			list{prefix + n, pipeline.Analytics, record.Msgpack, ""},
			list{prefix + n + protobufSuffix, pipeline.Analytics, record.Protobuf, ""})
	}
	if uptime {
		all = append(all, list{uptimeList, pipeline.Uptime, record.Msgpack, ""})
	}
	for _, sink := range append([]string{""}, sinks...) {
		all = append(all,
			retryList(prefix, pipeline.Analytics, record.Msgpack, sink),
			retryList(prefix, pipeline.Analytics, record.Protobuf, sink))
		if uptime {
			all = append(all, retryList(prefix, pipeline.Uptime, record.Msgpack, sink))
		}
	}
	return all
}

// retryList is where retried dead letters go in: for all sinks, or for the one that refused them, so that the others do
// not get them again.
func retryList(prefix string, k pipeline.Kind, f record.Format, sink string) list {
	name := prefix + analyticsList + retrySuffix
	if k == pipeline.Uptime {
		name = uptimeList + retrySuffix
	}
	if f == record.Protobuf {
		name += protobufSuffix
	}
	if sink != "" {
		name += ":" + sink
	}
	return list{name, k, f, sink}
}

// tagged writes a name so that keys which begin with it hash to the name's own Cluster slot: in braces, unless the name
// has a hash tag of its own.
func tagged(name string) string {
	if hasTag(name) {
		return name
	}
	return "{" + name + "}"
}

// hasTag follows the Cluster specification: the first brace that opens and the first behind it that closes, with
// something between them.
func hasTag(name string) bool {
	_, rest, ok := strings.Cut(name, "{")
	return ok && strings.IndexByte(rest, '}') > 0
}
