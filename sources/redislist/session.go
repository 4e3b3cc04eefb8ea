package redislist

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"sluice/internal/pipeline"
)

const (
	// parallelLists bounds how many lists are worked on at a time; more only hides the network's latency.
	parallelLists = 4
	// tickMax bounds how long a list is not looked at: a few looks before a TTL of 20 s runs out.
	tickMax = time.Second
)

// session is the life of one control connection. Nothing that was remembered of a list outlives it, but for what tells
// that history went back.
type session struct {
	src     *Source
	id      string // random: what scripts are told apart by from those of the sessions before
	log     *slog.Logger
	shard   *shard
	c       *control
	asked   asked
	drain   pipeline.Drain
	pool    *readPool
	written chan struct{} // wakes the waiter
	sharing sharing       // touched between the visits of lists
	looked  time.Time     // when replicas were counted last

	mu          sync.Mutex
	streams     map[string]*stream // by list
	covered     uint64             // writes up to it are replicated as demanded
	coveredMore chan struct{}      // closed when covered grows
	slots       []*slot
}

// slot is what the loop knows of a list. Only one goroutine at a time works on it.
type slot struct {
	list      list
	st        *stream // nil: not ours
	nextTake  time.Time
	nextSweep time.Time // when to look whether there are claims of a dead pump
	nextRenew time.Time
	nextClaim time.Time
	waiting   uint64
	other     bool
	left      time.Time // since when it is left to other pumps
	claimed   bool      // in this round
}

// runSession connects and works until ctx is done or the connection breaks. ok tells whether it worked at all.
func (s *Source) runSession(ctx context.Context, drain pipeline.Drain, at place) (ok bool, err error) {
	c, err := s.dialer.to(ctx, at)
	if err != nil {
		return false, loginError(err)
	}
	defer c.close()
	se := &session{
		src: s, id: chance(8), log: s.log, shard: at.shard, c: c, drain: drain, pool: newReadPool(s.dialer, c.addr, s.deps.MaxElement),
		written: make(chan struct{}, 1), streams: map[string]*stream{}, coveredMore: make(chan struct{}),
	}
	defer se.asked.close()
	for _, l := range at.lists {
		se.slots = append(se.slots, &slot{list: l})
	}
	defer se.pool.close()
	if err := se.greet(ctx); err != nil {
		_ = se.shieldAll(ctx) // the first error says more
		return false, err
	}
	s.setSession(at.addr, se, nil)
	s.log.Info("connected to Redis", "target", s.cfg.Target(), "server", c.addr)

	wctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { se.waiter(wctx) })
	if s.cfg.Mode == ModeSentinel {
		wg.Go(func() { se.watchPrimary(wctx) })
	}
	ok, err = se.loop(ctx)
	se.end(err)
	cancel()
	wg.Wait()
	return ok, err
}

// owner is who leases lists in this session.
func (se *session) owner() owner {
	s := se.src
	return owner{token: s.deps.Token, session: se.id, home: s.deps.Home, lease: s.cfg.Claim.Lease.D(), embedded: s.cfg.Embedded}
}

// loginError marks what only an operator can cure.
func loginError(err error) error {
	if class, _ := pipeline.Classify(err); class == pipeline.FatalError {
		return err // it says what to do
	}
	a := answerTo(err.Error())
	if a.action != pipeline.Operator {
		return fmt.Errorf("connect to Redis: %w", err)
	}
	switch {
	case a.text != "":
		err = errors.New(a.text)
	case a.cure != "":
		err = fmt.Errorf("%w; %s", err, a.cure)
	}
	return a.action.Mark(fmt.Errorf("log in to Redis: %w", err), 0)
}

// greet makes sure that this is a primary which keeps what is written to it.
func (se *session) greet(ctx context.Context) error {
	info, err := se.info(ctx)
	if err != nil {
		return err
	}
	se.pool.expect(info["run_id"])
	if err := notPrimary(se.c.addr, info); err != nil {
		return err
	}
	if err := otherKind(se.src.cfg.Mode, info); err != nil {
		return err
	}
	if p := info["maxmemory_policy"]; strings.HasPrefix(p, "allkeys-") {
		return pipeline.Fatal(fmt.Errorf("maxmemory-policy %s lets Redis throw claims away: set noeviction or a volatile one", p))
	}
	return nil
}

// notPrimary says that a server is a replica, if its INFO shows that.
func notPrimary(addr string, info map[string]string) error {
	if info["role"] == "" || info["role"] == "master" {
		return nil
	}
	return fmt.Errorf("%s leads to a %s of %s:%s, not to the primary", addr, info["role"], info["master_host"], info["master_port"])
}

// info reads INFO, and counts the replicas.
func (se *session) info(ctx context.Context) (map[string]string, error) {
	m, err := se.c.do(ctx, se.c.conn.B().Info().Build())
	switch {
	case err == nil:
	case se.c.failed():
		return nil, err
	case se.src.cfg.Embedded:
		return map[string]string{}, nil
	case denied(err.Error()):
		return nil, pipeline.Fatal(fmt.Errorf("INFO is not allowed (%w): add +info to the user's ACL rules", err))
	default:
		return nil, fmt.Errorf("INFO: %w", err)
	}
	text, err := m.ToString()
	if err != nil {
		return nil, fmt.Errorf("INFO: %w", err)
	}
	se.looked = time.Now()
	se.shard.replicas.see(se.looked, onlineReplicas(text))
	fields := infoFields(text)
	se.shard.room.see(se.looked, fields)
	return fields, nil
}

func infoFields(text string) map[string]string {
	f := map[string]string{}
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			f[k] = v
		}
	}
	return f
}

// loop looks at all lists again and again.
func (se *session) loop(ctx context.Context) (worked bool, err error) {
	lease := se.src.cfg.Claim.Lease.D()
	tick := time.NewTicker(min(se.src.cfg.Claim.Interval.D(), tickMax, lease/6))
	defer tick.Stop()
	for {
		if err := se.scan(ctx); err != nil && ctx.Err() == nil {
			if class, _ := pipeline.Classify(err); class == pipeline.FatalError {
				_ = se.shieldAll(ctx) // the first error says more
				return worked, err
			}
			if se.c.failed() {
				return worked, se.c.cause()
			}
			se.src.say("scan", "looking at the lists failed", "err", err)
		} else {
			worked = true
		}
		select {
		case <-ctx.Done():
			return worked, nil
		case <-se.c.broken:
			return worked, se.c.cause()
		case <-tick.C:
		}
	}
}

// scan looks at every list once.
func (se *session) scan(ctx context.Context) error {
	if time.Since(se.looked) >= se.shard.room.look(se.src.cfg.Guard) {
		info, err := se.info(ctx)
		if err != nil {
			return err
		}
		if err := notPrimary(se.c.addr, info); err != nil { // it was one
			se.c.fail(err)
			return err
		}
	}
	probes, err := se.probe(ctx)
	if err != nil {
		return err
	}
	for i, sl := range se.slots {
		sl.waiting = probes[i].len
	}
	if err := se.share(ctx); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelLists)
	for i, sl := range se.slots {
		g.Go(func() error { return se.visit(gctx, sl, probes[i]) })
	}
	err = g.Wait()
	se.report()
	return err
}

// visit does what is due on one list. A list whose TTL runs out and that could not be claimed, for whatever reason, is
// shielded: another's lease, or one given back, must not cost its records.
func (se *session) visit(ctx context.Context, sl *slot, p probe) error {
	sl.claimed = false
	err := se.attend(ctx, sl, p)
	if err != nil || sl.claimed || p.kind != "list" || p.ttl < 0 || p.ttl >= urgentTTL/2 || len(sl.list.owed(se.drain).Sinks) == 0 {
		return err
	}
	return se.shield(ctx, sl, p)
}

// attend leases, renews and claims as it is due.
func (se *session) attend(ctx context.Context, sl *slot, p probe) error {
	if p.kind != "none" && p.kind != "list" {
		se.src.say("type "+sl.list.name, "a key has the name of a list and is none: it is left alone", "key", sl.list.name, "type", p.kind)
		p.len, sl.waiting = 0, 0
	}
	if sl.st != nil && sl.st.failed() != nil {
		se.drop(sl)
	}
	if sl.st == nil {
		if err := se.lease(ctx, sl, p); err != nil || sl.st == nil {
			return err
		}
	}
	if !time.Now().Before(sl.nextRenew) {
		if err := se.renew(ctx, sl); err != nil || sl.st == nil {
			return err
		}
	}
	return se.claims(ctx, sl, p)
}

// drop forgets a stream that is closed.
func (se *session) drop(sl *slot) {
	se.src.remember(sl.st)
	se.mu.Lock()
	delete(se.streams, sl.list.name)
	se.mu.Unlock()
	sl.st = nil
}

// end closes all streams, and gives their leases back if Redis can still be reached.
func (se *session) end(why error) {
	if why == nil {
		why = errors.New("the source ends")
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	for _, sl := range se.slots {
		if sl.st == nil {
			continue
		}
		ours := sl.st.failed() == nil
		sl.st.close(why)
		if ours && !se.c.failed() && ctx.Err() == nil {
			if err := giveBack(ctx, se.c, se.owner(), sl.list); err != nil && !errors.Is(err, errLost) {
				se.log.Warn("a lease could not be given back, it will expire", "list", sl.list.name, "err", err)
			}
		}
		se.drop(sl)
	}
	if !se.c.failed() && ctx.Err() == nil {
		se.leave(ctx)
	}
}

// chance returns n random bytes in hex.
func chance(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return hex.EncodeToString(b)
}
