package redislist

import (
	"fmt"
	"testing"
	"time"

	"sluice/internal/testenv"
	"sluice/internal/units"
)

// TestTenPumpsShareTheLists: one pump has all lists; nine more come, and each has its part; half of them fall silent, and the others
// have all lists.
func TestTenPumpsShareTheLists(t *testing.T) {
	srv := testenv.StartRedis(t)
	r := dialRedis(t, srv.Addr)
	const pumps, many = 10, 20
	lease := 2 * time.Second
	var names []string
	for _, l := range lists("analytics-", false) {
		if len(names) < many {
			names = append(names, l.name)
			r.push(l.name, 0, 50)
		}
	}
	var sources []*Source
	var cutters []*cutter
	held := func(s *Source) int {
		s.mu.Lock()
		defer s.mu.Unlock()
		n := 0
		for _, se := range s.sessions {
			se.mu.Lock()
			for _, st := range se.streams {
				if st.failed() == nil {
					n++
				}
			}
			se.mu.Unlock()
		}
		return n
	}
	spread := func(of []*Source) (least, most, all int) {
		least = many
		for _, s := range of {
			n := held(s)
			least, most, all = min(least, n), max(most, n), all+n
		}
		return least, most, all
	}
	add := func(i int) {
		p := newCutter(t, srv.Addr)
		cfg := testConfig(p.addr)
		cfg.Uptime = false
		cfg.Claim.Lease, cfg.Claim.Interval = units.Duration(lease), units.Duration(200*time.Millisecond)
		s := newSource(t, cfg, fmt.Sprintf("%032x", i+1))
		run(t, s, newDrain("x"))
		sources, cutters = append(sources, s), append(cutters, p)
	}
	add(0)
	eventually(t, "the first has all lists", func() bool { return held(sources[0]) == many })
	began := time.Now()
	for i := range pumps - 1 {
		add(i + 1)
	}
	eventually(t, "each has its part", func() bool {
		least, most, all := spread(sources)
		return least == many/pumps && most == many/pumps && all == many
	})
	t.Logf("shared evenly after %s, the lease is %s", time.Since(began).Round(10*time.Millisecond), lease)
	time.Sleep(lease) // and it stays so
	if least, most, all := spread(sources); least != most || all != many {
		t.Errorf("between %d and %d lists, %d in all", least, most, all)
	}
	for _, c := range cutters[:pumps/2] {
		c.frozen.Lock()
	}
	defer func() {
		for _, c := range cutters[:pumps/2] {
			c.frozen.Unlock()
		}
	}()
	began = time.Now()
	eventually(t, "the living have all lists", func() bool {
		_, _, all := spread(sources[pumps/2:])
		return all == many
	})
	took := time.Since(began)
	if took > 10*lease { // a lease and a third, where there is nothing else to do
		t.Errorf("taken over after %s", took)
	}
	eventually(t, "each of the living has its part", func() bool {
		least, most, all := spread(sources[pumps/2:])
		return least == 2*many/pumps && most == least && all == many
	})
	t.Logf("taken over after %s, the lease is %s", took.Round(10*time.Millisecond), lease)
}

// TestAPumpThatEndsByItselfTakesAllThatIsFree: a run that ends when nothing is left waits for no part of pumps that died a moment ago, and
// takes no lists from those that live.
func TestAPumpThatEndsByItselfTakesAllThatIsFree(t *testing.T) {
	srv := testenv.StartRedis(t)
	r := dialRedis(t, srv.Addr)
	all := lists("analytics-", false)
	for _, l := range all[:4] {
		r.push(l.name, 0, 50)
	}
	pumps := all[0].registry() + ":pumps"
	group := (&session{drain: newDrain("x")}).group()
	r.do("HSET", pumps, group+":dead", fmt.Sprint(time.Now().Add(time.Hour).UnixMilli()))
	cfg := testConfig(srv.Addr)
	cfg.Uptime, cfg.Claim.Lease = false, units.Duration(time.Minute)
	s := newSource(t, cfg, tokenA)
	s.deps.Alone = true
	d := newDrain("x")
	run(t, s, d)
	eventually(t, "it has all lists", func() bool { return len(d.gained) == 4 })
	if n := r.int("HEXISTS", pumps, group+":"+tokenA); n != 0 {
		t.Error("others would leave it lists")
	}
}

// TestPumpsWithOtherSinksShareNothing: a list that one gives back could owe a sink that the other lacks. It would come back after a lease, and
// be given back again.
func TestPumpsWithOtherSinksShareNothing(t *testing.T) {
	srv := testenv.StartRedis(t)
	r := dialRedis(t, srv.Addr)
	all := lists("analytics-", false)
	for _, l := range all[:4] {
		r.push(l.name, 0, 50)
	}
	cfg := testConfig(srv.Addr)
	cfg.Uptime, cfg.Claim.Lease = false, units.Duration(time.Second)
	both, one := newDrain("archive", "raw"), newDrain("raw")
	run(t, newSource(t, cfg, tokenA), both)
	eventually(t, "one has all lists", func() bool { return len(both.gained) == 4 })
	run(t, newSource(t, cfg, tokenB), one)
	eventually(t, "both are named", func() bool { return r.int("HLEN", all[0].registry()+":pumps") == 2 })
	time.Sleep(4 * time.Second)
	if len(both.gained) != 4 || len(one.gained) != 0 {
		t.Errorf("lists moved: taken %d and %d times", len(both.gained), len(one.gained))
	}
}
