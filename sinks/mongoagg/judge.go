package mongoagg

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sluice/aggregate"
)

// judge says what is wrong with the documents of a fold.
func (k *comparing) judge(f *refold, snap Snapshot) error {
	for _, t := range f.docs {
		if why := cmp.Or(f.bad, t.bad); why != "" {
			k.found(FindUntold, t, why, nil, nil)
			continue
		}
		if err := k.judgeOne(t, snap); err != nil {
			return err
		}
	}
	return nil
}

func (k *comparing) judgeOne(t *target, snap Snapshot) error {
	if t.raw == nil {
		return k.absent(t)
	}
	if !t.exists || len(t.pos) == 0 {
		if t.uncounted > 0 {
			k.found(FindDiffers, t, uncounted(t), decodeDelta(t.raw), nil)
		}
		return nil // it has counted nothing of ours
	}
	var late string
	for l, p := range t.pos {
		if !snap.Elsewhere(l) && !snap.Covers(l, p) {
			late = lagging(l, p) // it came while the archive was read
		}
	}
	if late != "" {
		k.found(FindInFlight, t, late, nil, nil)
		return nil
	}
	total := t.total(orgBucket{t.org, t.bucket})
	has, want, err := k.both(t, total)
	var bad unfit
	switch {
	case errors.As(err, &bad):
		k.found(FindUntold, t, bad.why, nil, nil)
		return nil
	case err != nil:
		return err
	}
	k.compared++
	diff := differences(has, want)
	switch {
	case len(diff) > 0 && len(t.ends) == 0:
		k.found(FindStrange, t, "the archive has none of the records that it counts", has, want)
	case len(diff) > 0:
		return k.differs(t, total, has, want, diff)
	case t.uncounted > 0:
		k.found(FindDiffers, t, uncounted(t), has, &aggregate.Delta{Total: aggregate.Counter{Hits: want.Total.Hits + t.uncounted}})
	}
	return nil
}

func uncounted(t *target) string {
	return fmt.Sprintf("%d records that the ledger has as effective are not counted in it", t.uncounted)
}

// absent says whether a document that is not there should be.
func (k *comparing) absent(t *target) error {
	if t.uncounted == 0 || k.c.Gone(t.org, t.timestamp()) {
		return nil
	}
	fresh, err := k.compose(t, t.total(orgBucket{t.org, t.bucket}))
	var bad unfit
	if err != nil && !errors.As(err, &bad) {
		return err
	}
	if err == nil && fresh.expired(k.now().UnixMilli()) {
		return nil
	}
	want := &aggregate.Delta{Total: aggregate.Counter{Hits: t.uncounted}}
	k.found(FindMissing, t, fmt.Sprintf("there is no such document; the archive has %d of its records", t.uncounted), nil, want)
	return nil
}

// both are what a document counts and what it should.
func (k *comparing) both(t *target, total *aggregate.Delta) (has, want *aggregate.Delta, err error) {
	fresh, err := k.compose(t, total)
	if err != nil {
		return nil, nil, err
	}
	has, want = decodeDelta(t.raw), decodeDelta(fresh.encode())
	if has == nil {
		has = &aggregate.Delta{}
	}
	if want == nil {
		want = &aggregate.Delta{}
	}
	return has, want, nil
}

// differs tells records that count twice because they were claimed again from other differences.
func (k *comparing) differs(t *target, total, has, want *aggregate.Delta, diff []string) error {
	why := strings.Join(diff, "; ")
	if t.again != nil {
		twice := &aggregate.Delta{Org: total.Org, Bucket: total.Bucket}
		twice.Merge(total)
		twice.Merge(t.again.total(orgBucket{t.org, t.bucket}))
		_, plain, err := k.both(t, twice)
		if err != nil {
			return err
		}
		if len(differences(has, plain)) == 0 {
			k.found(FindCopies, t, fmt.Sprintf("%d records that were claimed again count twice", t.copies), has, want)
			return nil
		}
		why += fmt.Sprintf(" (%d records of it were claimed again)", t.copies)
	}
	k.found(FindDiffers, t, why, has, want)
	return nil
}

// maxNamed is how many counters of a document are named.
const maxNamed = 12

// differences names the counters that differ. Where a document was so full that newcomers counted under other, only the
// sums of the dimension are compared: who came first may have been another.
func differences(has, want *aggregate.Delta) (out []string) {
	add := func(where string, a, b *aggregate.Counter) {
		for _, d := range counterDiff(a, b) {
			if len(out) < maxNamed {
				out = append(out, where+"."+d)
			}
		}
	}
	add("total", &has.Total, &want.Total)
	for i := range aggregate.NumDims {
		dim := aggregate.Dim(i)
		a, b := has.Dims[dim], want.Dims[dim]
		if full(a) || full(b) {
			x, y := sumOf(a), sumOf(b)
			add(dim.String()+" together", &aggregate.Counter{Hits: x.Hits, Success: x.Success, Errors: x.Errors},
				&aggregate.Counter{Hits: y.Hits, Success: y.Success, Errors: y.Errors})
			continue
		}
		for _, key := range keysOf(a, b) {
			x, y := a[key], b[key]
			if x == nil {
				x = &aggregate.Entry{}
			}
			if y == nil {
				y = &aggregate.Entry{}
			}
			name := strings.TrimPrefix(key.Outer+"."+key.Name, ".")
			add(dim.String()+"."+name, &x.Counter, &y.Counter)
		}
	}
	return out
}

func full(m map[aggregate.Key]*aggregate.Entry) bool {
	return m[aggregate.Key{Name: aggregate.Other}] != nil || m[aggregate.Key{Outer: aggregate.Other, Name: aggregate.Other}] != nil
}

func sumOf(m map[aggregate.Key]*aggregate.Entry) (c aggregate.Counter) {
	for _, e := range m {
		c.Merge(&e.Counter)
	}
	return c
}

func keysOf(a, b map[aggregate.Key]*aggregate.Entry) []aggregate.Key {
	var keys []aggregate.Key
	for _, m := range []map[aggregate.Key]*aggregate.Entry{a, b} {
		for k := range m {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(x, y aggregate.Key) int {
		return cmp.Or(cmp.Compare(x.Outer, y.Outer), cmp.Compare(x.Name, y.Name))
	})
	return slices.Compact(keys)
}

// counterDiff names the fields of a counter that differ. What means something only with requests is compared with them.
func counterDiff(a, b *aggregate.Counter) (out []string) {
	type field struct {
		name string
		a, b int64
	}
	fields := []field{{"hits", a.Hits, b.Hits}, {"success", a.Success, b.Success}, {"errortotal", a.Errors, b.Errors},
		{"totalrequesttime", a.RequestTime, b.RequestTime}, {"totallatency", a.Latency, b.Latency},
		{"totalupstreamlatency", a.Upstream, b.Upstream}, {"openconnections", a.OpenConnections, b.OpenConnections},
		{"closedconnections", a.ClosedConnections, b.ClosedConnections}, {"bytesin", a.BytesIn, b.BytesIn}, {"bytesout", a.BytesOut, b.BytesOut}}
	if a.Hits > 0 && b.Hits > 0 {
		fields = append(fields, field{"maxlatency", a.MaxLatency, b.MaxLatency}, field{"maxupstreamlatency", a.MaxUpstream, b.MaxUpstream},
			field{"lasttime", a.LastTime, b.LastTime})
	}
	if a.Served() && b.Served() {
		fields = append(fields, field{"minlatency", a.MinLatency, b.MinLatency}, field{"minupstreamlatency", a.MinUpstream, b.MinUpstream})
	}
	for _, f := range fields {
		if f.a != f.b {
			out = append(out, fmt.Sprintf("%s is %d, the archive adds up to %d", f.name, f.a, f.b))
		}
	}
	x, y := a.ErrorList(), b.ErrorList()
	if !hasOther(x) && !hasOther(y) && !slices.Equal(x, y) {
		out = append(out, fmt.Sprintf("errormap is %v, the archive adds up to %v", x, y))
	}
	return out
}

func hasOther(codes []aggregate.CodeCount) bool {
	return slices.ContainsFunc(codes, func(c aggregate.CodeCount) bool { return c.Code == aggregate.OtherCode })
}
