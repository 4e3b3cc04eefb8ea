package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"sluice/internal/record"
)

// shape is what a soak is made of beside its seed: servers, sinks, settings of the pumps, habits of the gateway.
type shape struct {
	Spool string `json:"spool,omitempty"` // where batches of a sink that is down go: dir, s3; empty: they wait in Redis
	Local bool   `json:"local,omitempty"` // csv and sqlite sinks too, which bind a list to one pump
	Mode  string `json:"mode,omitempty"`  // of Redis: sentinel, cluster, tls; empty: one server
	Bus   bool   `json:"bus,omitempty"`   // Kafka between edges and workers: the first half of the pumps are edges

	redis     []string // arguments of the server
	replica   bool     // a second Redis that follows the first
	mongo     string   // single, set: a MongoDB of the case's own; empty: the one of the environment
	mongod    []string // arguments of its servers
	small     int64    // bytes of a file system of each pump's own, for spool, dead letters, csv; 0: none
	idle      bool     // pumps are made and not started
	guard     string   // of the source, in place of the mix's
	batch     string   // of the pipeline
	ttl       int      // seconds that the gateway gives to a msgpack list; 0: 60
	quiet     bool     // only what the case itself pushes
	unique    bool     // no record is equal to another
	refuses   string   // the sink whose refusals of single records are expected: they are dead letters then
	compress  []string // compression of the archive, by pump in turn
	forgiven  func(store string, d *debt) bool
	steps     bool // the program is built with a clock that can be stepped
	unbounded bool // more may lie in Redis than bookkeeping
}

// drawn is the shape of a schedule: where the spool is, whether there are local sinks and whether Redis takes TLS follows from the seed.
func drawn(seed uint64) shape {
	s := shape{Spool: []string{"dir", "s3", ""}[seed%3], Local: seed%4 == 3}
	if seed%5 == 4 {
		s.Mode = withTLS
	}
	return s
}

// masks are those of every soak: what the stores must hold is masked, what the dead letters hold is not.
var masks = []record.MaskRule{{Field: "ip_address", Action: record.MaskTruncate}, {Field: "user_agent", Action: record.MaskHash}}

// skipped is the response code that the search sink leaves out.
const skipped = 404

// sinks are the names of those a pump has.
func (s *shape) sinks() []string {
	out := []string{"archive", "dashboard", "raw", "search"}
	if s.Local {
		out = append(out, "files", "local")
	}
	slices.Sort(out)
	return out
}

const spoolPrefix = "own/"

// configuration is that of production, with times that fit a soak.
func (w *world) configuration(p *pump) string {
	s, shape := w.stores, &w.opts.shape
	mongo := func(sink string) string {
		return fmt.Sprintf("uri: \"%s\", database: %s", w.mongoURI(sink), s.mongo.Name())
	}
	const common = "timeout: 4s, retry: {min: 50ms, max: 1s}"
	guard, state := "{age: 15m}", ""
	switch shape.Spool {
	case "dir":
		guard = "{age: 1s}"
	case "s3":
		guard, state = "{age: 1s}", fmt.Sprintf(", durable: %v, spool: \"s3://%s/%s\"", p.index%2 == 0, s.bucket, spoolPrefix)
	}
	if shape.guard != "" {
		guard = shape.guard
	}
	batch := "{records: 5000}"
	if shape.batch != "" {
		batch = shape.batch
	}
	compression := "zstd"
	if len(shape.compress) > 0 {
		compression = shape.compress[p.index%len(shape.compress)]
	}
	var b strings.Builder
	fmt.Fprintf(&b, `region: soak
sources:
%s  main: {type: redis, %s, username: %s, password: %s, claim: {interval: 100ms, lease: %s}, guard: %s}
pipeline:
  shutdown_timeout: 10s
  accept: {past: 36500d, future: 36500d}
  batch: %s
`, w.busSource(), w.redisWay(), pumpUser, pumpPassword, lease, guard, batch)
	if p.role != worker { // what is in the topic is masked
		b.WriteString("  mask:\n")
	}
	for _, m := range masks {
		if p.role == worker {
			break
		}
		fmt.Fprintf(&b, "    - {field: %s, action: %s}\n", m.Field, m.Action)
	}
	fmt.Fprintf(&b, `state: {dir: %s%s}
retention: {search: {keep: 36500d}}
admin: {listen: "%s"}
sinks:
  dashboard: {type: mongo-aggregate, %s, %s, track_all_paths: true, flush: 300ms}
  raw: {type: mongo-raw, %s, %s, capped_size: 16GiB}
  search: {type: opensearch, %s, urls: ["http://%s"], index: "%s-{yyyy.MM.dd}", filters: {skip_response_codes: [%d]}}
  archive: {type: s3-csv, %s, bucket: %s, prefix: %s, endpoint: "http://%s", path_style: true, region: %s, access_key: %q, secret_key: %q, compression: %s, object: {max_age: 2s}}
`, p.state(), state, p.admin, common, mongo("dashboard"), common, mongo("raw"), common, w.ways["search"].proxy.Addr(), s.index,
		skipped, common, s.bucket, archivePrefix, w.ways["archive"].proxy.Addr(), s3Region, s.key, s.secret, compression)
	b.WriteString(w.busSink())
	if shape.Local {
		fmt.Fprintf(&b, "  files: {type: csv, %s, dir: %s, object: {max_age: 2s}}\n  local: {type: sqlite, %s, path: %s, recent: 1000000, names: 100000}\n",
			common, p.files(), common, p.database())
	}
	return b.String()
}

// What a pump keeps on its own disk.
func (p *pump) state() string    { return filepath.Join(p.disk, "state") }
func (p *pump) files() string    { return filepath.Join(p.disk, "files") }
func (p *pump) database() string { return filepath.Join(p.disk, "local.db") }
