package apply

import (
	"context"
	"errors"
	"fmt"

	"sluice/retention/plan"
)

// Job does the actions of a plan.
type Job struct {
	Stores   map[string]Store // by the names that the plan has
	Archive  Archive          // nil: none is configured
	Journal  *Journal
	Verified *Verified
	Progress func(done, total int64, what string) // records; may be nil
}

// Outcome is what became of an action that was due.
type Outcome struct {
	plan.Action
	Done int64  `json:"done"` // records that went
	Err  string `json:"error,omitempty"`
}

// Run does every action that nothing holds back. One that fails is said, and the others go on; the error joins all
// failures. It ends early when ctx does.
func (j *Job) Run(ctx context.Context, p *plan.Plan) ([]Outcome, error) {
	due := p.Due()
	var total, before int64
	for i := range due {
		total += due[i].Records
	}
	out := make([]Outcome, 0, len(due))
	var errs []error
	for i := range due {
		a := &due[i]
		if ctx.Err() != nil {
			errs = append(errs, fmt.Errorf("%d actions were not begun: %w", len(due)-i, context.Cause(ctx)))
			break
		}
		o := Outcome{Action: *a}
		err := j.one(ctx, a, func(n int64) {
			o.Done += n
			if j.Progress != nil {
				j.Progress(before+o.Done, total, string(a.Verb)+" "+a.Target)
			}
		})
		before += a.Records
		if err != nil {
			o.Err = err.Error()
			errs = append(errs, fmt.Errorf("%s: %s %s: %w", a.Store, a.Verb, a.Target, err))
		}
		out = append(out, o)
	}
	return out, errors.Join(errs...)
}

// one does a single action: verified first, with a note before and after.
func (j *Job) one(ctx context.Context, a *plan.Action, done func(int64)) error {
	s, ok := j.Stores[a.Store]
	if !ok {
		return errors.New("there is no such store")
	}
	if a.Verify {
		if j.Archive == nil {
			return errors.New("it is to be verified in an archive, and there is none")
		}
		if err := j.Archive.Verify(ctx, a.From, a.To, j.Verified); err != nil {
			err = fmt.Errorf("nothing is deleted, since the archive of that time is not sound: %w", err)
			return errors.Join(err, j.Journal.Note(Entry{Event: "failed", Action: a, Error: err.Error()}))
		}
	}
	if err := j.Journal.Note(Entry{Event: "begin", Action: a}); err != nil {
		return err
	}
	var n int64
	err := s.Do(ctx, a, func(k int64) { n += k; done(k) })
	e := Entry{Event: "done", Action: a, Records: n}
	if err != nil {
		e.Event, e.Error = "failed", err.Error()
	}
	return errors.Join(err, j.Journal.Note(e))
}
