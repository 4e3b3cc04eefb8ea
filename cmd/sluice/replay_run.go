package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	format "sluice/internal/archive"
	"sluice/internal/config"
	"sluice/internal/pipeline"
	"sluice/internal/record"
	archivesource "sluice/sources/archive"
)

// replayResult is what a replay did. It is also what is kept of one that has not ended.
type replayResult struct {
	Archive   string                           `json:"archive"`
	Records   int64                            `json:"records"` // chosen and read
	Objects   int64                            `json:"objects"`
	Sinks     map[string]*archivesource.Counts `json:"sinks"`
	Rebuilt   map[string]*rebuildCounts        `json:"rebuilt,omitempty"`
	Local     map[string]*localCounts          `json:"local,omitempty"`
	Corrupt   faults                           `json:"corrupt"`
	Last      archivesource.Place              `json:"last"`      // behind it nothing is delivered yet
	Delivered bool                             `json:"delivered"` // all that is not rebuilt is
}

// replayer runs a plan.
type replayer struct {
	cfg      *config.Config
	log      *slog.Logger
	archive  *openArchive
	request  *replayRequest
	plan     *replayPlan
	progress *progress

	checkpoint *archivesource.Checkpoint
	mu         sync.Mutex // of what follows
	result     *replayResult
	seen       map[string]bool // faults, which the parts of a plan may meet more than once
	expected   int64
	moved      int64
}

// run does the whole plan, or what an earlier run has left of it.
func (r *replayer) run(ctx context.Context) (err error) {
	job, err := r.plan.job(r.archive.name, r.request)
	if err != nil {
		return err
	}
	r.checkpoint, err = archivesource.OpenCheckpoint(filepath.Join(r.cfg.State.Dir, "replay"), job)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.checkpoint.Close()) }()
	if err := r.begin(); err != nil {
		return err
	}
	err = r.deliver(ctx)
	if err == nil {
		err = r.copy(ctx)
	}
	if err == nil {
		err = r.rebuild(ctx)
	}
	if err == nil {
		err = r.locals(ctx)
	}
	if err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		return errors.Join(fmt.Errorf("the replay is not done, go on with --resume: %w", err), r.checkpoint.Save(r.result, true))
	}
	return r.checkpoint.Remove()
}

// begin reads what an earlier run has left.
func (r *replayer) begin() error {
	r.result = &replayResult{Archive: r.archive.name, Sinks: map[string]*archivesource.Counts{}, Corrupt: faults{Named: []fault{}}}
	r.seen = map[string]bool{}
	if !r.request.o.resume {
		return r.checkpoint.Remove()
	}
	found, err := r.checkpoint.Load(r.result)
	if err != nil {
		return err
	}
	if !found {
		r.log.Info("there is no interrupted replay with these flags: it begins at its beginning")
	}
	for _, f := range r.result.Corrupt.Named {
		r.seen[f.Object] = true
	}
	for _, t := range r.plan.targets {
		if c := r.result.Sinks[t.Name]; c != nil {
			t.Counts = *c
		}
	}
	return nil
}

// deliver hands records to the sinks that take them one by one.
func (r *replayer) deliver(ctx context.Context) (err error) {
	if r.result.Delivered || len(r.plan.targets) == 0 {
		return nil
	}
	defer func() { err = errors.Join(err, r.closeTargets()) }()
	for _, t := range r.plan.targets {
		if err := t.Open(ctx); err != nil {
			return err
		}
	}
	if r.expected, err = r.archive.Expected(ctx, &r.request.Selection); err != nil {
		return err
	}
	r.moved = r.result.Records
	err = archivesource.Run(ctx, archivesource.Options{
		Archive: r.archive.Archive, Selection: r.request.Selection, Targets: r.plan.targets, Rate: r.request.rate,
		Batch: pipeline.Batching{Records: r.cfg.Pipeline.Batch.Records, Bytes: int64(r.cfg.Pipeline.Batch.Bytes)},
		Hide:  r.hide, Done: r.done, Fault: r.fault, Moved: r.showMoved,
	}, r.result.Last)
	if err != nil {
		return err
	}
	r.count()
	r.result.Delivered = true
	return r.checkpoint.Save(r.result, true)
}

// closeTime is what a sink is given to close; nothing is in flight any more.
const closeTime = 5 * time.Second

func (r *replayer) closeTargets() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	var errs []error
	for _, t := range r.plan.targets {
		if err := t.Sink.Close(ctx); err != nil {
			errs = append(errs, fmt.Errorf("close sink %s: %w", t.Name, err))
		}
	}
	return errors.Join(errs...)
}

// done notes that an object is delivered.
func (r *replayer) done(at archivesource.Place, records int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Last = at
	r.result.Records += records
	if records > 0 {
		r.result.Objects++
	}
	r.count()
	return r.checkpoint.Save(r.result, false)
}

func (r *replayer) count() {
	for _, t := range r.plan.targets {
		c := t.Counts
		r.result.Sinks[t.Name] = &c
	}
}

func (r *replayer) fault(u *archivesource.Unreadable) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen[u.Object] {
		return
	}
	r.seen[u.Object] = true
	r.result.Corrupt.add(u.Object, u.Err)
	r.log.Error("an object of the archive cannot be read; the rest goes on", "object", u.Object, "err", u.Err)
}

func (r *replayer) showMoved(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.moved += n
	if r.progress.due() {
		r.progress.at(uint64(r.moved), uint64(max(r.moved, r.expected)), strings.Join(r.plan.names, ", "))
	}
}

// hide makes what hides fields that are to be hidden now and were not when the object was written.
func (r *replayer) hide(m *format.Manifest) (func(*record.Record), error) {
	shape := r.cfg.RecordShape()
	var rules []record.MaskRule
	for _, mask := range shape.Masks {
		if !masked(m, mask) {
			rules = append(rules, record.MaskRule{Field: mask.Field, Action: mask.Action})
		}
	}
	masker, err := record.NewMasker(rules)
	if err != nil {
		return nil, fmt.Errorf("mask records of the archive: %w", err)
	}
	return func(rec *record.Record) {
		if shape.DropBodies {
			record.DropBodies(rec)
		}
		if len(rules) > 0 {
			masker.Apply(rec)
		}
	}, nil
}

func masked(m *format.Manifest, mask pipeline.Mask) bool {
	for _, done := range m.Masks {
		if done == mask {
			return true
		}
	}
	return false
}

// failed ends a replay whose result has said what failed.
func (r *replayResult) failed() error {
	for _, c := range r.Rebuilt {
		if c.failed() {
			return silentError{}
		}
	}
	for _, c := range r.Local {
		if len(c.Left) > 0 {
			return silentError{}
		}
	}
	return r.Corrupt.failed()
}

func (r *replayResult) text(w io.Writer) error {
	for _, name := range sortedKeys(r.Sinks) {
		c := r.Sinks[name]
		fmt.Fprintf(w, "sink %s: %d records of %d are there, %d filtered, %d refused for good\n", name, c.Written, r.Records, c.Filtered, c.Refused)
	}
	for _, name := range sortedKeys(r.Rebuilt) {
		if err := r.Rebuilt[name].text(w, name); err != nil {
			return err
		}
	}
	for _, name := range sortedKeys(r.Local) {
		if err := r.Local[name].text(w, name); err != nil {
			return err
		}
	}
	return r.Corrupt.text(w)
}
