package main

import (
	"context"
	"errors"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"sluice/internal/fault"
)

func diskCases() []scenario {
	return []scenario{
		{name: "disk full", long: true, pumps: 2, shape: shape{Spool: "dir", Local: true, small: 24 << 20},
			means: "tmpfs of 24 MiB under state, spool, dead letters and csv, each filled up for some seconds while a sink is gone: " +
				"what cannot be written waits in Redis",
			run: func(ctx context.Context, w *world) error { return w.load(ctx, w.diskFull) }},
		{name: "disk read-only", long: true, pumps: 2, shape: shape{Spool: "dir", Local: true, small: 24 << 20},
			means: "the same file systems, mounted read-only for some seconds",
			run:   func(ctx context.Context, w *world) error { return w.load(ctx, w.diskReadOnly) }},
	}
}

// parts are the places on a pump's disk that are file systems of their own.
func (p *pump) parts() map[string]string {
	return map[string]string{"spool": filepath.Join(p.state(), "spool"), "dead letters": filepath.Join(p.state(), "deadletters"),
		"csv": p.files(), "state and sqlite": p.disk}
}

func (w *world) diskFull(ctx context.Context) error {
	return w.eachPart(ctx, "full", "no space left on device", sortedKeys(w.pumps[0].parts()), func(dir string) (func() error, error) { return fill(dir) })
}

func (w *world) diskReadOnly(ctx context.Context) error {
	// Where state and database lie files are always open for writing, so that the kernel refuses to make it read-only.
	return w.eachPart(ctx, "read-only", "read-only file system", []string{"csv", "dead letters", "spool"}, func(dir string) (func() error, error) {
		err := w.await(ctx, "no file is open for writing", func() (bool, error) {
			err := w.remount(dir, true)
			if errors.Is(err, syscall.EBUSY) {
				return false, nil
			}
			return err == nil, err
		})
		return func() error { return w.remount(dir, false) }, err
	})
}

// eachPart hurts every part of every pump's disk in turn, while a sink is gone and poison comes.
func (w *world) eachPart(ctx context.Context, what, says string, parts []string, hurt func(dir string) (func() error, error)) error {
	for _, part := range parts {
		if part == "spool" {
			w.ways["raw"].proxy.Set(fault.Rule{Refuse: true})
		}
		if part == "dead letters" && what == "read-only" {
			// A file for letters is open from the first one on: the pump starts anew.
			for _, p := range w.pumps {
				if err := errors.Join(p.kill(), p.start()); err != nil {
					return err
				}
			}
		}
		before, err := w.refusedByDisk(ctx, part, says)
		if err != nil {
			return err
		}
		var heals []func() error
		for _, p := range w.pumps {
			heal, err := hurt(p.parts()[part])
			if err != nil {
				return err
			}
			heals = append(heals, heal)
		}
		if err := w.gen.poison(ctx); err != nil {
			return err
		}
		err = w.pause(ctx, 4*time.Second)
		after, e := w.refusedByDisk(ctx, part, says)
		err = errors.Join(err, e)
		for _, heal := range heals {
			err = errors.Join(err, heal())
		}
		if err != nil {
			return err
		}
		w.ways["raw"].proxy.Set(fault.Rule{})
		w.count(what+" under "+part, after-before)
		if err := w.pause(ctx, 2*time.Second); err != nil {
			return err
		}
	}
	return nil
}

// refusedByDisk is how often something could not be written: what spool and dead letters say of it, and the errors of
// sinks that write there.
func (w *world) refusedByDisk(ctx context.Context, part, says string) (n int64, err error) {
	switch part {
	case "spool", "dead letters":
		return w.logged(says)
	}
	sink := map[string]string{"csv": "files", "state and sqlite": "local"}[part]
	for _, p := range w.pumps {
		var m int64
		err := w.await(ctx, p.name+" shows its metrics", func() (ok bool, err error) {
			m, err = p.metric(ctx, `sluice_sink_errors_total{sink="`+sink+`"`)
			return err == nil, err
		})
		if err != nil {
			return 0, err
		}
		n += m
	}
	return n, nil
}

func mongoCases() []scenario {
	return []scenario{{name: "MongoDB steps down, loses its primary, lags", long: true, pumps: 2, shape: shape{mongo: "set", Spool: "s3"},
		means: "three members; step-downs, the primary killed, one and two members frozen, pumps killed, in an order drawn from the seed",
		run: func(ctx context.Context, w *world) error {
			w.opts.only = regexp.MustCompile(`^(mongo|pump):`)
			const most = time.Minute
			return w.during(ctx, most, func(ctx context.Context) error {
				w.opts.duration = most
				return w.play(ctx, plan(w.opts.seed, most, 1500*time.Millisecond, w.faults()))
			})
		}}}
}
