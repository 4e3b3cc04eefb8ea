package redislist

import (
	"context"
	"errors"
	"testing"
	"time"

	"sluice/internal/pipeline"
)

// A spool is left only from where it begins: who believes that it begins elsewhere books nothing.
func TestUnspoolFromElsewhere(t *testing.T) {
	b := newBench(t)
	b.r.push(b.l.name, 0, 10)
	reg := b.take(b.a)
	c := b.claim(b.a, reg, owing("x"))
	spooled := pipeline.Settled{Claim: c.ID, To: 10, Counts: pipeline.Counts{Spooled: 10}}
	if _, err := settle(b.ctx(), b.c, b.a, b.l, reg.Lineage, "x", "s3://bucket/", []pipeline.Settled{spooled}); err != nil {
		t.Fatal(err)
	}
	rest := []pipeline.Settled{{Claim: c.ID, From: 3, To: 10, Counts: pipeline.Counts{Effective: 7}}}
	_, err := unspool(b.ctx(), b.c, b.a, b.l, reg.Lineage, "x", pipeline.Position{Claim: c.ID, Index: 3}, rest)
	if !errors.Is(err, errStale) {
		t.Fatal(err)
	}
	if got := b.r.registry(b.l); got.Ledger["x"]["spooled"] != 10 || got.Ledger["x"]["effective"] != 0 {
		t.Fatalf("%v", got.Ledger)
	}
}

// What a lease read of spools and members counts only when replicas hold it.
func TestLeaseIsReplicatedBeforeItsSpool(t *testing.T) {
	primary, replica, r := withReplica(t)
	l := analytics()
	cfg := testConfig(primary.Addr)
	cfg.Claim.Lease, cfg.Claim.WaitReplicas = 30e9, 1
	replica.Pause()
	s, d := newSource(t, cfg, tokenA), newDrain("x")
	run(t, s, d)
	r.push(l.name, 0, 5)
	st := d.stream(t, l.name)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := st.Replicated(ctx); err == nil {
		t.Fatal("a lease that no replica has is replicated")
	}
	replica.Continue()
	if err := st.Replicated(t.Context()); err != nil {
		t.Fatal(err)
	}
}
