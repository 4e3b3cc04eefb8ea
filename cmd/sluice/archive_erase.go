package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/archive/s3store"
	"sluice/retention/apply"
	"sluice/retention/erase"
	"sluice/retention/local"
	"sluice/retention/mongodb"
	"sluice/retention/plan"
	"sluice/retention/search"
	"sluice/sinks/csv"
	"sluice/sinks/mongoagg"
	"sluice/sinks/mongoraw"
	"sluice/sinks/opensearch"
	"sluice/sinks/s3csv"
	"sluice/sinks/sqlite"
)

// eraseOptions are the flags of archive erase.
type eraseOptions struct {
	selecting
	keys             []string
	anonymise, apply bool
	rate             int
}

func archiveErase(e *environment) *cobra.Command {
	var o eraseOptions
	c := &cobra.Command{Use: "erase", Short: "Takes somebody's records out of archives, MongoDB, OpenSearch and sqlite", Args: noArgs,
		Long: `Finds the records of a key, or of an organisation, in every configured archive, mongo-raw, opensearch and sqlite sink, and prints
what would be taken out; --apply does it. With --anonymise the records stay, without what tells whose they are. Where a hold or an
object lock forbids it, that is said, nothing of that row is done, and the exit code is 1.

Objects of the archive are written anew without the records. The old ones are deleted an hour later at the earliest: run
it again then, or retain --apply. What it cannot reach is named in the end.`,
		Example: "  sluice archive erase --key 5f3c...\n  sluice archive erase --key 5f3c... --org acme --apply\n  sluice archive erase --org acme --anonymise --to 2026-01-01 --apply"}
	f := c.Flags()
	f.StringSliceVar(&o.keys, "key", nil, "API key whose records are meant; may be repeated")
	f.StringSliceVar(&o.orgs, "org", nil, "organisation whose records are meant; with --key: only those of both")
	f.StringSliceVar(&o.apis, "api", nil, "only records of this API; may be repeated")
	f.StringVar(&o.from, "from", "", "first time, like 2026-11-23T09:00:00Z or 2026-11-23 (UTC)")
	f.StringVar(&o.to, "to", "", "first time that is not meant any more")
	f.BoolVar(&o.anonymise, "anonymise", false, "keep the records without what tells whose they are")
	f.BoolVar(&o.apply, "apply", false, "do it")
	f.IntVar(&o.rate, "rate", 0, "most documents a second that are deleted in a store (default: 5000 in MongoDB, 10000 in OpenSearch)")
	out := outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		person, err := o.person()
		if err != nil {
			return err
		}
		cfg, log, err := e.load(c.Context())
		if err != nil {
			return err
		}
		r := &retainer{env: e, cfg: cfg, log: log, o: retainOptions{apply: o.apply, rate: o.rate}, out: out}
		person.Holds = retainRules(cfg.Retention).Holds
		if o.apply {
			return r.locked(c.Context(), func(ctx context.Context, dir *apply.Dir, run string, _ *retainStores) error {
				return r.erase(ctx, dir, run, person)
			})
		}
		return r.erase(c.Context(), nil, "", person)
	}
	return c
}

// person reads the flags.
func (o *eraseOptions) person() (*erase.Person, error) {
	sel, err := o.selection()
	if err != nil {
		return nil, err
	}
	p := erase.Person{Keys: o.keys, APIs: o.apis, From: sel.From, To: sel.To, Anonymise: o.anonymise}
	switch len(o.orgs) {
	case 0:
	case 1:
		p.Org = o.orgs[0]
	default:
		return nil, usageError{errors.New("--org: name one organisation")}
	}
	who, err := erase.New(p)
	if err != nil {
		return nil, usageError{fmt.Errorf("--key, --org: %w", err)}
	}
	return who, nil
}

// eraser is a store that somebody's records are taken out of.
type eraser interface {
	Plan(ctx context.Context) ([]plan.Action, error)
	Do(ctx context.Context, a *plan.Action, done func(int64)) error
}

// erasing makes an eraser a store whose actions are done as retention's are.
type erasing struct{ eraser }

func (erasing) Inventory(context.Context, time.Time) (plan.Inventory, error) {
	return plan.Inventory{}, nil
}
func (erasing) Close(context.Context) {}

// erase makes the plan and, with a directory, does it.
func (r *retainer) erase(ctx context.Context, dir *apply.Dir, run string, person *erase.Person) (err error) {
	report := &retainReport{Plan: &plan.Plan{Made: time.Now().UTC(), Actions: []plan.Action{}, Forecasts: []plan.Forecast{}}}
	stores := map[string]apply.Store{}
	waiting := 0
	for _, name := range sortedKeys(r.cfg.Sinks) {
		s, end, err := r.eraser(ctx, name, person, report.Plan)
		if err == nil && s != nil {
			defer end()
			stores[name] = erasing{s}
			var actions []plan.Action
			actions, err = s.Plan(ctx)
			report.Actions = append(report.Actions, actions...)
			if a, ok := s.(*erase.Archive); ok {
				waiting += a.Waiting
			}
		}
		if err != nil {
			report.Problems = append(report.Problems, fmt.Sprintf("%s cannot be looked into: %v", name, err))
		}
	}
	if waiting > 0 {
		report.Notes = append(report.Notes, fmt.Sprintf("%d files of archives are replaced and not an hour old; run this again then, or retain --apply", waiting))
	}
	report.Notes = append(report.Notes, unreached...)
	held := 0
	for _, a := range report.Actions {
		if a.Held() {
			held++
		}
	}
	var failed error
	if held > 0 {
		failed = fmt.Errorf("%d rows are held back", held)
	}
	if dir == nil {
		return errors.Join(r.print(report), failed, problems(report.Plan))
	}
	journal, err := dir.Journal(run)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, journal.Close()) }()
	job := apply.Job{Stores: stores, Journal: journal}
	applied, doErr := job.Run(ctx, report.Plan)
	report.Applied = applied
	if failed = errors.Join(failed, doErr); failed != nil {
		report.Error = failed.Error()
	}
	return errors.Join(r.print(report), failed, problems(report.Plan))
}

// unreached is where somebody's records may be as well.
var unreached = []string{
	"not reached: aggregates in MongoDB, which have counters by key, and sums; those of whole organisations go with their collection",
	"not reached: records that are still in Redis, in a spool or a dead letter (sluice deadletters); run this again when they were delivered",
	"not reached: copies elsewhere, such as Kafka topics, backups, snapshots and replicated buckets",
}

// eraser opens what is to be erased in a sink's store; nil where there is nothing.
func (r *retainer) eraser(ctx context.Context, name string, person *erase.Person, p *plan.Plan) (eraser, func(), error) {
	switch c := r.cfg.Sinks[name].Settings.(type) {
	case mongoraw.Config:
		s, err := mongodb.NewRaw(ctx, name, c, r.o.rate, r.log.With("sink", name))
		if err != nil {
			return nil, nil, err
		}
		return &mongodb.Eraser{Raw: s, Person: person}, func() { s.Close(context.WithoutCancel(ctx)) }, nil
	case mongoagg.Config:
		return nil, nil, nil
	case opensearch.Config:
		s, err := search.New(ctx, search.Options{Name: name, Config: c, Log: r.log.With("sink", name), Rate: r.o.rate})
		if err != nil {
			return nil, nil, err
		}
		return &search.Eraser{Store: s, Person: person}, func() { s.Close(context.WithoutCancel(ctx)) }, nil
	case sqlite.Config:
		s, err := local.Open(name, c.Path, person)
		if err != nil || s == nil {
			return nil, nil, err
		}
		return s, func() {
			if err := s.Close(); err != nil {
				r.log.Warn("the file does not close", "sink", name, "err", err)
			}
		}, nil
	case s3csv.Config, csv.Config:
		return r.archiveEraser(ctx, name, person, p)
	}
	return nil, nil, nil
}

func (r *retainer) archiveEraser(ctx context.Context, name string, person *erase.Person, p *plan.Plan) (eraser, func(), error) {
	a, err := r.env.openArchive(ctx, r.cfg, name)
	if err != nil {
		return nil, nil, err
	}
	out := &erase.Archive{Name: name, Store: a.raw.Store, Prefix: a.Prefix, Dir: filepath.Join(r.stateDir(), "merge"), Person: person}
	if s, ok := a.raw.Store.(*s3store.Store); ok {
		out.Locked = s.Locked
		if s.Versioned(ctx) {
			p.Notes = append(p.Notes, name+": the bucket keeps older versions; what is deleted stays in them until a lifecycle rule expires them")
		}
	}
	return out, a.close, nil
}
