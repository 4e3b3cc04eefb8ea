package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.mongodb.org/mongo-driver/bson"
	driver "go.mongodb.org/mongo-driver/mongo"

	"sluice/internal/config"
	"sluice/internal/mongo"
	"sluice/retention/apply"
	"sluice/sinks/mongoraw"
)

// importOptions are the flags of archive import.
type importOptions struct {
	from, sink, archive string
	collections         []string
	before, rate        string
	resume, dryRun      bool
	timeout             time.Duration
}

// importMargin is how old documents are by default that are imported: far beyond what is on its way to MongoDB or the archive.
const importMargin = 24 * time.Hour

func archiveImport(e *environment) *cobra.Command {
	var o importOptions
	c := &cobra.Command{Use: "import --from mongo", Short: "Brings raw records that lie in MongoDB into the archive, each once", Args: noArgs,
		Long: `Reads the raw documents of a mongo-raw sink's database, also those that tyk-pump wrote, in the order of their _id, and writes
those that the archive has not got. MongoDB is only read. A document's _id becomes the record ID: what a pump of ours
wrote there and archived is recognised, and so is what was imported before. So it may be killed at any time, and run any number
of times; with --resume it goes on where it was, without it it looks at everything again.

Documents younger than a day are left to the next time, unless --before says otherwise. Before it begins it waits until the archive's own
sink has got what was taken from Redis. It holds the lease of retention. Masks, dropped bodies and the archive sink's
filters apply as to records of gateways. Exits 1 if a document could not be archived; which, and why, is said.`,
		Example: "  sluice archive import --from mongo --dry-run\n  sluice archive import --from mongo --rate 5000/s\n  sluice archive import --from mongo --sink raw --collection tyk_analytics --resume"}
	f := c.Flags()
	f.StringVar(&o.from, "from", "", "kind of store to read: mongo")
	f.StringVar(&o.sink, "sink", "", "the mongo-raw sink whose database is read (default: the only one)")
	f.StringVar(&o.archive, "archive", "", "name of the sink whose archive is written (default: the only s3-csv or csv sink)")
	f.StringSliceVar(&o.collections, "collection", nil, "only this collection; may be repeated (default: tyk_analytics with layout capped, all of organisations with per-org)")
	f.StringVar(&o.before, "before", "", "only documents whose _id was made before, like 2026-11-23T09:00:00Z or 2026-11-23 (default: a day ago)")
	f.StringVar(&o.rate, "rate", "", "at most so many documents a second, like 5000/s (default: as fast as it goes)")
	f.BoolVar(&o.resume, "resume", false, "go on where an interrupted import with the same flags was")
	f.BoolVar(&o.dryRun, "dry-run", false, "only tell how many documents there are and how long it would take")
	f.DurationVar(&o.timeout, "timeout", 5*time.Minute, "how long to wait for the archive's own sink")
	out := outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error { return e.importFrom(c.Context(), &o, out) }
	return c
}

// importer is one archive import.
type importer struct {
	*retainer
	o       *importOptions
	rate    float64
	before  time.Time
	archive string
	sink    string
	raw     mongoraw.Config
}

func (e *environment) importFrom(ctx context.Context, o *importOptions, out *output) error {
	i := &importer{o: o, before: time.Now().Add(-importMargin).UTC().Truncate(time.Hour)}
	if o.from != "mongo" {
		return usageError{errors.New("--from: name the kind of store that is read; only mongo can be")}
	}
	var err error
	if i.rate, err = replayRate(o.rate); err != nil {
		return err
	}
	if o.before != "" {
		if i.before, err = parseTime(o.before); err != nil {
			return usageError{fmt.Errorf("--before %w", err)}
		}
	}
	cfg, log, err := e.load(ctx)
	if err != nil {
		return err
	}
	i.retainer = &retainer{env: e, cfg: cfg, log: log, out: out}
	if i.archive, err = archiveSink(cfg, o.archive); err != nil {
		return err
	}
	if i.sink, err = rawSink(cfg, o.sink); err != nil {
		return err
	}
	i.raw = cfg.Sinks[i.sink].Settings.(mongoraw.Config)
	if o.dryRun {
		return i.tell(ctx)
	}
	return i.locked(ctx, func(ctx context.Context, dir *apply.Dir, _ string, _ *retainStores) error {
		if err := dir.Scratch("import"); err != nil {
			return err
		}
		return i.do(ctx)
	})
}

// rawSink is the name of the mongo-raw sink that is meant.
func rawSink(cfg *config.Config, name string) (string, error) {
	var names []string
	for _, n := range sortedKeys(cfg.Sinks) {
		if _, ok := cfg.Sinks[n].Settings.(mongoraw.Config); ok {
			names = append(names, n)
		}
	}
	switch {
	case len(names) == 0:
		return "", usageError{errors.New("no sink says where documents lie: configure one of type mongo-raw for their database")}
	case name != "" && !slices.Contains(names, name):
		return "", usageError{fmt.Errorf("--sink %s: that is no sink of type mongo-raw; there is %s", name, strings.Join(names, ", "))}
	case name == "" && len(names) > 1:
		return "", usageError{fmt.Errorf("there are several mongo-raw sinks: name one with --sink (%s)", strings.Join(names, ", "))}
	case name == "":
		return names[0], nil
	}
	return name, nil
}

// collections are those that are read, sorted.
func (i *importer) collections(ctx context.Context, db *driver.Database) ([]string, error) {
	there, err := db.ListCollectionNames(ctx, bson.D{{Key: "type", Value: "collection"}})
	if err != nil {
		return nil, fmt.Errorf("list collections: %w", mongo.Classify(err))
	}
	slices.Sort(there)
	if len(i.o.collections) > 0 {
		for _, name := range i.o.collections {
			if !slices.Contains(there, name) {
				return nil, usageError{fmt.Errorf("--collection %s: there is no such collection in %s", name, db.Name())}
			}
		}
		return i.o.collections, nil
	}
	out := slices.DeleteFunc(there, func(name string) bool { return !mongoraw.HoldsRecords(i.raw.Layout, name) })
	if len(out) == 0 {
		return nil, fmt.Errorf("database %s has no collection of layout %s", db.Name(), i.raw.Layout)
	}
	return out, nil
}

// importPlan is what an import would read.
type importPlan struct {
	Archive     string           `json:"archive"`
	Sink        string           `json:"sink"`
	Before      time.Time        `json:"before"`
	Collections []importEstimate `json:"collections"`
	Seconds     float64          `json:"estimated_seconds"` // to read; what has to be written takes longer
}

type importEstimate struct {
	Name      string `json:"collection"`
	Documents int64  `json:"documents"` // of the collection's statistics, of any age
}

// sample is how many documents are read to tell how fast that goes.
const sample = 2000

func (i *importer) tell(ctx context.Context) error {
	client, err := mongo.Connect(ctx, i.raw.URI, "sluice archive import")
	if err != nil {
		return err
	}
	defer mongo.Disconnect(context.WithoutCancel(ctx), client)
	db := client.Database(i.raw.Database)
	names, err := i.collections(ctx, db)
	if err != nil {
		return err
	}
	p := &importPlan{Archive: i.archive, Sink: i.sink, Before: i.before}
	var all, read int64
	var took time.Duration
	for _, name := range names {
		n, err := db.Collection(name).EstimatedDocumentCount(ctx)
		if err != nil {
			return fmt.Errorf("count documents of %s: %w", name, mongo.Classify(err))
		}
		p.Collections = append(p.Collections, importEstimate{name, n})
		all += n
		began := time.Now()
		got, err := i.sample(ctx, db.Collection(name))
		if err != nil {
			return err
		}
		read, took = read+got, took+time.Since(began)
	}
	if read > 0 {
		p.Seconds = float64(all) / float64(read) * took.Seconds()
	}
	if i.rate > 0 {
		p.Seconds = max(p.Seconds, float64(all)/i.rate)
	}
	return i.out.print(i.env.stdout, p, p.text)
}

func (p *importPlan) text(w io.Writer) error {
	for _, c := range p.Collections {
		fmt.Fprintf(w, "%s: some %d documents\n", printable(c.Name), c.Documents)
	}
	_, err := fmt.Fprintf(w, "those made before %s would be read, and those that archive %s has not got be written; to read them takes some %s, by a first sample and --rate\n",
		p.Before.Format(time.RFC3339), p.Archive, time.Duration(p.Seconds*float64(time.Second)).Round(time.Second))
	return err
}
