package archive

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	format "sluice/internal/archive"
	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// Selection chooses records: by their own time, from in and to out, and by organisation, API and response code. Zero
// times and empty lists choose all.
type Selection struct {
	From, To time.Time
	Orgs     []string
	APIs     []string
	Codes    []Codes
}

// Codes is a run of response codes, both ends in.
type Codes struct{ First, Last int32 }

// ParseCodes reads a response code (404, or -1 for TCP reports) or a class of them (5xx).
func ParseCodes(s string) (Codes, error) {
	if class, ok := strings.CutSuffix(s, "xx"); ok && len(class) == 1 && class[0] >= '1' && class[0] <= '9' {
		first := int32(class[0]-'0') * 100
		return Codes{first, first + 99}, nil
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		return Codes{}, fmt.Errorf("%q is not a response code: write it like 404 or 5xx", s)
	}
	return Codes{int32(n), int32(n)}, nil
}

// Filtered tells whether more than the time chooses.
func (s *Selection) Filtered() bool { return len(s.Orgs)+len(s.APIs)+len(s.Codes) > 0 }

// All tells whether every record of an object is chosen, as far as its manifest tells.
func (s *Selection) All(m *format.Manifest) bool { return !s.Filtered() && m.Within(s.From, s.To) }

// Takes tells whether a record is chosen.
func (s *Selection) Takes(r *record.Record) bool {
	t := r.TimeStamp
	return (s.From.IsZero() || !t.Before(s.From)) && (s.To.IsZero() || t.Before(s.To)) &&
		among(s.Orgs, r.OrgID) && among(s.APIs, r.APIID) && s.takesCode(r.ResponseCode)
}

func (s *Selection) takesCode(code int32) bool {
	for _, c := range s.Codes {
		if c.First <= code && code <= c.Last {
			return true
		}
	}
	return len(s.Codes) == 0
}

func among[T comparable](list []T, v T) bool {
	for _, x := range list {
		if x == v {
			return true
		}
	}
	return len(list) == 0
}

// Filter is a sink's own filters. The zero value lets everything through.
type Filter struct{ f *pipeline.Filters }

// NewFilter makes a Filter; nil lets everything through.
func NewFilter(f *pipeline.Filters) Filter { return Filter{f} }

// Passes tells whether the sink gets a record.
func (f Filter) Passes(r *record.Record) bool {
	if f.f == nil {
		return true
	}
	code := int(r.ResponseCode)
	return among(f.f.OrgIDs, r.OrgID) && among(f.f.APIIDs, r.APIID) && among(f.f.ResponseCodes, code) &&
		!named(f.f.SkipOrgIDs, r.OrgID) && !named(f.f.SkipAPIIDs, r.APIID) && !named(f.f.SkipResponseCodes, code)
}

func named[T comparable](list []T, v T) bool { return len(list) > 0 && among(list, v) }
