package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	"sluice/internal/fault"
)

func replicaCases() []scenario {
	return []scenario{
		{name: "Redis primary killed, replica promoted", pumps: 2, shape: shape{replica: true},
			means: "twice, there and back, behind a stable name; what the replica had confirmed to the gateway is owed",
			run:   failover},
		{name: "replica promoted without the last writes", pumps: 2, shape: shape{replica: true},
			means: "the replica is cut off, gateways write on, the primary is killed: what only it had is gone, and must be nowhere, " +
				"since no pump may deliver from what the replica has not confirmed",
			run: lostWrites},
	}
}

// promote kills the primary, makes the other one the primary, and moves the stable name to it. The old one comes back
// as its replica after a while.
func (w *world) promote(ctx context.Context) error {
	if err := w.redis.Kill(); err != nil {
		return err
	}
	if err := w.pause(ctx, time.Second); err != nil {
		return err
	}
	c, err := connect(w.second.Addr)
	if err != nil {
		return err
	}
	err = c.Do(ctx, c.B().Arbitrary("REPLICAOF", "NO", "ONE").Build()).Error()
	c.Close()
	if err != nil {
		return err
	}
	w.redis, w.second = w.second, w.redis
	w.ways["redis"].proxy.Retarget(w.redis.Addr)
	w.gateway.Retarget(w.redis.Addr)
	return nil
}

// follow brings the old primary back as the replica of the new one.
func (w *world) follow(ctx context.Context) error {
	if err := w.second.Start(ctx); err != nil {
		return err
	}
	c, err := connect(w.second.Addr)
	if err != nil {
		return err
	}
	defer c.Close()
	host, port, _ := strings.Cut(w.redis.Addr, ":")
	if err := c.Do(ctx, c.B().Arbitrary("REPLICAOF", host, port).Build()).Error(); err != nil {
		return err
	}
	return w.await(ctx, "the old primary follows the new one", func() (bool, error) {
		info, err := w.info(ctx, "replication")
		return strings.Contains(info["slave0"], "state=online"), err
	})
}

func failover(ctx context.Context, w *world) error {
	return w.load(ctx, func(ctx context.Context) error {
		for range 2 {
			if err := w.pause(ctx, 4*time.Second); err != nil {
				return err
			}
			if err := w.catch(ctx, "failover"); err != nil {
				return err
			}
			if err := w.promote(ctx); err != nil {
				return err
			}
			if err := w.pause(ctx, 2*time.Second); err != nil {
				return err
			}
			if err := w.follow(ctx); err != nil {
				return err
			}
		}
		return w.pause(ctx, 3*time.Second)
	})
}

func lostWrites(ctx context.Context, w *world) error {
	some := func(ctx context.Context) error { return w.pause(ctx, 4*time.Second) }
	if err := w.load(ctx, some); err != nil {
		return err
	}
	w.link.Set(fault.Rule{Silent: true})
	confirmed := w.gen.settled
	w.gen.settled, w.gen.log = nil, map[int][]payload{}
	for range 40 { // pumps claim these, and may not deliver from the claims
		if err := w.gen.push(ctx, 20); err != nil {
			return err
		}
		if err := w.pause(ctx, pushEvery); err != nil {
			return err
		}
	}
	claimed := w.inWork(ctx)
	if err := w.pause(ctx, 2*time.Second); err != nil {
		return err
	}
	if err := w.promote(ctx); err != nil {
		return err
	}
	w.link.Set(fault.Rule{})
	text, err := w.client.Do(ctx, w.client.B().Get().Key(pushedKey).Build()).ToString()
	if err != nil {
		// The first command after a move meets the connection that was reset.
		text, err = w.client.Do(ctx, w.client.B().Get().Key(pushedKey).Build()).ToString()
	}
	if err != nil {
		return err
	}
	known, err := strconv.Atoi(text)
	if err != nil {
		return err
	}
	lost := 0
	for push, batch := range w.gen.log {
		if push <= known {
			continue
		}
		for _, p := range batch {
			if err := w.gen.debts.forget(p); err != nil {
				return err
			}
			lost++
		}
	}
	w.count("records that only the lost primary had, some of them claimed", int64(lost)*claimed)
	w.gen.log, w.gen.settled = nil, confirmed
	if err := w.follow(ctx); err != nil {
		return err
	}
	return w.load(ctx, some)
}
