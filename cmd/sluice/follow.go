package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"sluice/internal/config"
	"sluice/internal/pipeline"
	"sluice/sinks/discard"
	"sluice/sinks/mongoagg"
	"sluice/sinks/mongoraw"
	"sluice/sinks/opensearch"
	"sluice/sinks/s3csv"
	"sluice/sinks/stdout"
	"sluice/sources/archive"
	"sluice/sources/redislist"
)

// followingSinks are the sinks that take what a followed archive has: those that know records by their ID, or by their
// positions within an hour. Others need all of a list in the order of its positions, which lies hour by hour in an archive.
func followingSinks(cfg *config.Config) (names []string) {
	for _, name := range sortedKeys(cfg.Sinks) {
		switch cfg.Sinks[name].Settings.(type) {
		case mongoagg.Config, mongoraw.Config, opensearch.Config, stdout.Config, discard.Config:
			names = append(names, name)
		}
	}
	return names
}

// summingSinks are those that keep sums of records, not records.
func summingSinks(cfg *config.Config) (names []string) {
	for _, name := range sortedKeys(cfg.Sinks) {
		if _, ok := cfg.Sinks[name].Settings.(mongoagg.Config); ok {
			names = append(names, name)
		}
	}
	return names
}

// followable tells what is wrong with following archives by this configuration.
func followable(cfg *config.Config) error {
	for _, name := range sortedKeys(cfg.Sources) {
		a, ok := cfg.Sources[name].Settings.(archive.Config)
		if !ok {
			continue
		}
		if len(followingSinks(cfg)) == 0 {
			return usageError{fmt.Errorf("%s: source %s follows an archive, and no sink takes what it has: add one of type mongo-aggregate, mongo-raw or opensearch",
				cfg.File(), name)}
		}
		for _, sink := range sortedKeys(cfg.Sinks) {
			own, ok := cfg.Sinks[sink].Settings.(s3csv.Config)
			if ok && own.Bucket == a.Bucket && own.Prefix == a.Prefix && (len(a.Regions) == 0 || slices.Contains(a.Regions, cfg.Region)) {
				return usageError{fmt.Errorf("%s: source %s follows the archive that sink %s writes, so that all records would come twice; name the other regions in sources.%s.regions",
					cfg.File(), name, sink, name)}
			}
		}
	}
	return nil
}

// archiveSource shows the regions of a followed archive as lists.
type archiveSource struct{ *archive.Source }

// Audit implements source.
func (s archiveSource) Audit(ctx context.Context) ([]redislist.ListAudit, error) {
	regions, err := s.Progress(ctx)
	if err != nil {
		return nil, err
	}
	lags, err := s.lags(ctx)
	if err != nil {
		return nil, err
	}
	for name := range lags {
		if !slices.ContainsFunc(regions, func(r archive.RegionProgress) bool { return r.Region == name }) {
			regions = append(regions, archive.RegionProgress{Region: name})
		}
	}
	out := make([]redislist.ListAudit, len(regions))
	for i, r := range regions {
		l := redislist.ListAudit{List: r.Region, Taken: r.Taken, Lost: r.Lost, Waiting: lags[r.Region].Records, Oldest: lags[r.Region].Hour, Sinks: map[string]redislist.SinkAudit{}}
		for name, k := range r.Sinks {
			l.Sinks[name] = redislist.SinkAudit{Taken: k.Taken, Counts: k.Counts}
		}
		out[i] = l
	}
	return out, nil
}

// lags is by region what waits: as the process that follows knows it, else as a look at the archive shows.
func (s archiveSource) lags(ctx context.Context) (map[string]archive.Lag, error) {
	lags, following := s.Behind()
	if !following {
		var err error
		if lags, _, err = s.Lags(ctx); err != nil {
			return nil, err
		}
	}
	out := map[string]archive.Lag{}
	for _, l := range lags {
		out[l.Region] = l
	}
	return out, nil
}

// lagging is from when on check warns of a region that is behind: objects are a minute's, and are looked for every ten seconds.
const lagging = 10 * time.Minute

// Check implements source.
func (s archiveSource) Check(ctx context.Context) (found []redislist.Finding) {
	lags, last, err := s.Lags(ctx)
	if err != nil {
		cure := "see bucket, prefix and endpoint, and the rights: s3:ListBucket, s3:GetObject, and where the cursor is kept s3:PutObject and s3:DeleteObject"
		if class, _ := pipeline.Classify(err); class == pipeline.FatalError {
			cure = "a run would not start"
		}
		return []redislist.Finding{{Level: redislist.Fail, Text: err.Error(), Cure: cure}}
	}
	text := "nobody follows the archive now"
	if !last.IsZero() {
		text = fmt.Sprintf("the archive is followed; the last sign of that is of %s", last.UTC().Format(time.RFC3339))
	}
	found = append(found, redislist.Finding{Level: redislist.OK, Text: text})
	var behind []string
	level := redislist.OK
	for _, l := range lags {
		behind = append(behind, fmt.Sprintf("region %s: up to %d records, the oldest since %s", l.Region, l.Records, l.Age.Round(time.Second)))
		if l.Age > lagging {
			level = redislist.Warn
		}
	}
	switch {
	case len(behind) == 0:
		found = append(found, redislist.Finding{Level: redislist.OK, Text: "nothing of the last two days waits to be followed"})
	case level == redislist.Warn:
		found = append(found, redislist.Finding{Level: level, Text: "waits to be followed: " + strings.Join(behind, "; "), Cure: "see whether a follower runs, and its sinks"})
	default:
		found = append(found, redislist.Finding{Level: level, Text: "waits to be followed: " + strings.Join(behind, "; ")})
	}
	return found
}
