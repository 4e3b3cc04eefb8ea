package redislist

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"sluice/internal/pipeline"
)

// oracle is a sink that knows records by position, as the aggregates do: what comes twice at one position is one effect. It
// settles what it was given, in runs of a few hundred.
type oracle struct {
	t     testing.TB
	sink  string
	pause time.Duration // after each run
	wg    sync.WaitGroup
	stop  chan struct{}
	n     atomic.Int64

	mu   sync.Mutex
	at   map[string]string // payload by lineage and position
	must map[string]bool   // payloads pushed; false: nobody knows whether they arrived
}

func newOracle(t testing.TB, sink string) *oracle {
	return &oracle{t: t, sink: sink, stop: make(chan struct{}), at: map[string]string{}, must: map[string]bool{}}
}

// watch works on whatever a source gains, until the test ends.
func (o *oracle) watch(d *fakeDrain) {
	o.wg.Go(func() {
		for {
			select {
			case <-o.stop:
				return
			case st := <-d.gained:
				o.wg.Go(func() { o.work(st) })
			}
		}
	})
	o.t.Cleanup(sync.OnceFunc(func() { close(o.stop); o.wg.Wait() }))
}

func (o *oracle) work(st *stream) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-o.stop:
		case <-st.Done():
		}
		cancel()
	}()
	for {
		cs, changed := st.Claims()
		for _, c := range cs {
			if !o.claim(ctx, st, c) {
				return
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

func (o *oracle) claim(ctx context.Context, st *stream, c pipeline.Claim) bool {
	cur := st.cursor(c.ID, o.sink)
	for i := cur; i < c.Len; {
		es, err := st.Read(ctx, c.ID, i, 300, 1<<20)
		if err == nil {
			o.take(st, c.ID, i, es)
			to := i + uint32(len(es))
			if err = st.Settle(ctx, o.sink, []pipeline.Settled{rng(c.ID, i, to)}); err == nil {
				i = to
			}
			time.Sleep(o.pause)
		}
		if ctx.Err() != nil {
			return false
		}
		if err != nil {
			time.Sleep(20 * time.Millisecond)
			i = st.cursor(c.ID, o.sink)
		}
	}
	return true
}

func (o *oracle) take(st *stream, c pipeline.ClaimID, from uint32, es []pipeline.Element) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, e := range es {
		at := st.id.Lineage + " " + pipeline.Position{Claim: c, Index: from + uint32(i)}.String()
		if old, ok := o.at[at]; ok && old != string(e.Payload) {
			o.t.Errorf("position %s was %q and is %q", at, old, e.Payload)
		}
		o.at[at] = string(e.Payload)
	}
	o.n.Store(int64(len(o.at)))
}

// pushed notes what a gateway pushed, and whether it is certain to have arrived.
func (o *oracle) pushed(payloads []string, certain bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range payloads {
		o.must[p] = certain
	}
}

// certain counts what is certain to have been pushed.
func (o *oracle) certain() (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.must {
		if c {
			n++
		}
	}
	return n
}

// missing counts what must come yet.
func (o *oracle) missing() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	seen := map[string]bool{}
	for _, p := range o.at {
		seen[p] = true
	}
	n := 0
	for p, certain := range o.must {
		if certain && !seen[p] {
			n++
		}
	}
	return n
}

// judge waits until everything is delivered and demands each record once.
func (o *oracle) judge() {
	o.t.Helper()
	certain := o.certain()
	for end := time.Now().Add(patience); o.missing() > 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			o.t.Fatalf("%d of %d records are missing", o.missing(), len(o.must))
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	times := map[string]int{}
	for _, p := range o.at {
		if _, ok := o.must[p]; !ok {
			o.t.Errorf("%q was never pushed", p)
		}
		if times[p]++; times[p] > 1 {
			o.t.Errorf("%q has %d effects", p, times[p])
		}
	}
	o.t.Logf("%d records, %d of them certain, %d delivered", len(o.must), certain, len(o.at))
}

// gateway pushes to a list as gateways do, to the server that find names, and goes to another when it is refused.
type gateway struct {
	o    *oracle
	list string
	find func() (string, error)
	wait atomic.Int32 // replicas that make a push certain

	addr string
	c    rueidis.Client
	conn rueidis.DedicatedClient
}

func (g *gateway) dial() error {
	addr, err := g.find()
	if err != nil {
		return err
	}
	g.c, err = rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{addr}, ForceSingleClient: true, AlwaysRESP2: true,
		DisableCache: true, DisableRetry: true, PipelineMultiplex: -1, RingScaleEachConn: 8, ConnWriteTimeout: time.Second})
	if err != nil {
		g.c = nil
		return err
	}
	g.addr = addr
	g.conn, _ = g.c.Dedicate()
	return nil
}

func (g *gateway) hangUp() {
	if g.c != nil {
		g.conn.Close()
		g.c.Close()
		g.c = nil
	}
}

// push pushes one batch; what the server refused for certain is tried again, anything else counts as perhaps arrived.
func (g *gateway) push(ctx context.Context, payloads []string) {
	for ctx.Err() == nil {
		if g.c == nil {
			if g.dial() != nil {
				time.Sleep(50 * time.Millisecond)
				continue
			}
		}
		b := g.conn.B()
		rs := g.conn.DoMulti(ctx, b.Rpush().Key(g.list).Element(payloads...).Build(),
			b.Expire().Key(g.list).Seconds(60).Nx().Build(), b.Wait().Numreplicas(int64(g.wait.Load())).Timeout(500).Build())
		err := rs[0].Error()
		if to := redirected(err, "ASK"); to != "" {
			err = g.pushAsked(ctx, to, payloads)
			if err == nil {
				g.o.pushed(payloads, g.wait.Load() == 0)
				return
			}
		}
		if _, refused := rueidis.IsRedisErr(err); refused {
			g.hangUp()
			time.Sleep(20 * time.Millisecond)
			continue
		}
		n, waitErr := rs[2].ToInt64()
		if err != nil || waitErr != nil {
			g.hangUp()
		}
		g.o.pushed(payloads, err == nil && waitErr == nil && n >= int64(g.wait.Load()))
		return
	}
}

func (g *gateway) pushAsked(ctx context.Context, addr string, payloads []string) error {
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{addr}, ForceSingleClient: true, AlwaysRESP2: true,
		DisableCache: true, DisableRetry: true, PipelineMultiplex: -1})
	if err != nil {
		return err
	}
	defer c.Close()
	conn, release := c.Dedicate()
	defer release()
	rs := conn.DoMulti(ctx, conn.B().Asking().Build(), conn.B().Rpush().Key(g.list).Element(payloads...).Build(),
		conn.B().Asking().Build(), conn.B().Expire().Key(g.list).Seconds(60).Nx().Build())
	return rs[1].Error()
}

// traffic pushes until the function it returns is called.
func (g *gateway) traffic(name string, batch int, every time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		defer g.hangUp()
		for n := 0; ctx.Err() == nil; {
			var payloads []string
			for range batch {
				payloads = append(payloads, fmt.Sprintf("%s-%s-%d", g.list, name, n))
				n++
			}
			g.push(ctx, payloads)
			time.Sleep(every)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	g.o.t.Cleanup(stop)
	return stop
}

// wantDrained demands that nothing is left and that the ledger is exact.
func wantDrained(t testing.TB, s *Source) {
	t.Helper()
	var all []ListAudit
	eventually(t, "all is settled", func() bool {
		var err error
		all, err = s.Audit(t.Context())
		for _, a := range all {
			if len(a.Claims) > 0 || a.Waiting > 0 {
				return false
			}
		}
		return err == nil && len(all) > 0
	})
	for _, a := range all {
		if len(a.Strange) > 0 || a.Sinks["x"].Effective != a.Taken {
			t.Errorf("%+v", a)
		}
	}
}
