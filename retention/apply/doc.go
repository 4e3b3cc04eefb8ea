// Package apply does what a plan says: under leases, one action after the other, each verified before and noted in a
// journal. Every action may be repeated, so that a job that was killed is simply run again: it plans anew from what is
// there.
package apply

import (
	"context"
	"time"

	"sluice/retention/plan"
)

// Store is one store that retention looks into and changes. Its methods are called by one goroutine at a time.
type Store interface {
	// Inventory changes nothing.
	Inventory(ctx context.Context, now time.Time) (plan.Inventory, error)
	// Do does an action; to do it again changes nothing. done is called with the records that went, as they go.
	Do(ctx context.Context, a *plan.Action, done func(records int64)) error
	Close(ctx context.Context)
}

// Archive verifies what lies in the archive.
type Archive interface {
	Verify(ctx context.Context, from, to time.Time, seen *Verified) error
}
