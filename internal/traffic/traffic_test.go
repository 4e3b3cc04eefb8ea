package traffic

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"sluice/internal/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

// sample gives n records over one cycle.
func sample(seed uint64, n int) []record.Record {
	g := New(seed, Options{Start: start})
	out := make([]record.Record, 0, n)
	for at := range g.Spread(start, start.Add(g.opts.Cycle), n) {
		var r record.Record
		g.Next(&r, at)
		out = append(out, r)
	}
	return out
}

func TestSameSeedSameRecords(t *testing.T) {
	if diff := cmp.Diff(sample(3, 2000), sample(3, 2000)); diff != "" {
		t.Error(diff)
	}
	if cmp.Equal(sample(3, 50), sample(4, 50)) {
		t.Error("another seed gives the same records")
	}
}

func TestRecordsComeBackFromBothFormats(t *testing.T) {
	for i, r := range sample(1, 3000) {
		var got record.Record
		if err := record.Decode(record.Msgpack, record.AppendMsgpack(nil, &r), &got); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
		if diff := cmp.Diff(r, got); diff != "" {
			t.Fatalf("record %d: %s", i, diff)
		}
		if !utf8.ValidString(r.RawPath) {
			continue
		}
		if err := record.Decode(record.Protobuf, record.AppendProtobuf(nil, &r), &got); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
		if got.Path != r.Path || !got.TimeStamp.Equal(r.TimeStamp) || got.Latency.Total != r.Latency.Total {
			t.Fatalf("record %d came back from protobuf as %+v", i, got)
		}
	}
}

func TestTheCompanyIsAllThere(t *testing.T) {
	found := map[string]int{}
	for _, r := range sample(1, 20000) {
		for name, is := range map[string]bool{
			"org " + r.OrgID:          true,
			"api " + r.APIName:        true,
			"country":                 r.Geo.Country.ISOCode != "" && r.Geo.Location.Latitude != 0,
			"no country":              r.Geo.Country.ISOCode == "",
			"alias":                   r.Alias != "",
			"oauth":                   r.OauthID != "",
			"keyless":                 r.APIKey == "00000000",
			"tracked and folded":      r.TrackPath && strings.Contains(r.Path, "{id}") && !strings.Contains(r.RawPath, "{"),
			"plain with id":           !r.TrackPath && strings.HasPrefix(r.Path, "/parcels/"),
			"graphql":                 r.GraphQL.IsGraphQL && len(r.GraphQL.RootFields) > 0,
			"graphql errors":          r.GraphQL.HasErrors && len(r.GraphQL.Errors) > 0,
			"mcp":                     r.MCP.IsMCP && r.MCP.PrimitiveName != "",
			"tcp":                     r.ResponseCode == -1 && r.Network.BytesIn > 0 && r.Method == "",
			"NUL":                     strings.Contains(r.Path, "\x00"),
			"invalid UTF-8":           !utf8.ValidString(r.Path),
			"markup":                  strings.Contains(r.Path, "<img"),
			"expires in 100 years":    r.ExpireAt.Sub(r.TimeStamp) > 99*365*24*time.Hour,
			"expires in 90 days":      r.ExpireAt.Sub(r.TimeStamp) < 91*24*time.Hour && !r.ExpireAt.IsZero(),
			"2xx":                     r.ResponseCode/100 == 2,
			"304":                     r.ResponseCode == 304,
			"404":                     r.ResponseCode == 404,
			"429":                     r.ResponseCode == 429,
			"503":                     r.ResponseCode == 503,
			"504":                     r.ResponseCode == 504,
			"gateway answered itself": r.ResponseCode == 401 && r.Latency.Upstream == 0,
		} {
			if is {
				found[name]++
			} else {
				found[name] += 0
			}
		}
	}
	for name, n := range found {
		if n == 0 {
			t.Errorf("no record with: %s", name)
		}
	}
	if want := 3 + len(apis) + 23; len(found) != want {
		t.Errorf("%d kinds, want %d organisations, %d APIs and 23 more", len(found), 3, len(apis))
	}
}

func TestAverageSize(t *testing.T) {
	sum := 0
	recs := sample(5, 5000)
	for _, r := range recs {
		sum += len(record.AppendMsgpack(nil, &r))
	}
	if avg := sum / len(recs); avg < 1250 || avg > 1550 {
		t.Errorf("%d bytes a record on average, want some 1400", avg)
	}
}

func TestEventsOfACycle(t *testing.T) {
	var slow, calm []int64
	burst, usual := map[bool]int{}, map[bool]int{}
	g := New(1, Options{Start: start})
	for _, r := range sample(1, 30000) {
		p := g.phase(r.TimeStamp)
		if r.APIName == "Payments" && r.ResponseCode < 400 {
			if p > 0.5 && p < 0.55 {
				slow = append(slow, r.Latency.Upstream)
			} else if p < slowFrom {
				calm = append(calm, r.Latency.Upstream)
			}
		}
		if r.APIName == "Orders" {
			failed := r.ResponseCode >= 500
			if p > 0.77 && p < 0.79 {
				burst[failed]++
			} else if p < burstFrom {
				usual[failed]++
			}
		}
	}
	slices.Sort(slow)
	slices.Sort(calm)
	if a, b := slow[len(slow)/2], calm[len(calm)/2]; a < 5*b {
		t.Errorf("median of slow payments %d ms, of usual ones %d ms", a, b)
	}
	if burst[true] < burst[false] || usual[true]*20 > usual[false] {
		t.Errorf("failures in the burst %v, otherwise %v", burst, usual)
	}
}

func TestLoadFollowsTheDayAndTheSpike(t *testing.T) {
	g := New(1, Options{Start: start, Rate: 100, Cycle: 10 * time.Minute})
	base := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	if night, noon := g.Load(base.Add(4*time.Hour)), g.Load(base.Add(16*time.Hour)); night*2 > noon {
		t.Errorf("night %f, afternoon %f", night, noon)
	}
	spike := g.Load(start.Add(time.Duration(0.26 * float64(10*time.Minute))))
	if usual := g.Load(start); spike < 2.5*usual {
		t.Errorf("spike %f, usual %f", spike, usual)
	}
}

func TestSpread(t *testing.T) {
	g := New(1, Options{Start: start})
	n, inSpike := 0, 0
	last := start
	for at := range g.Spread(start, start.Add(5*time.Minute), 10000) {
		if at.Before(last) || at.After(start.Add(5*time.Minute)) {
			t.Fatalf("%v behind %v", at, last)
		}
		last = at
		n++
		if p := g.phase(at); p > spikeFrom && p < spikeTo {
			inSpike++
		}
	}
	if share := float64(inSpike) / float64(n); n != 10000 || math.Abs(share-0.237) > 0.03 {
		t.Errorf("%d times, %.3f of them in the spike", n, share)
	}
}

func TestPoisonCannotBeDecoded(t *testing.T) {
	g := New(9, Options{Start: start})
	for _, f := range []record.Format{record.Msgpack, record.Protobuf} {
		for i, p := range g.Poison(400, f) {
			var r record.Record
			if err := record.Decode(f, p, &r); err == nil {
				t.Errorf("%v %d decodes: %q", f, i, p)
			}
		}
	}
}
