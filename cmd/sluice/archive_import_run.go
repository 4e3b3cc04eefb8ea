package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	driver "go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"

	format "sluice/internal/archive"
	"sluice/internal/mongo"
	"sluice/internal/mongoimport"
	"sluice/internal/pipeline"
	"sluice/internal/record"
	"sluice/sinks/csv"
	"sluice/sinks/s3csv"
	archivesource "sluice/sources/archive"
)

// importResult is what an import did. It is also what is kept of one that has not ended.
type importResult struct {
	Archive     string                        `json:"archive"`
	Sink        string                        `json:"sink"`
	Before      time.Time                     `json:"before"`
	Collections map[string]*mongoimport.Place `json:"collections"`
}

// sample reads some documents, and decodes them as an import would.
func (i *importer) sample(ctx context.Context, c *driver.Collection) (n int64, err error) {
	cur, err := c.Find(ctx, bson.D{}, options.Find().SetLimit(sample))
	if err != nil {
		return 0, fmt.Errorf("read documents of %s: %w", c.Name(), mongo.Classify(err))
	}
	defer func() { _ = cur.Close(context.WithoutCancel(ctx)) }() // the server ends it after a while if this fails
	for ; cur.Next(ctx); n++ {
		_, _ = mongoimport.Decode(cur.Current) // what cannot be decoded takes its time as well
	}
	return n, mongo.Classify(cur.Err())
}

// do imports, under the lease.
func (i *importer) do(ctx context.Context) (err error) {
	checkpoint, result, err := i.begin()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, checkpoint.Close()) }()
	into, err := openTarget(ctx, i.cfg, i.archive)
	if err != nil {
		return err
	}
	defer into.close()
	settled, err := i.settles()
	if err != nil {
		return err
	}
	for range 2 { // what waited in a list at the first time was taken meanwhile
		if err := settled(ctx); err != nil {
			return fmt.Errorf("nothing was imported: %w", err)
		}
	}
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
	bar := newProgress("importing", i.env.stderr, i.log)
	err = i.all(ctx, db, names, into, result, settled, func() error { return checkpoint.Save(result, true) }, bar)
	bar.end()
	if err != nil {
		err = fmt.Errorf("the import is not done, go on with --resume: %w", err)
	} else if err = checkpoint.Remove(); err == nil {
		err = result.failed()
	}
	return errors.Join(i.out.print(i.env.stdout, result, result.text), err)
}

// begin reads what an earlier run has left.
func (i *importer) begin() (*archivesource.Checkpoint, *importResult, error) {
	key, err := json.Marshal([]any{i.archive, i.raw.Target(), i.o.collections, i.o.before})
	if err != nil {
		return nil, nil, fmt.Errorf("name the import: %w", err)
	}
	sum := sha256.Sum256(key)
	c, err := archivesource.OpenCheckpoint(filepath.Join(i.cfg.State.Dir, "replay"), "import-"+hex.EncodeToString(sum[:8]))
	if err != nil {
		return nil, nil, err
	}
	r := &importResult{Archive: i.archive, Sink: i.sink, Before: i.before, Collections: map[string]*mongoimport.Place{}}
	if !i.o.resume {
		err = c.Remove()
	} else {
		var found bool
		if found, err = c.Load(r); err == nil && !found {
			i.log.Info("there is no interrupted import with these flags: it begins at its beginning")
		}
		i.before = r.Before
	}
	if err != nil {
		return nil, nil, errors.Join(err, c.Close())
	}
	return c, r, nil
}

// settles is what waits until the archive's own sink has got all that was taken from Redis: documents of records that are still on
// their way to the archive are not to be taken for ones that it lacks.
func (i *importer) settles() (func(context.Context) error, error) {
	sources, err := onlookingSources(i.cfg, i.log)
	if err != nil {
		return nil, err
	}
	d := &debts{sources: sources, sink: i.archive}
	return func(ctx context.Context) error {
		patience := i.o.timeout
		taken, err := d.taken(ctx)
		if err != nil {
			return err
		}
		return d.await(ctx, taken, &patience)
	}, nil
}

func (i *importer) all(ctx context.Context, db *driver.Database, names []string, into *openArchive, result *importResult, settled func(context.Context) error, save func() error, bar *progress) error {
	var done, expected int64
	for _, name := range names {
		n, err := db.Collection(name).EstimatedDocumentCount(ctx)
		if err != nil {
			return fmt.Errorf("count documents of %s: %w", name, mongo.Classify(err))
		}
		expected += n
		if at := result.Collections[name]; at != nil {
			done += at.Documents
		}
	}
	sink := i.cfg.Sinks[i.archive]
	shape := i.cfg.RecordShape()
	shape.Filters = sink.Filters.Pipeline()
	takes := archivesource.NewFilter(shape.Filters)
	layout, maxBytes := i.layout()
	for _, name := range names {
		at := result.Collections[name]
		if at == nil {
			at = &mongoimport.Place{}
			result.Collections[name] = at
		}
		if at.Done {
			continue
		}
		err := mongoimport.Run(ctx, mongoimport.Options{
			Collection: db.Collection(name), Before: i.before, Store: into.Store, Layout: layout, Shape: shape,
			Takes: func(r *record.Record) bool { return takes.Passes(r) }, MaxBytes: maxBytes, Dir: filepath.Join(i.stateDir(), "import"),
			Rate: i.rate, Log: i.log, Settled: settled, Saved: func(*mongoimport.Place) error { return save() },
			Moved: func(n int64) {
				if done += n; bar.due() {
					bar.at(uint64(done), uint64(max(done, expected)), name)
				}
			},
		}, at)
		if err != nil {
			return fmt.Errorf("collection %s: %w", name, err)
		}
	}
	return nil
}

// layout is how the archive's own sink writes.
func (i *importer) layout() (l format.Layout, maxBytes int64) {
	switch c := i.cfg.Sinks[i.archive].Settings.(type) {
	case s3csv.Config:
		return format.Layout{Prefix: c.Prefix, Compression: format.Compression(c.Compression), Neutral: c.Formulas}, int64(c.Object.MaxBytes)
	case csv.Config:
		return format.Layout{Compression: format.Compression(c.Compression), Neutral: c.Formulas}, int64(c.Object.MaxBytes)
	}
	return format.Layout{Compression: format.Zstd}, int64(format.DefaultMaxBytes)
}

func (r *importResult) text(w io.Writer) error {
	for _, name := range sortedKeys(r.Collections) {
		p := r.Collections[name]
		fmt.Fprintf(w, "%s: %d documents: %d archived in %d objects, %d were there, %d filtered, %d refused\n", printable(name), p.Documents,
			p.Archived, p.Objects, p.There, p.Filtered, p.Refused)
		if p.Extra > 0 {
			fmt.Fprintf(w, "%s: %d documents have fields that the archive has no column for; the log names them\n", printable(name), p.Extra)
		}
		if p.Strangers {
			fmt.Fprintf(w, "%s: documents whose _id is no ObjectID were not read\n", printable(name))
		}
	}
	_, err := fmt.Fprintf(w, "documents made since %s are left to the next time\n", r.Before.Format(time.RFC3339))
	return err
}

// failed ends an import whose result has said what was left.
func (r *importResult) failed() error {
	for _, p := range r.Collections {
		if p.Refused > 0 || p.Strangers {
			return silentError{}
		}
	}
	return nil
}

// taken is, by lineage, behind everything that was taken so far.
func (d *debts) taken(ctx context.Context) (map[string]pipeline.Position, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, auditTime, errors.New("no answer from Redis in time"))
	defer cancel()
	out := map[string]pipeline.Position{}
	for _, s := range d.sources {
		lists, err := s.Audit(ctx)
		if err != nil {
			return nil, fmt.Errorf("what sink %s is still to get is not known: audit source %s: %w", d.sink, s.Name(), err)
		}
		for i := range lists {
			l := &lists[i]
			at := l.Next()
			for _, c := range l.Claims { // a topic's partition has no next claim
				if id, err := pipeline.ParseClaimID(c.ID); err == nil {
					if p := (pipeline.Position{Claim: id, Index: c.Len}); p.Compare(at) > 0 {
						at = p
					}
				}
			}
			if l.Lineage != "" {
				out[l.Lineage] = at
			}
		}
	}
	return out, nil
}

// await waits until the sink has got what was taken.
func (d *debts) await(ctx context.Context, taken map[string]pipeline.Position, patience *time.Duration) error {
	for {
		owed, err := d.read(ctx)
		if err != nil {
			return err
		}
		late := ""
		for lineage, from := range owed {
			if from.Compare(taken[lineage]) < 0 {
				late = lineage
			}
		}
		if late == "" {
			return nil
		}
		if *patience <= 0 {
			return fmt.Errorf("sink %s still is to get records that were taken before, from Redis or its spool; let a pump deliver them, or sluice release them", d.sink)
		}
		began := time.Now()
		select {
		case <-time.After(owedPoll):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		*patience -= time.Since(began)
	}
}
