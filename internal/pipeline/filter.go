package pipeline

import "sluice/internal/record"

// filterSet is Filters ready for use; nil passes everything.
type filterSet struct {
	orgs, apis, skipOrgs, skipAPIs map[string]struct{}
	codes, skipCodes               map[int]struct{}
}

func newFilterSet(f *Filters) *filterSet {
	if f.Empty() {
		return nil
	}
	return &filterSet{
		orgs: set(f.OrgIDs), apis: set(f.APIIDs), codes: set(f.ResponseCodes),
		skipOrgs: set(f.SkipOrgIDs), skipAPIs: set(f.SkipAPIIDs), skipCodes: set(f.SkipResponseCodes),
	}
}

// Empty tells whether every record passes.
func (f *Filters) Empty() bool {
	return f == nil || len(f.OrgIDs)+len(f.APIIDs)+len(f.ResponseCodes)+
		len(f.SkipOrgIDs)+len(f.SkipAPIIDs)+len(f.SkipResponseCodes) == 0
}

func set[K comparable](keys []K) map[K]struct{} {
	if len(keys) == 0 {
		return nil
	}
	m := make(map[K]struct{}, len(keys))
	for _, k := range keys {
		m[k] = struct{}{}
	}
	return m
}

func (f *filterSet) passes(it *Item) bool {
	if f == nil {
		return true
	}
	if u := it.Uptime; u != nil {
		return f.pass(u.OrgID, u.APIID, int(u.ResponseCode))
	}
	return f.passRecord(it.Record)
}

func (f *filterSet) passRecord(r *record.Record) bool {
	return f.pass(r.OrgID, r.APIID, int(r.ResponseCode))
}

func (f *filterSet) pass(org, api string, code int) bool {
	return chosen(f.orgs, f.skipOrgs, org) && chosen(f.apis, f.skipAPIs, api) && chosen(f.codes, f.skipCodes, code)
}

func chosen[K comparable](only, skip map[K]struct{}, k K) bool {
	if _, no := skip[k]; no {
		return false
	}
	if only == nil {
		return true
	}
	_, yes := only[k]
	return yes
}
