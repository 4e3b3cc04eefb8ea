package redislist

import "context"

// Shield makes every list safe for claim.shield, for a process that ends before it could start to drain: a list that no
// pump looks at is gone with the gateway's TTL of 60 s.
func (s *Source) Shield(ctx context.Context) error {
	c, err := s.dialer.control(ctx)
	if err != nil {
		return loginError(err)
	}
	defer c.close()
	se := &session{src: s, log: s.log, c: c}
	for _, l := range s.lists {
		se.slots = append(se.slots, &slot{list: l})
	}
	se.shieldAll(ctx)
	return nil
}
