package main

import (
	"context"
	"fmt"
	"maps"
	"time"

	format "sluice/internal/archive"
	"sluice/internal/deepaudit"
	archivesource "sluice/sources/archive"
)

// follow adds the archives that are followed to the one that is compared with: what they have is in the stores as well. Without another
// they are it, unless something is drained here, which lies in none.
func (d *deepStores) follow(ctx context.Context, sources []source, opt *deepaudit.Options) error {
	drains := false
	var parts []archivesource.Part
	for _, s := range sources {
		a, ok := s.(archiveSource)
		if !ok {
			drains = true
			continue
		}
		p, end, err := a.Reading(ctx)
		if err != nil {
			return fmt.Errorf("source %s: %w", s.Name(), err)
		}
		d.closers = append(d.closers, end)
		parts = append(parts, p)
		d.followed = append(d.followed, a)
		first, err := firstOf(ctx, &p)
		if err != nil {
			return fmt.Errorf("source %s: %w", s.Name(), err)
		}
		if first.After(opt.FollowedFrom) {
			opt.FollowedFrom = first
		}
	}
	switch {
	case len(parts) == 0 || d.archive == nil && drains:
		return nil
	case d.archive == nil:
		d.archive = &openArchive{name: d.followed[0].Name()}
		opt.ArchiveName = d.archive.name
	}
	d.own = d.archive.Archive
	d.archive.More = parts
	opt.Archive = d.archive.Archive
	return nil
}

// firstOf is the first hour of which a followed archive has anything.
func firstOf(ctx context.Context, p *archivesource.Part) (time.Time, error) {
	for h, err := range (archivesource.Archive{More: []archivesource.Part{*p}}).Hours(ctx, p.Since, time.Time{}) {
		return h.Time, err
	}
	return time.Time{}, nil
}

// reach is how far the archive and a sink have come, of what is drained and, in an hour, of what is followed.
func (d *deepStores) reach(ctx context.Context, known *registries, hour time.Time) map[string]archivesource.Reach {
	out := maps.Clone(known.read(ctx))
	for _, s := range d.followed {
		f, err := s.Followed(ctx)
		if err != nil {
			known.say(err)
			continue
		}
		for _, lineage := range f.Lineages() {
			if _, drained := out[lineage]; !drained && !format.IsImport(lineage) {
				out[lineage] = archivesource.Reach{Archived: f.At(lineage, hour), Counted: f.At(lineage, hour)}
			}
		}
	}
	return out
}
