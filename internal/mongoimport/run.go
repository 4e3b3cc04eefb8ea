package mongoimport

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	driver "go.mongodb.org/mongo-driver/mongo"

	"sluice/internal/archive"
	"sluice/internal/pace"
	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// Options of an import.
type Options struct {
	Collection *driver.Collection
	Before     time.Time // only documents whose _id was made before
	Store      archive.Store
	Layout     archive.Layout
	Shape      pipeline.RecordShape // what is done to records, as to those of gateways
	Takes      func(*record.Record) bool
	MaxBytes   int64 // of rows that are gathered, on the disk, before they are written
	Dir        string
	Rate       float64 // documents a second; 0: as fast as it goes
	Moved      func(documents int64)
	Saved      func(*Place) error // called when all up to a place is durable
	// Settled returns when the archive's own sink has got what was taken from the sources by now. It is called before rows are written
	// that the archive did not have: of a document that a pump stored while it was imported, the record may have been on its way there.
	Settled func(context.Context) error
	Log     *slog.Logger
}

// Place is how far the import of a collection is, and what it did so far.
type Place struct {
	After     string `json:"after,omitempty"` // _id of the last document that is done
	Documents int64  `json:"documents"`       // that were read
	Archived  int64  `json:"archived"`        // rows that were written
	There     int64  `json:"there"`           // the archive had them
	Filtered  int64  `json:"filtered"`        // the archive's filters leave them out
	Refused   int64  `json:"refused"`         // have no place in an archive; they are named in the log
	Objects   int64  `json:"objects"`
	Extra     int64  `json:"extra"`     // documents with fields that no record has, which are not archived
	Strangers bool   `json:"strangers"` // there are documents whose _id is no ObjectID; they were not read
	Done      bool   `json:"done"`
}

// Source is what rows of an import have as their source.
const Source = "mongo"

// saidRefusals is how many documents are named in the log.
const saidRefusals = 10

// importing is an import under way.
type importing struct {
	o      Options
	at     *Place
	after  *record.ID // nil: at the beginning
	stream pipeline.StreamID
	masker *record.Masker
	known  *known
	into   *archive.Importer
	asked  []asked // what was gathered since the last flush
	extra  map[string]bool
	pace   pace.Pacer
}

// Run imports what lies behind a place, which it moves on. Each document becomes a row, with its _id as record ID, unless the
// archive has a row with that ID: so it may be ended at any moment and be done any number of times. Two must not run at once.
func Run(ctx context.Context, o Options, at *Place) (err error) {
	place := o.Collection.Database().Name() + "." + o.Collection.Name()
	i := &importing{o: o, at: at, known: newKnown(o.Store, o.Layout.Prefix), extra: map[string]bool{}, pace: pace.Pacer{Rate: o.Rate},
		stream: pipeline.StreamID{Source: Source, List: place, Lineage: archive.ImportLineage(place)}}
	if err := i.goTo(at); err != nil {
		return err
	}
	rules := make([]record.MaskRule, len(o.Shape.Masks))
	for n, m := range o.Shape.Masks {
		rules[n] = record.MaskRule{Field: m.Field, Action: m.Action}
	}
	if i.masker, err = record.NewMasker(rules); err != nil {
		return fmt.Errorf("mask documents: %w", err)
	}
	if at.Strangers, err = strangers(ctx, o.Collection); err != nil {
		return err
	}
	i.into = archive.NewImporter(archive.ImportOptions{Store: o.Store, Layout: o.Layout, Shape: o.Shape, From: Source, Stream: i.stream, Dir: o.Dir})
	defer i.into.Close()
	return i.run(ctx)
}

// goTo goes to where an import was.
func (i *importing) goTo(at *Place) error {
	i.after, i.asked = nil, nil
	if at.After == "" {
		return nil
	}
	after, err := record.ParseID(at.After)
	if err != nil {
		return err
	}
	i.after = &after
	return nil
}

// overtaken tells whether the archive has got any of what was gathered, once it has all that was on its way when that was read.
func (i *importing) overtaken(ctx context.Context) (bool, error) {
	if i.into.Bytes() == 0 {
		return false, nil
	}
	if err := i.o.Settled(ctx); err != nil {
		return false, err
	}
	return i.known.came(ctx, i.asked)
}

func (i *importing) run(ctx context.Context) error {
	limit := pageDocuments
	if i.o.Rate > 0 {
		limit = max(1, min(limit, int(i.o.Rate)))
	}
	now := *i.at // what is durable is told only when it is
	for {
		n, err := i.page(ctx, &now, limit)
		if err != nil {
			return err
		}
		if n > 0 && i.into.Bytes() < i.o.MaxBytes {
			continue
		}
		late, err := i.overtaken(ctx)
		if err != nil {
			return err
		}
		if late { // all of it once more, without what came
			i.o.Log.Info("records that were to be imported came into the archive from Redis meanwhile: they are looked at again", "collection", i.stream.List)
			i.into.Close()
			now = *i.at
			if err := i.goTo(i.at); err != nil {
				return err
			}
			continue
		}
		i.asked = nil
		made, err := i.into.Flush(ctx)
		if err != nil {
			return err
		}
		for _, m := range made {
			now.Objects++
			now.Archived += m.Records
		}
		if now.Done = n == 0; i.after != nil {
			now.After = i.after.String()
		}
		*i.at = now
		if err := i.o.Saved(i.at); err != nil || n == 0 {
			return err
		}
	}
}

// page brings a page of documents to the importer, without those that the archive has, and returns how many it had.
func (i *importing) page(ctx context.Context, now *Place, limit int) (int, error) {
	var docs []Decoded
	n, err := page(ctx, i.o.Collection, i.after, beginning(i.o.Before), limit, func(raw bson.Raw) {
		if id, ok := raw.Lookup("_id").ObjectIDOK(); ok {
			after := record.ID(id)
			i.after = &after
		}
		now.Documents++
		d, err := Decode(raw)
		if err == nil {
			err = i.refuses(&d)
		}
		if err != nil {
			i.refuse(now, err)
			return
		}
		i.note(now, &d)
		docs = append(docs, d)
	})
	if err != nil || n == 0 {
		return n, err
	}
	there, err := i.there(ctx, docs)
	if err != nil {
		return n, err
	}
	for d := range docs {
		if err := i.take(now, &docs[d], there); err != nil {
			return n, err
		}
	}
	i.o.Moved(int64(n))
	return n, i.pace.Wait(ctx, n)
}

// there are the IDs that the archive has. It is asked after the documents were read.
func (i *importing) there(ctx context.Context, docs []Decoded) (map[record.ID]bool, error) {
	hours := map[time.Time][]record.ID{}
	for d := range docs {
		h := docs[d].Record.TimeStamp.Truncate(time.Hour)
		hours[h] = append(hours[h], docs[d].ID)
	}
	all := map[record.ID]bool{}
	for _, h := range slices.SortedFunc(maps.Keys(hours), time.Time.Compare) {
		found, err := i.known.among(ctx, h, hours[h])
		if err != nil {
			return nil, err
		}
		maps.Copy(all, found)
		lacks := slices.DeleteFunc(hours[h], func(id record.ID) bool { return found[id] })
		if len(lacks) > 0 {
			i.asked = append(i.asked, asked{h, lacks, i.known.hours[h].manifests})
		}
	}
	return all, nil
}

func (i *importing) take(now *Place, d *Decoded, there map[record.ID]bool) error {
	switch {
	case there[d.ID]:
		now.There++
		return nil
	case !i.o.Takes(&d.Record):
		now.Filtered++
		return nil
	}
	if i.o.Shape.DropBodies {
		record.DropBodies(&d.Record)
	}
	i.masker.Apply(&d.Record)
	return i.into.Add(&archive.Row{ID: d.ID, Record: &d.Record, Stream: i.stream, Position: archive.ImportPosition(d.ID)})
}

// refuses says why a document has no place in an archive: its time is absurd, as it is judged for gateways.
func (i *importing) refuses(d *Decoded) error {
	t, made := d.Record.TimeStamp, time.Unix(int64(uint32(d.ID[0])<<24|uint32(d.ID[1])<<16|uint32(d.ID[2])<<8|uint32(d.ID[3])), 0)
	if y := t.Year(); y < 1 || y > 9999 {
		return fmt.Errorf("document %s: its time is outside the years 1 to 9999", d.ID)
	}
	if a := i.o.Shape.Accept; t.Before(made.Add(-a.Past)) || t.After(made.Add(a.Future)) {
		return fmt.Errorf("document %s: its time %s is too far from when it was made", d.ID, t.Format(time.RFC3339))
	}
	return nil
}

func (i *importing) refuse(now *Place, err error) {
	if now.Refused++; now.Refused <= saidRefusals {
		i.o.Log.Warn("a document is not archived; it stays where it is", "collection", i.stream.List, "err", err)
	}
}

// note counts documents that have more than a record, and names each field once.
func (i *importing) note(now *Place, d *Decoded) {
	if len(d.Extra) == 0 {
		return
	}
	now.Extra++
	for _, field := range d.Extra {
		if !i.extra[field] && len(i.extra) < saidRefusals {
			i.extra[field] = true
			i.o.Log.Warn("documents have a field that the archive has no column for", "collection", i.stream.List, "field", field)
		}
	}
}
