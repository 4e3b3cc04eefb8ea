package redislist

import (
	"context"
	"fmt"
	"time"
)

// sighting is a lease of another pump, as it was seen first.
type sighting struct {
	owner string
	until int64
	alive bool // it was renewed since
}

// Idle tells whether nothing is left that this process is to drain: no list has elements and no registry has open
// claims, but for those it returns the names of, each with the reason: they belong to a live pump (its lease was renewed
// while we looked), wait for another state directory, or owe sinks that this process lacks. A lease that is not renewed
// is waited for: once it has expired, the list is ours to take. It is to be asked again and again while Run goes on.
func (s *Source) Idle(ctx context.Context) (bool, []string, error) {
	r, err := s.reach(ctx)
	if err != nil {
		return false, nil, err
	}
	defer r.close()
	idle, names := true, []string(nil)
	for _, l := range s.lists {
		var v listView
		var now time.Time
		err := r.on(ctx, l, func(c *control) (err error) {
			if now, err = r.now(ctx, c); err == nil {
				v, err = readList(ctx, c, l)
			}
			return err
		})
		if err != nil {
			return false, nil, err
		}
		open := v.reg != nil && len(v.reg.Claims)+len(v.reg.Spools) > 0
		if !open && (v.waiting == 0 || !s.wants(l)) {
			continue
		}
		why := s.notOurs(l, v, now)
		if why == "" {
			idle = false
			continue
		}
		names = append(names, l.name+": "+why)
	}
	return idle, names, nil
}

// notOurs says why a list that has something is not for us to drain; empty when it is, or may be.
func (s *Source) notOurs(l list, v listView, now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v.reg == nil || v.reg.Owner == s.deps.Token {
		delete(s.seen, l.name)
		return ""
	}
	if v.reg.Owner != "" && v.reg.Until > now.UnixMilli() {
		old, ok := s.seen[l.name]
		if !ok || old.owner != v.reg.Owner {
			s.seen[l.name] = sighting{owner: v.reg.Owner, until: v.reg.Until}
			return ""
		}
		if v.reg.Until > old.until {
			old.alive = true
			s.seen[l.name] = old
		}
		if old.alive {
			return "belongs to a live pump"
		}
		return ""
	}
	delete(s.seen, l.name)
	if v.reg.Home != "" && v.reg.Home != s.deps.Home {
		return "waits for state directory " + v.reg.Home
	}
	if _, given := s.given[l.name]; given && v.waiting == 0 {
		return "owes sinks that are not configured here"
	}
	return ""
}

// wants tells whether claims of the list would owe anything.
func (s *Source) wants(l list) bool {
	s.mu.Lock()
	drain := s.drain
	s.mu.Unlock()
	return drain == nil || len(l.owed(drain).Sinks) > 0
}

// serverTime is the server's clock.
func serverTime(ctx context.Context, c *control) (time.Time, error) {
	m, err := c.do(ctx, c.conn.B().Time().Build())
	if err != nil {
		return time.Time{}, fmt.Errorf("TIME: %w", err)
	}
	v, err := m.AsIntSlice()
	if err != nil || len(v) != 2 {
		return time.Time{}, fmt.Errorf("TIME answered strangely")
	}
	return time.Unix(v[0], v[1]*1000), nil
}
