package pipeline

import "context"

// readAhead reads and decodes what a lane delivers next, from index on, while its sink looks at the batch in hand, as far as
// memory is free. What it read waits in the cache, and goes first when memory is wanted. done returns when nothing of it
// runs any more.
func (l *lane) readAhead(ctx context.Context, c Claim, index uint32) (done func()) {
	end := l.endOf(&c)
	if index >= end {
		return func() {}
	}
	end = min(end, index+uint32(l.limits.Records))
	finished := make(chan struct{})
	reads, left := l.reads, l.run.portion(end-index)
	go func() {
		defer close(finished)
		for index < end && left > 0 {
			ch, err := reads.get(ctx, c, index, left, modest)
			if ch == nil || err != nil { // whoever needs it meets the error again
				return
			}
			index, left = ch.to, left-ch.bytes
			reads.release(ch)
		}
	}()
	return func() { <-finished }
}
