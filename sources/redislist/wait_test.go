package redislist

import (
	"context"
	"strings"
	"testing"
	"time"

	"sluice/internal/pipeline"
	"sluice/internal/testenv"
)

// withReplica starts a primary and a replica of it in sync.
func withReplica(t *testing.T) (primary, replica *testenv.RedisServer, r *testRedis) {
	t.Helper()
	primary = testenv.StartRedis(t, "--repl-diskless-sync-delay", "0")
	replica = testenv.StartRedisReplica(t, primary, "--repl-diskless-sync-delay", "0")
	r = dialRedis(t, primary.Addr)
	eventually(t, "the replica is in sync", func() bool { return onlineReplicas(r.str("INFO", "replication")) == 1 })
	return primary, replica, r
}

// Nothing is handed out while a replica that was there does not confirm it; then all of it is. Members wait alike.
func TestWaitForReplicas(t *testing.T) {
	for name, want := range map[string]Replicas{"auto": AutoReplicas, "one": 1} {
		t.Run(name, func(t *testing.T) {
			primary, replica, r := withReplica(t)
			l, rr := analytics(), dialRedis(t, replica.Addr)
			cfg := testConfig(primary.Addr)
			cfg.Claim.Lease = 30e9
			cfg.Claim.WaitReplicas = want
			s, d := newSource(t, cfg, tokenA), newDrain("x")
			run(t, s, d)
			r.push(l.name, 0, 5)
			st := d.stream(t, l.name)
			c := claims(t, st, 1)[0]
			if n := rr.int("LLEN", l.claim(c.ID)); n != 5 {
				t.Fatalf("handed out while the replica has %d elements", n)
			}
			replica.Pause()
			r.push(l.name, 5, 5)
			eventually(t, "the second claim is made", func() bool { return len(r.registry(l).Claims) == 2 })
			time.Sleep(1500 * time.Millisecond) // more than one WAIT
			if cs, _ := st.Claims(); len(cs) != 1 {
				t.Fatal("handed out what no replica has")
			}
			second := st.se.latest(st)
			if _, err := st.Read(t.Context(), second, 0, 1, 1); err == nil {
				t.Fatal("read what no replica has")
			}
			m := pipeline.MemberRange{From: pipeline.Position{Claim: c.ID}, To: pipeline.Position{Claim: c.ID, Index: 5}}
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			if err := st.Members("x").Record(ctx, m); err == nil {
				t.Fatal("members are durable without a replica")
			}
			if got, ok := st.Members("x").Recorded(); ok {
				t.Fatal("members are shown that no replica has", got)
			}
			replica.Continue()
			claims(t, st, 2)
			if err := st.Members("x").Record(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			if got := rr.str("HGET", l.registry(), "m:x"); got != membersString(m) {
				t.Fatalf("the replica has members %q", got)
			}
			if got, ok := st.Members("x").Recorded(); !ok || got != m {
				t.Fatal(got, ok)
			}
			other := m
			other.Tag = "other"
			if err := st.Members("x").Record(t.Context(), other); err == nil {
				t.Fatal("another range was recorded")
			}
			settleAll(t, st, c, "x")
			if _, ok := st.Members("x").Recorded(); ok || r.str("HGET", l.registry(), "m:x") != "" {
				t.Fatal("members stay")
			}
		})
	}
}

// latest is the last claim, handed out or not.
func (se *session) latest(st *stream) pipeline.ClaimID {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.order[len(st.order)-1]
}

// A replica that was promoted is the new server: what it has goes on, in a new epoch.
func TestFailover(t *testing.T) {
	primary, replica, r := withReplica(t)
	l := analytics()
	front := newCutter(t, primary.Addr)
	cfg := testConfig(front.addr)
	cfg.Claim.WaitReplicas = 0 // the promoted one has none
	s, d := newSource(t, cfg, tokenA), newDrain("x")
	run(t, s, d)
	r.push(l.name, 0, 1500)
	st := d.stream(t, l.name)
	c := claims(t, st, 1)[0]
	if err := st.Settle(t.Context(), "x", []pipeline.Settled{rng(c.ID, 0, 1100)}); err != nil {
		t.Fatal(err)
	}
	rr := dialRedis(t, replica.Addr)
	eventually(t, "the replica has it", func() bool { return rr.int("LLEN", l.claim(c.ID)) == 500 })
	primary.Pause()
	rr.do("REPLICAOF", "NO", "ONE")
	front.redirect(replica.Addr)
	closed(t, st)
	st2 := d.stream(t, l.name)
	c2 := claims(t, st2, 1)[0]
	if c2.ID != c.ID || c2.Cursor["x"] != 1100 || st2.epoch == st.epoch || st2.id.Lineage != st.id.Lineage {
		t.Fatalf("%+v", c2)
	}
	if es := readAll(t, st2, c2, 1100); len(es) != 400 || string(es[0].Payload) != payload(1100) {
		t.Fatal(len(es))
	}
}

// The address of a replica is named as such and never worked on.
func TestReplicaIsRefused(t *testing.T) {
	_, replica, r := withReplica(t)
	r.push(analytics().name, 0, 5)
	s, d := newSource(t, testConfig(replica.Addr), tokenA), newDrain("x")
	run(t, s, d)
	eventually(t, "it is said", func() bool { return strings.Contains(s.Status().Error, "slave") })
	if len(d.gained) > 0 {
		t.Fatal("a list of a replica was gained")
	}
	fails := 0
	for _, f := range s.Check(t.Context()) {
		if f.Level == Fail && strings.Contains(f.Text, "slave of") {
			fails++
		}
	}
	if fails != 1 {
		t.Fatal(s.Check(t.Context()))
	}
}

func TestReplicaCount(t *testing.T) {
	var r replicaCount
	at := func(min int) time.Time { return time.Unix(0, 0).Add(time.Duration(min) * time.Minute) }
	for _, s := range []struct{ min, see, want int }{{0, 2, 2}, {1, 1, 2}, {2, 0, 2}, {9, 1, 2}, {11, 0, 1}, {18, 0, 1}, {20, 0, 0}, {21, 3, 3}} {
		r.see(at(s.min), s.see)
		if got := r.expect(at(s.min)); got != s.want {
			t.Errorf("minute %d: expects %d, want %d", s.min, got, s.want)
		}
	}
	info := "role:master\r\nconnected_slaves:3\r\nslave0:ip=a,port=1,state=online,offset=1\r\nslave1:ip=b,port=1,state=wait_bgsave\r\nslave10:ip=b,port=1,state=online\r\nslave_repl_offset:5\r\n"
	if n := onlineReplicas(info); n != 2 {
		t.Fatal(n)
	}
}
