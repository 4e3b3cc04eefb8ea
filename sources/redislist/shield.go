package redislist

import (
	"context"
	"errors"
)

// Shield makes every list safe for claim.shield, for a process that ends before it could start to drain: a list that no
// pump looks at is gone with the gateway's TTL of 60 s.
func (s *Source) Shield(ctx context.Context) error {
	at, err := s.reach(ctx)
	if err != nil {
		return err
	}
	defer at.close()
	var errs []error
	for _, l := range s.lists {
		errs = append(errs, at.on(ctx, l, func(c *control) error {
			se := &session{src: s, log: s.log, c: c, slots: []*slot{{list: l}}}
			defer se.asked.close()
			return se.shieldAll(ctx)
		}))
	}
	return errors.Join(errs...)
}
