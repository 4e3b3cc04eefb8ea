package config

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"sluice/internal/units"
)

// widths are the bucket widths that retention.aggregate.keep may name, fine to coarse.
func widths() []string { return []string{"1m", "5m", "15m", "30m", "1h", "1d"} }

func (v *validator) retention() {
	r := v.cfg.Retention
	if r.Archive.CompactAfter < minCompactAfter {
		v.add("retention.archive.compact_after", r.Archive.CompactAfter.String()+" is too early", "give at least 1h")
	}
	if r.Archive.TargetObject < units.MiB {
		v.add("retention.archive.target_object", r.Archive.TargetObject.String()+" is too little", "give at least 1MiB; 256MiB is the default")
	}
	if r.Raw.CappedSize < units.MiB {
		v.add("retention.raw.capped_size", r.Raw.CappedSize.String()+" is too little", "give at least 1MiB; 5GiB is the default")
	}
	if r.Search.MaxSize != 0 && r.Search.MaxSize < units.MiB {
		v.add("retention.search.max_size", r.Search.MaxSize.String()+" is too little", "give at least 1MiB, or 0 for no bound")
	}
	if r.Search.SealAfter != 0 && r.Search.SealAfter < minSealAfter {
		v.add("retention.search.seal_after", r.Search.SealAfter.String()+" is too early", "give at least 1h, 2d is good, or 0s to leave indices as they are")
	}
	v.keepByWidth("retention.aggregate.keep", r.Aggregate.Keep)
	for _, org := range slices.Sorted(maps.Keys(r.Organisations)) {
		path := join("retention.organisations", org)
		if org == "" {
			v.add(path, "the organisation has no ID", "write its ID as the key")
		}
		if a := r.Organisations[org].Archive; a != nil && a.Keep > 0 && (r.Archive.Keep == 0 || a.Keep < r.Archive.Keep) && v.sound(path+".archive") {
			v.add(path+".archive.keep", a.Keep.String()+" is shorter than retention.archive.keep: an object holds rows of all organisations and goes as a whole",
				"leave it out and run sluice archive erase --org "+org+" --to TIME --apply, or shorten retention.archive.keep")
		}
		if a := r.Organisations[org].Aggregate; a != nil {
			v.keepByWidth(path+".aggregate.keep", a.Keep)
		}
	}
	v.holds(r.Holds)
}

// keepByWidth wants known widths, and coarser ones kept at least as long as finer ones, or rolling up would lose them.
func (v *validator) keepByWidth(path string, keep map[string]units.Duration) {
	finer := ""
	for _, w := range widths() {
		k, ok := keep[w]
		if !ok {
			continue
		}
		if finer != "" && k != 0 && (k < keep[finer] || keep[finer] == 0) && v.sound(path) {
			v.add(join(path, w), "buckets of "+w+" are kept for less time than those of "+finer, "keep coarser buckets at least as long")
		}
		finer = w
	}
	for _, w := range slices.Sorted(maps.Keys(keep)) {
		if !slices.Contains(widths(), w) {
			v.add(join(path, w), "is not a bucket width", "known are "+strings.Join(widths(), ", "))
		}
	}
}

func (v *validator) holds(holds []Hold) {
	for i, h := range holds {
		at := "retention.holds[" + strconv.Itoa(i) + "]"
		if h.Org == "" {
			v.missingIn(at, "org", "name the organisation, or * for all")
		}
		if strings.TrimSpace(h.Reason) == "" {
			v.missingIn(at, "reason", "say why; it is printed wherever the hold keeps something")
		}
		if !h.From.IsZero() && !h.To.IsZero() && !h.To.After(h.From.Time) && v.sound(at) {
			v.add(at+".to", "is not after from", "to is the first moment that is not kept any more")
		}
	}
}

func (v *validator) missingIn(at, key, cure string) { v.add(at+"."+key, "is missing", cure) }
