package deepaudit

import (
	"context"
	"time"

	"sluice/internal/pipeline"
)

// Ledger tells how far lists have come.
type Ledger interface {
	// Read reads all lists as they are now, by lineage.
	Read(ctx context.Context) (State, error)
}

// State is the lists at one moment, by lineage.
type State map[string]*List

// List is one of them.
type List struct {
	Source, Name string
	Uptime       bool                         // it carries uptime records, of which no archive has any
	Only         bool                         // it holds retried dead letters of one sink
	Taken        uint64                       // records ever claimed
	End          pipeline.Position            // behind the last open claim; zero: there is none
	Settled      map[string]pipeline.Position // by sink: everything below is settled, and not in its spool
	Sinks        map[string]Booked

	// Followed is up to where rows of an hour were delivered, of a list whose archive is followed; nil for one that is drained. What
	// was NotOwed is then that of all lists of the source together.
	Followed func(hour time.Time) pipeline.Position
}

// Booked is what the ledger says of a list and sink.
type Booked struct {
	Owed, Effective, DeadLetters uint64
	NotOwed                      uint64 // claimed before the sink was configured, or released
}

// settled tells whether a sink is done with a position of an hour. A list that nobody knows is not Redis's any more.
func (s State) settled(lineage, sink string, at pipeline.Position, hour time.Time) bool {
	l := s[lineage]
	if l == nil {
		return true
	}
	if _, owes := l.Sinks[sink]; !owes {
		return false
	}
	if l.Followed != nil {
		return at.Compare(l.Followed(hour)) < 0
	}
	return at.Compare(l.Settled[sink]) < 0
}

// caughtUp tells whether a sink has settled everything that was claimed when before was read.
func (s State) caughtUp(before State, sink string) bool {
	for lineage, then := range before {
		now := s[lineage]
		if now == nil || then.End == (pipeline.Position{}) || then.Uptime || then.Only {
			continue
		}
		if _, owes := now.Sinks[sink]; owes && now.Settled[sink].Compare(then.End) < 0 {
			return false
		}
	}
	return true
}

// pollEvery is how often the ledger is read while something is waited for.
const pollEvery = 300 * time.Millisecond

// await waits until sinks have caught up with what was claimed when it is called. Once the patience of the audit is used
// up it only looks.
func (a *audit) await(ctx context.Context, sinks ...string) (bool, error) {
	before, err := a.o.Ledger.Read(ctx)
	if err != nil {
		return false, err
	}
	for began := time.Now(); ; {
		now, err := a.o.Ledger.Read(ctx)
		if err != nil {
			return false, err
		}
		done := true
		for _, s := range sinks {
			done = done && now.caughtUp(before, s)
		}
		switch {
		case done:
			return true, nil
		case time.Since(began) > a.patience:
			a.patience = 0
			return false, nil
		}
		if err := pause(ctx, pollEvery); err != nil {
			return false, err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
