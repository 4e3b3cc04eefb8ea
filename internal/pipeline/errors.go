package pipeline

import (
	"errors"
	"fmt"
	"time"
)

// Class is what an error asks for. An error nobody classified is Retryable: silence never loses a record.
type Class uint8

// The classes of errors.
const (
	Retryable      Class = iota // repeat after a back-off; counts against the breaker
	PermanentBatch              // the same batch fails for ever: split it until the culprit stands alone, then a dead letter
	FatalError                  // only an operator can cure it: stops the start
)

type classified struct {
	class Class
	after time.Duration
	err   error
}

func (c *classified) Error() string { return c.err.Error() }
func (c *classified) Unwrap() error { return c.err }

// RetryAfter marks an error as one to repeat no earlier than after d (429, 503 with Retry-After).
func RetryAfter(err error, d time.Duration) error {
	return &classified{class: Retryable, after: d, err: err}
}

// Permanent marks an error that the same batch meets for ever, for a reason that may lie in one record.
func Permanent(err error) error { return &classified{class: PermanentBatch, err: err} }

// Fatal marks an error that only an operator can cure: wrong credentials, missing rights, a plain collection where a
// capped one is asked for. It stops the start; under way it is retried, loudly.
func Fatal(err error) error { return &classified{class: FatalError, err: err} }

// Classify returns an error's class and the time it asks to wait, zero if it does not say.
func Classify(err error) (Class, time.Duration) {
	var c *classified
	if errors.As(err, &c) {
		return c.class, c.after
	}
	return Retryable, 0
}

// Apart marks a gatherer's error that concerns a part of what is gathered (a stream, a document) and says nothing about
// the store: the rest goes on at its pace, only what belongs to that part waits.
func Apart(err error) error { return &apart{err} }

type apart struct{ err error }

func (a *apart) Error() string { return a.err.Error() }
func (a *apart) Unwrap() error { return a.err }

func isApart(err error) bool {
	var a *apart
	return errors.As(err, &a)
}

// PartialError says that some items of a batch are to be repeated, the rest is settled.
type PartialError struct {
	Retry []int // indices into Batch.Items, ascending
	Err   error // why, for the log; its class and RetryAfter count

	result Result // what became of the rest
}

func (p *PartialError) Error() string {
	return fmt.Sprintf("%d items to repeat: %v", len(p.Retry), p.Err)
}

func (p *PartialError) Unwrap() error { return p.Err }

// ErrFull is a Gatherer's answer to Add when it must be flushed first.
var ErrFull = errors.New("sink has gathered as much as it may hold")
