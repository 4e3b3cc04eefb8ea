package sqlite

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"sluice/internal/record"
)

// The dimensions of the aggregates, as stored.
const (
	dimTotal = iota
	dimOrg
	dimAPI
	dimKey
	dimEndpoint
	dimCountry
	dimCode
)

// Widths of buckets.
const (
	fineWidth   = 10 * time.Second // of the total alone: what a live chart shows
	minuteWidth = time.Minute
	hourWidth   = time.Hour
)

// maxName bounds what a caller can make us store as a name, in bytes.
const maxName = 200

// cell names a row of counters.
type cell struct {
	width  int64 // seconds
	bucket int64 // Unix seconds
	dim    int
	org    string
	name   string
}

// counters is what is counted in a cell. A TCP report adds bytes and connections only.
type counters struct {
	hits, errors, success               uint64
	latencySum, latencyMax, upstreamSum int64
	requestBytes, bytesIn, bytesOut     int64
	opened, closed                      int64
}

// label names a dimension's value for people.
type label struct {
	dim       int
	org, name string
}

// folded is the effect of many records, merged.
type folded struct {
	cells  map[cell]*counters
	labels map[label]string
}

func newFolded() *folded {
	return &folded{cells: map[cell]*counters{}, labels: map[label]string{}}
}

// add counts one record in all its cells.
func (f *folded) add(r *record.Record) {
	at := r.TimeStamp.Unix()
	org := clean(r.OrgID)
	one := countersOf(r)
	f.count(at, fineWidth, dimTotal, "", "", &one)
	if r.APIName != "" {
		f.labels[label{dimAPI, org, clean(r.APIID)}] = clean(r.APIName)
	}
	if r.Alias != "" {
		f.labels[label{dimKey, org, clean(r.APIKey)}] = clean(r.Alias)
	}
	for _, w := range [...]time.Duration{minuteWidth, hourWidth} {
		f.count(at, w, dimTotal, "", "", &one)
		f.count(at, w, dimOrg, org, "", &one)
		f.count(at, w, dimAPI, org, clean(r.APIID), &one)
		if one.hits == 0 {
			continue
		}
		f.count(at, w, dimKey, org, clean(r.APIKey), &one)
		f.count(at, w, dimEndpoint, org, endpoint(r), &one)
		f.count(at, w, dimCountry, org, clean(r.Geo.Country.ISOCode), &one)
		f.count(at, w, dimCode, org, strconv.Itoa(int(r.ResponseCode)), &one)
	}
}

func (f *folded) count(at int64, width time.Duration, dim int, org, name string, one *counters) {
	w := int64(width / time.Second)
	k := cell{w, floor(at, w), dim, org, name}
	c := f.cells[k]
	if c == nil {
		c = &counters{}
		f.cells[k] = c
	}
	c.add(one)
}

func (c *counters) add(o *counters) {
	c.hits += o.hits
	c.errors += o.errors
	c.success += o.success
	c.latencySum += o.latencySum
	c.latencyMax = max(c.latencyMax, o.latencyMax)
	c.upstreamSum += o.upstreamSum
	c.requestBytes += o.requestBytes
	c.bytesIn += o.bytesIn
	c.bytesOut += o.bytesOut
	c.opened += o.opened
	c.closed += o.closed
}

// countersOf is what one record counts: success is 2xx, an error is 400 and above, as in the aggregates of MongoDB.
func countersOf(r *record.Record) counters {
	if r.ResponseCode == -1 {
		return counters{bytesIn: r.Network.BytesIn, bytesOut: r.Network.BytesOut,
			opened: r.Network.OpenConnections, closed: r.Network.ClosedConnections}
	}
	c := counters{hits: 1, latencySum: r.Latency.Total, latencyMax: r.Latency.Total, upstreamSum: r.Latency.Upstream,
		requestBytes: max(r.ContentLength, 0)}
	switch {
	case r.ResponseCode >= 400:
		c.errors = 1
	case r.ResponseCode >= 200 && r.ResponseCode < 300:
		c.success = 1
	}
	return c
}

// floor is the start of the bucket that holds a time, also before 1970.
func floor(at, width int64) int64 { return at - (at%width+width)%width }

// endpoint is method and path, with IDs folded where the gateway did not: segments that are numbers, UUIDs or long hex
// count as {id}, since an endpoint is what an API offers and not which of a million things was asked for.
func endpoint(r *record.Record) string {
	path := r.Path
	if !r.TrackPath {
		path = foldIDs(path)
	}
	return clean(r.Method + " " + path)
}

func foldIDs(path string) string {
	if !strings.ContainsAny(path, "0123456789") {
		return path
	}
	parts := strings.Split(path, "/")
	for i, p := range parts {
		base, ext, _ := strings.Cut(p, ".")
		if isID(base) {
			parts[i] = "{id}"
			if ext != "" {
				parts[i] += "." + ext
			}
		}
	}
	return strings.Join(parts, "/")
}

// isID is true for digits only, and for 16 or more hex digits and dashes.
func isID(s string) bool {
	digits, hex := 0, 0
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digits++
		case c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' || c == '-':
			hex++
		default:
			return false
		}
	}
	return digits > 0 && (hex == 0 || len(s) >= 16)
}

// clean makes a string fit to be a name: valid UTF-8, without NUL, and no longer than maxName bytes.
func clean(s string) string {
	if len(s) > maxName {
		s = s[:maxName]
		for len(s) > 0 && !utf8.RuneStart(s[len(s)-1]) {
			s = s[:len(s)-1]
		}
		if r, n := utf8.DecodeLastRuneInString(s); r == utf8.RuneError && n == 1 {
			s = s[:len(s)-1] // the first byte of a rune that was cut
		}
		s += "…"
	}
	return text(s)
}

// text makes a string fit for a TEXT column, whose functions end at a NUL.
func text(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "\u2400")
	}
	return strings.Clone(s)
}
