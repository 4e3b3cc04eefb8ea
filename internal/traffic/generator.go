// Package traffic makes up the API traffic of a small company as Tyk gateways would report it, and pushes it into a
// Redis the way they do. The same seed, options and times give the same records.
package traffic

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"sluice/internal/record"
)

// Options of a Generator.
type Options struct {
	Start time.Time     // when the cycle of events begins; zero: 2026-01-01 UTC, so that nothing depends on now
	Rate  float64       // records a second on an average hour, what Load bends; 0: 200
	Cycle time.Duration // after which spike, slow upstream and error burst come again; 0: 5 minutes
}

// expireDefault is the gateway's 100 years.
const expireDefault = 100 * 365 * 24 * time.Hour

// Generator makes up records. It is not safe for concurrent use.
type Generator struct {
	opts  Options
	rnd   *rand.Rand
	apis  picker
	calls []picker         // of endpoints, by API
	keys  map[string]group // by organisation
	place picker
	buf   strings.Builder

	poisoned int // payloads made by Poison so far: the next one's kind
}

// group is the consumers of one organisation.
type group struct {
	members []consumer
	pick    picker
}

// New returns a generator.
func New(seed uint64, o Options) *Generator {
	if o.Start.IsZero() {
		o.Start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if o.Rate <= 0 {
		o.Rate = 200
	}
	if o.Cycle <= 0 {
		o.Cycle = 5 * time.Minute
	}
	g := &Generator{opts: o, rnd: rand.New(rand.NewPCG(seed, 0x51_1ce)), keys: map[string]group{}}
	for _, a := range apis {
		g.apis.add(a.weight)
		var p picker
		for _, e := range a.endpoints {
			p.add(e.weight)
		}
		g.calls = append(g.calls, p)
	}
	for _, c := range consumers {
		k := g.keys[c.org]
		k.members = append(k.members, c)
		k.pick.add(c.weight)
		g.keys[c.org] = k
	}
	for _, p := range places {
		g.place.add(p.weight)
	}
	return g
}

// Next overwrites r with the next record, as of the given time. The record aliases nothing of the generator.
func (g *Generator) Next(r *record.Record, at time.Time) {
	at = at.UTC()
	phase := g.phase(at)
	n := g.apis.pick(g.rnd)
	if g.rnd.Float64() < 0.7*within(phase, spikeFrom, spikeTo) {
		n = 1 // the campaign leads to the catalogue
	}
	a := &apis[n]
	e := &a.endpoints[g.calls[n].pick(g.rnd)]
	*r = record.Record{
		APIID: a.id, APIName: a.name, OrgID: a.org, APIVersion: g.version(a),
		TimeStamp: at, Day: int32(at.Day()), Month: int32(at.Month()), Year: int32(at.Year()), Hour: int32(at.Hour()),
		ExpireAt: at.Add(expireDefault + 90*time.Microsecond), ListenPath: a.listen, Host: "api.example.com",
	}
	if a.expireAfter > 0 {
		r.ExpireAt = at.Add(time.Duration(a.expireAfter)*time.Second + 90*time.Microsecond)
	}
	if a.kind == tcp {
		g.tcp(r)
		return
	}
	c := g.caller(r, a)
	g.from(r, c)
	g.request(r, a, e)
	g.outcome(r, a, e, phase)
	g.special(r, a)
	g.tags(r, a)
	g.bodies(r, e)
}

// version prefers an API's first.
func (g *Generator) version(a *api) string {
	for _, v := range a.versions {
		if g.rnd.Float64() < 0.75 {
			return v
		}
	}
	return a.versions[0]
}

// tcp fills what a TCP report carries: counters, no request.
func (g *Generator) tcp(r *record.Record) {
	r.ResponseCode = -1
	r.IPAddress = g.address("10.20")
	r.Network = record.Network{
		OpenConnections: int64(g.rnd.IntN(4)), ClosedConnections: int64(g.rnd.IntN(4)),
		BytesIn: int64(g.lognormal(9000, 1)), BytesOut: int64(g.lognormal(2500, 1)),
	}
	r.Tags = []string{"edge-eu", "node-" + strconv.Itoa(1+g.rnd.IntN(3)), "org-" + r.OrgID, "api-" + r.APIID}
}

// caller fills key, alias and OAuth client.
func (g *Generator) caller(r *record.Record, a *api) consumer {
	k := g.keys[a.org]
	c := k.members[k.pick.pick(g.rnd)]
	if a.keyless {
		c.key, c.alias, c.oauth = "00000000", "", "" // what the gateway writes for a keyless request
	}
	r.APIKey, r.Alias = c.key, c.alias
	if a.oauth {
		r.OauthID = c.oauth
	}
	return c
}

// from fills where the call came from and with which client.
func (g *Generator) from(r *record.Record, c consumer) {
	p := places[g.place.pick(g.rnd)]
	if c.country != "" && g.rnd.Float64() < 0.85 {
		for _, q := range places {
			if q.iso == c.country {
				p = q
			}
		}
	}
	r.IPAddress = g.address(p.network)
	if p.iso != "" {
		r.Geo = record.Geo{
			Country:  record.Country{ISOCode: p.iso},
			City:     record.City{GeoNameID: p.geonameID, Names: map[string]string{"en": p.city}},
			Location: record.Location{Latitude: p.lat, Longitude: p.lon, TimeZone: p.zone},
		}
	}
	i := c.agent
	if i < 0 {
		i = g.rnd.IntN(4)
	}
	r.UserAgent = agents[i]
}

// request fills method and paths.
func (g *Generator) request(r *record.Record, a *api, e *endpoint) {
	r.Method, r.TrackPath = e.method, e.tracked
	r.RawPath = g.fill(e.path)
	r.Path = r.RawPath
	if e.tracked {
		r.Path = e.path
	}
	if a.kind == rest && g.rnd.Float64() < 0.004 {
		r.RawPath = oddPaths[g.rnd.IntN(len(oddPaths))]
		r.Path, r.TrackPath = r.RawPath, false
	}
	r.OriginalPath = strings.TrimSuffix(a.listen, "/") + r.RawPath
}

// fill writes IDs into a pattern.
func (g *Generator) fill(path string) string {
	path = strings.Replace(path, "{id}", strconv.Itoa(1000+int(g.lognormal(400, 1.2))), 1)
	if strings.Contains(path, "{uuid}") {
		id := fmt.Sprintf("%08x-%04x-4%03x-a%03x-%012x", g.rnd.Uint32(), g.rnd.IntN(1<<16), g.rnd.IntN(1<<12),
			g.rnd.IntN(1<<12), g.rnd.Int64N(1<<48))
		path = strings.Replace(path, "{uuid}", id, 1)
	}
	return path
}

// tags are what the gateway puts on a record: the API's, its own, and three derived ones.
func (g *Generator) tags(r *record.Record, a *api) {
	r.Tags = append(append([]string{}, a.tags...), "edge-eu", "node-"+strconv.Itoa(1+g.rnd.IntN(3)),
		"key-"+r.APIKey, "org-"+r.OrgID, "api-"+r.APIID)
}

func (g *Generator) address(network string) string {
	return network + "." + strconv.Itoa(g.rnd.IntN(120)) + "." + strconv.Itoa(1+g.rnd.IntN(250))
}

// lognormal draws a value with the given median; sigma is the spread of its logarithm.
func (g *Generator) lognormal(median, sigma float64) float64 {
	return median * math.Exp(sigma*g.rnd.NormFloat64())
}

// picker chooses an index by weight.
type picker struct{ sums []float64 }

func (p *picker) add(weight float64) {
	last := 0.0
	if len(p.sums) > 0 {
		last = p.sums[len(p.sums)-1]
	}
	p.sums = append(p.sums, last+weight)
}

func (p *picker) pick(rnd *rand.Rand) int {
	x := rnd.Float64() * p.sums[len(p.sums)-1]
	for i, s := range p.sums {
		if x < s {
			return i
		}
	}
	return len(p.sums) - 1
}
