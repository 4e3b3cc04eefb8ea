// Package pace holds work to a rate.
package pace

import (
	"context"
	"time"
)

// Pacer holds a rate over the whole of some work. It is for one goroutine.
type Pacer struct {
	Rate float64 // a second; 0: none

	began time.Time
	sent  float64
}

// Wait returns when n more may be sent.
func (p *Pacer) Wait(ctx context.Context, n int) error {
	if p.Rate <= 0 {
		return nil
	}
	if p.began.IsZero() {
		p.began = time.Now()
	}
	due := p.began.Add(time.Duration(p.sent / p.Rate * float64(time.Second)))
	p.sent += float64(n)
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
