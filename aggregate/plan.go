package aggregate

import (
	"hash/maphash"

	"sluice/internal/record"
)

// combination is what of a record decides which counters it counts in, its error code apart.
type combination struct {
	api, version, key, oauth, country, path string
	tags                                    uint64 // hash of their number, lengths and bytes
	track                                   bool
}

// plan is the counters of a combination. Requests repeat combinations, so that most of them find all their counters at
// once; those that do not find each by itself.
type plan struct {
	cells    []*cell // a tag that stands twice counts twice
	api, key *cell   // those that take their names from the records
}

// maxPlans bounds what a document keeps. Traffic that combines values at random would make as many plans as records.
const maxPlans = 4096

func (d *Document) planOf(r *record.Record) *plan {
	c := combination{api: r.APIID, version: r.APIVersion, key: r.APIKey, oauth: r.OauthID, country: r.Geo.Country.ISOCode,
		tags: d.f.hashTags(r.Tags), track: r.TrackPath || d.f.shape.TrackAllPaths}
	if c.track {
		c.path = r.Path
	}
	if p := d.plans[c]; p != nil {
		return p
	}
	if len(d.plans) >= maxPlans {
		p := &d.f.scratch
		*p = plan{cells: p.cells[:0]}
		d.fill(p, r, c.track)
		return p
	}
	p := &plan{cells: make([]*cell, 0, 8+len(r.Tags))}
	d.fill(p, r, c.track)
	if d.plans == nil {
		d.plans = make(map[combination]*plan)
	}
	d.plans[d.f.keep(c)] = p
	d.mem += planBytes + 8*cap(p.cells)
	return p
}

const planBytes = 320 // with its place in the map

// keep makes a combination that outlives the record.
func (f *Fold) keep(c combination) combination {
	for _, s := range []*string{&c.api, &c.version, &c.key, &c.oauth, &c.country, &c.path} {
		*s = f.in.names[f.in.id(*s)]
	}
	return c
}

func (f *Fold) hashTags(tags []string) uint64 {
	if len(tags) == 0 || f.ignore[Tags] {
		return 0
	}
	f.hash.Reset()
	for _, t := range tags {
		maphash.WriteComparable(&f.hash, t) // with its length
	}
	return f.hash.Sum64()
}

// fill finds a record's counters, and makes those that are not there.
func (d *Document) fill(p *plan, r *record.Record, track bool) {
	f := d.f
	if r.APIID != "" && !f.ignore[APIID] {
		p.api = d.at(APIID, key{a: f.clean(r.APIID)})
		p.cells = append(p.cells, p.api)
	}
	if r.APIVersion != "" && !f.ignore[Versions] {
		p.cells = append(p.cells, d.at(Versions, key{f.in.id(r.APIID), f.in.id(r.APIVersion), 0}))
	}
	if r.APIKey != "" && !f.ignore[APIKeys] {
		p.key = d.at(APIKeys, key{a: f.clean(r.APIKey)})
		p.cells = append(p.cells, p.key)
	}
	if r.OauthID != "" && !f.ignore[OauthIDs] {
		p.cells = append(p.cells, d.at(OauthIDs, key{a: f.clean(r.OauthID)}))
	}
	if r.Geo.Country.ISOCode != "" && !f.ignore[Geo] {
		p.cells = append(p.cells, d.at(Geo, key{a: f.clean(r.Geo.Country.ISOCode)}))
	}
	if !f.ignore[Tags] {
		for _, t := range r.Tags {
			if id := f.tag(t); id != noTag {
				p.cells = append(p.cells, d.at(Tags, key{a: id}))
			}
		}
	}
	if track {
		d.fillPaths(p, r)
	}
}

func (d *Document) fillPaths(p *plan, r *record.Record) {
	f := d.f
	path, api := f.in.id(r.Path), f.in.id(r.APIID)
	if !f.ignore[Endpoints] {
		p.cells = append(p.cells, d.at(Endpoints, key{a: f.in.clean[path]}))
	}
	if r.APIKey != "" && !f.ignore[KeyEndpoints] {
		p.cells = append(p.cells, d.at(KeyEndpoints, key{f.clean(r.APIKey), api, path}))
	}
	if r.OauthID != "" && !f.ignore[OauthEndpoints] {
		p.cells = append(p.cells, d.at(OauthEndpoints, key{f.clean(r.OauthID), api, path}))
	}
	if !f.ignore[APIEndpoints] {
		p.cells = append(p.cells, d.at(APIEndpoints, key{api, f.in.id(r.APIVersion), path}))
	}
}
