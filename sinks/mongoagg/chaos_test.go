package mongoagg

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	driver "go.mongodb.org/mongo-driver/mongo"

	"sluice/internal/record"
	"sluice/sinks/sinktest"
)

var errFault = errors.New("the network is bad")

// network makes what the sinks send unreliable: updates get lost, answers get lost, and updates that were given up
// arrive later, when somebody else has written.
type network struct {
	mu   sync.Mutex
	rnd  *rand.Rand
	rate int // one in so many, 0 for none
	late []func(context.Context)
	did  map[string]int
}

func (n *network) send(ctx context.Context, coll *driver.Collection, ops []*operation) {
	n.mu.Lock()
	fault := 99
	if n.rate > 0 {
		fault = n.rnd.IntN(n.rate * 4)
	}
	n.mu.Unlock()
	fail := func(what string) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.did[what]++
		for _, op := range ops {
			op.err = errFault
		}
	}
	switch fault {
	case 0:
		fail("lost")
	case 1:
		send(ctx, coll, ops)
		fail("answer lost")
	case 2:
		again := make([]*operation, len(ops))
		for i, op := range ops {
			again[i] = &operation{doc: op.doc, filter: op.filter, update: op.update}
		}
		fail("delayed")
		n.mu.Lock()
		n.late = append(n.late, func(ctx context.Context) { send(ctx, coll, again) })
		n.mu.Unlock()
	case 3: // took effect, or ran into what did, but nobody knows what a majority has
		send(ctx, coll, ops)
		n.mu.Lock()
		n.did["unknown"]++
		for _, op := range ops {
			op.err = fmt.Errorf("%w: test", errUnknown)
		}
		n.mu.Unlock()
	default:
		send(ctx, coll, ops)
	}
}

// arrive lets some of the delayed updates arrive.
func (n *network) arrive(ctx context.Context, all bool) {
	n.mu.Lock()
	var now, later []func(context.Context)
	for _, f := range n.late {
		if all || n.rnd.IntN(3) == 0 {
			now = append(now, f)
		} else {
			later = append(later, f)
		}
	}
	n.late = later
	n.mu.Unlock()
	for _, f := range now {
		f(ctx)
	}
}

// Two pumps share documents and take lists from each other, also while the other still works on them; what they send
// gets lost, comes late, and is cut anew at each delivery. At the end every record counts once.
func TestChaos(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { chaos(t, seed, 150) })
	}
}

func chaos(t *testing.T, seed uint64, steps int) {
	ctx, s := t.Context(), shared(t)
	c := s.config()
	rnd := rand.New(rand.NewPCG(seed, 1))
	net := &network{rnd: rand.New(rand.NewPCG(seed, 2)), rate: 2, did: map[string]int{}}
	lists := []*sinktest.List{listOf("a", made(rnd, 120), made(rnd, 80)), listOf("b", made(rnd, 150)), listOf("c", made(rnd, 60), made(rnd, 60), made(rnd, 60))}

	pumps := make([]*sinktest.Driver, 2)
	start := func(i int) {
		sink := s.open(t, c)
		sink.send = net.send
		if pumps[i] == nil {
			pumps[i] = sinktest.NewDriver(sink)
		} else {
			pumps[i] = pumps[i].Reopened(sink)
		}
		pumps[i].Cut = func(int) int { return 1 + rnd.IntN(25) }
	}
	start(0)
	start(1)
	for range steps {
		p := pumps[rnd.IntN(2)]
		switch l := lists[rnd.IntN(len(lists))]; rnd.IntN(8) {
		case 0: // takes a list over at what the other has settled, or at the beginning
			if o := pumps[rnd.IntN(2)]; rnd.IntN(2) == 0 {
				p.TakeOver(l, o.Cursor(l))
			} else {
				p.Back(l)
			}
		case 1:
			start(rnd.IntN(2)) // crashes
		case 2:
			net.arrive(ctx, false)
		case 3, 4:
			_ = p.Flush(ctx, true) // it may fail: that is the point
		default:
			_, _ = p.Step(ctx, l)
		}
	}
	net.rate = 0
	for _, p := range pumps { // both deliver everything, one after the other
		must(t, p.Deliver(ctx, lists...))
		net.arrive(ctx, true)
	}
	t.Log(net.did)
	s.holds(t, c, recordsOf(lists...))
}

// made makes records of few organisations and two hours.
func made(rnd *rand.Rand, n int) []*record.Record {
	rs := make([]*record.Record, n)
	for i := range rs {
		ms := rnd.Int64N(40)
		rs[i] = &record.Record{OrgID: fmt.Sprint("org", rnd.IntN(3)), APIID: fmt.Sprint("api", rnd.IntN(3)), APIName: "name", APIVersion: "v1",
			APIKey: fmt.Sprint("key", rnd.IntN(4)), Path: fmt.Sprint("/p/", rnd.IntN(5)), Tags: []string{"t.a"},
			ResponseCode: []int32{200, 200, 404, 500, -1, 302}[rnd.IntN(6)], RequestTime: ms, Latency: record.Latency{Total: ms, Upstream: ms / 2},
			Network:   record.Network{OpenConnections: 1, ClosedConnections: 2, BytesIn: 3, BytesOut: 4},
			TimeStamp: time.Date(2026, 11, 23, 9+rnd.IntN(2), rnd.IntN(60), 0, rnd.IntN(1e9), time.UTC)}
	}
	return rs
}
