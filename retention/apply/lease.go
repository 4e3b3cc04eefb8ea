package apply

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Span is how long a lease holds that is not renewed: after a kill the next job starts well within two minutes.
const Span = 60 * time.Second

// renewEvery leaves room for three failures.
const renewEvery = Span / 4

// Lease keeps jobs on one store apart.
type Lease interface {
	// Take takes the lease or renews it. who is whose it is while another's holds; empty: it is ours.
	Take(ctx context.Context) (who string, err error)
	Release(ctx context.Context) error
	Close(ctx context.Context)
	String() string
}

// errLost ends a job whose lease another has.
var errLost = errors.New("the lease was lost")

// Hold takes all leases, runs work while they are renewed, and gives them back. It fails with ErrBusy when another job
// has one. The context of work ends when a lease is lost.
func Hold(ctx context.Context, leases []Lease, work func(ctx context.Context) error) (err error) {
	for i, l := range leases {
		who, takeErr := l.Take(ctx)
		if takeErr == nil && who != "" {
			takeErr = fmt.Errorf("%w: %s holds the %s", ErrBusy, who, l)
		}
		if takeErr != nil {
			return errors.Join(takeErr, release(ctx, leases[:i]))
		}
	}
	held, lose := context.WithCancelCause(ctx)
	var keepers sync.WaitGroup
	for _, l := range leases {
		keepers.Go(func() { keep(held, l, lose) })
	}
	defer func() {
		lose(nil)
		keepers.Wait()
		err = errors.Join(err, release(ctx, leases))
	}()
	if err := work(held); err != nil {
		if cause := context.Cause(held); errors.Is(cause, errLost) {
			return cause
		}
		return err
	}
	return nil
}

// keep renews a lease until ctx ends; a lease that could not be renewed in time is lost.
func keep(ctx context.Context, l Lease, lose context.CancelCauseFunc) {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	good := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		began := time.Now()
		try, cancel := context.WithTimeout(ctx, renewEvery)
		who, err := l.Take(try)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && who == "":
			good = began
		case err == nil:
			lose(fmt.Errorf("%w: %s has the %s", errLost, who, l))
			return
		case time.Since(good) > Span-2*renewEvery:
			lose(fmt.Errorf("%w: the %s could not be renewed: %w", errLost, l, err))
			return
		}
	}
}

// releaseTime bounds giving back.
const releaseTime = 5 * time.Second

func release(ctx context.Context, leases []Lease) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	var errs []error
	for _, l := range leases {
		if err := l.Release(ctx); err != nil {
			errs = append(errs, fmt.Errorf("give the %s back: %w", l, err))
		}
	}
	return errors.Join(errs...)
}
