// Command lake writes an archive of made-up records into a directory, in small objects of hours that are over, so that
// joining, verifying and replaying a large archive can be measured: see docs/performance.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"sluice/internal/archive"
	"sluice/internal/archive/dirstore"
	"sluice/internal/pipeline"
	"sluice/internal/record"
)

func main() {
	dir := flag.String("dir", "", "directory of the archive")
	records := flag.Int("records", 1_000_000, "how many")
	object := flag.Int("object", 5_000, "records in an object")
	hour := flag.Int("hour", 50_000, "records in an hour")
	flag.Parse()
	if err := write(context.Background(), *dir, *records, *object, *hour); err != nil {
		fmt.Fprintln(os.Stderr, "lake:", err)
		os.Exit(1)
	}
}

// noMembers is a registry of one who writes alone and once.
type noMembers struct{}

func (noMembers) Recorded() (pipeline.MemberRange, bool)             { return pipeline.MemberRange{}, false }
func (noMembers) Record(context.Context, pipeline.MemberRange) error { return nil }

func write(ctx context.Context, dir string, records, object, hour int) error {
	if dir == "" || records < 1 || object < 1 || hour < object {
		return errors.New("give -dir, and numbers above 0 with no more records in an object than in an hour")
	}
	store, err := dirstore.Open(dir)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "lake-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	g := archive.NewGatherer(archive.Options{Sink: "lake", Dir: tmp, MaxBytes: 1 << 30, MaxAge: time.Hour,
		Layout: archive.Layout{Compression: archive.Zstd}, Log: slog.New(slog.DiscardHandler)})
	if err := g.OpenStore(store); err != nil {
		return err
	}
	defer func() { _ = g.Close(ctx) }() // everything was flushed
	begin := time.Now().UTC().Truncate(time.Hour).Add(-time.Duration(records/hour+4) * time.Hour)
	for n := 0; n < records; n += object {
		b := batch(n, min(object, records-n), hour, begin)
		if _, err := g.Add(ctx, b); err != nil {
			return err
		}
		if _, err := g.Flush(ctx, true); err != nil {
			return err
		}
	}
	return nil
}

// batch makes n records of one claim.
func batch(from, n, hour int, begin time.Time) *pipeline.Batch {
	b := &pipeline.Batch{Stream: pipeline.StreamID{Source: "main", List: "analytics-tyk-system-analytics", Lineage: strings.Repeat("0123456789abcdef", 2)},
		Claim: pipeline.ClaimID{Epoch: pipeline.Epoch{Ms: 1700000000000}, Number: uint32(from/n + 1)}, To: uint32(n), Members: noMembers{},
		Shape: pipeline.Shape{Key: "k", Record: pipeline.RecordShape{Region: "bench"}}}
	for i := range n {
		at := from + i
		r := &record.Record{TimeStamp: begin.Add(time.Duration(at) * time.Hour / time.Duration(hour)), OrgID: fmt.Sprint("org", at%7), APIID: fmt.Sprint("api", at%50),
			APIKey: fmt.Sprint("key", at*2654435761%2000), Method: "GET", Host: "api.example.com", Path: fmt.Sprint("/things/", at%500), RawPath: fmt.Sprint("/things/", at),
			ResponseCode: int32(200 + at%5*100), RequestTime: int64(at % 90), IPAddress: fmt.Sprintf("203.0.%d.%d", at/251%251, at%251), UserAgent: "curl/8.5.0",
			RawRequest: strings.Repeat("R0VUIC8gSFRUUC8xLjE", 12), Tags: []string{fmt.Sprint("t", at%13)}}
		r.Latency.Total, r.Latency.Upstream = r.RequestTime, r.RequestTime/2
		b.Items = append(b.Items, pipeline.Item{Index: uint32(i), ID: record.MakeID(r.TimeStamp, uint64(at)*0x9e3779b97f4a7c15), Record: r})
	}
	return b
}
