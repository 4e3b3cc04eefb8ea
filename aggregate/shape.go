// Package aggregate rolls records up into the documents the Tyk Dashboard reads: records in, deltas out. It is pure: no
// I/O, and the clock is never read. A delta is what records add to one document; deltas merge in any order, and what
// was folded together equals what was folded apart and merged.
//
// The counters are those of the incumbent pump, without its mistakes: every record counts in the bucket of its own
// time, minima never see a failed request, bytes and connections add up, every map key is escaped.
package aggregate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sluice/internal/units"
)

// Dim is a dimension: one of the maps of a document.
type Dim uint8

// The dimensions, named as their maps are.
const (
	APIID Dim = iota
	Errors
	Versions
	APIKeys
	OauthIDs
	Geo
	Tags
	Endpoints
	KeyEndpoints
	OauthEndpoints
	APIEndpoints
	NumDims int = iota
)

var dimNames = [NumDims]string{"apiid", "errors", "versions", "apikeys", "oauthids", "geo", "tags", "endpoints",
	"keyendpoints", "oauthendpoints", "apiendpoints"}

// String is the name of the dimension's map.
func (d Dim) String() string { return dimNames[d] }

// Nested tells whether the map has two levels: the key or OAuth ID, then the endpoint.
func (d Dim) Nested() bool { return d == KeyEndpoints || d == OauthEndpoints }

// DimOf finds a dimension by the name of its map.
func DimOf(name string) (Dim, bool) {
	i := slices.Index(dimNames[:], name)
	return Dim(max(i, 0)), i >= 0
}

// Shape is what shapes the counters.
type Shape struct {
	Bucket            units.Duration `json:"bucket"`
	ExpireAfter       units.Duration `json:"expire_after"` // for records that say nothing of their own
	TrackAllPaths     bool           `json:"track_all_paths"`
	Ignore            []string       `json:"ignore,omitempty"`              // names of dimensions that are not counted
	IgnoreTagPrefixes []string       `json:"ignore_tag_prefixes,omitempty"` // of tags as the gateway wrote them
}

// Widths are the bucket widths there are. All divide an hour, so that no bucket crosses one.
var widths = []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour}

// Validate tells what is wrong with a shape.
func (s Shape) Validate() (ps []units.Problem) {
	if !slices.Contains(widths, s.Bucket.D()) {
		ps = append(ps, units.Problem{Key: "bucket", What: fmt.Sprintf("%s is not a bucket width", s.Bucket),
			Cure: "use 1m, 5m, 15m, 30m or 1h"})
	}
	if s.ExpireAfter <= 0 {
		ps = append(ps, units.Problem{Key: "expire_after", What: "must be longer than nothing", Cure: "use 100y to keep documents"})
	}
	for _, n := range s.Ignore {
		if _, ok := DimOf(n); !ok {
			ps = append(ps, units.Problem{Key: "ignore", What: fmt.Sprintf("there is no dimension %q", n),
				Cure: "use some of " + strings.Join(dimNames[:], ", ")})
		}
	}
	return ps
}

// Width is the bucket width in seconds.
func (s Shape) Width() int64 { return int64(s.Bucket.D() / time.Second) }

// BucketOf is the beginning of the bucket that a time lies in, in Unix seconds; buckets are UTC.
func (s Shape) BucketOf(t time.Time) int64 {
	u, w := t.Unix(), s.Width()
	r := u % w
	if r < 0 {
		r += w
	}
	return u - r
}
