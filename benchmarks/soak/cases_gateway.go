package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"sluice/internal/fault"
)

func gatewayCases() []scenario {
	return []scenario{
		{name: "lists with a TTL of 4 s", long: true, pumps: 2, shape: shape{ttl: 4},
			means: "all four stores are gone for 12 s, three times as long as a list lives: lists are claimed in time all the same",
			run:   shortTTL},
		{name: "all pumps dead for ten minutes of the gateway's time", long: true, pumps: 2,
			means: "every TTL is made ten minutes shorter: msgpack lists that nobody claimed are gone, as is said, and nothing else; " +
				"lists that a pump which could not start has shielded outlive nine minutes",
			run: deadForTenMinutes},
	}
}

func shortTTL(ctx context.Context, w *world) error {
	for _, p := range w.pumps { // lists that nobody claims in their four seconds are gone
		if err := w.wait(ctx, p); err != nil {
			return err
		}
	}
	return w.load(ctx, func(ctx context.Context) error {
		if err := w.pause(ctx, 3*time.Second); err != nil {
			return err
		}
		sinks := []string{"dashboard", "raw", "search", "archive"}
		for _, s := range sinks {
			w.ways[s].proxy.Set(fault.Rule{Refuse: true})
		}
		err := w.pause(ctx, 12*time.Second)
		open, e := w.client.Do(ctx, w.client.B().Keys().Pattern(openClaims).Build()).AsStrSlice()
		for _, s := range sinks {
			w.ways[s].proxy.Set(fault.Rule{})
		}
		w.count("claims while every sink is down", int64(len(open)))
		return errors.Join(err, e)
	})
}

func deadForTenMinutes(ctx context.Context, w *world) error {
	w.gen.log = map[int][]payload{}
	err := w.load(ctx, func(ctx context.Context) error {
		if err := w.pause(ctx, 3*time.Second); err != nil {
			return err
		}
		if err := w.catch(ctx, "all pumps killed"); err != nil {
			return err
		}
		if err := w.killAll(); err != nil {
			return err
		}
		return w.pause(ctx, 2*time.Second)
	})
	if err != nil {
		return err
	}
	lists, lost, err := w.passTime(ctx, 10*time.Minute)
	if err != nil {
		return err
	}
	w.count("lists that the gateway's TTL took, with their records", int64(min(lists, lost)))

	// A pump that cannot start, since its credentials are wrong, shields the lists before it ends.
	p := w.pumps[0]
	right, err := os.ReadFile(p.config)
	if err != nil {
		return err
	}
	if err := p.configure(strings.Replace(string(right), fmt.Sprintf("%q", w.stores.secret), `"wrong"`, 1)); err != nil {
		return err
	}
	for range 20 {
		if err := w.gen.push(ctx, 10); err != nil {
			return err
		}
	}
	code, _, err := p.output(ctx, "run")
	if err != nil || code != 1 {
		return fmt.Errorf("run with wrong credentials ends with %d: %w", code, err)
	}
	left, err := w.unclaimed(ctx)
	if err != nil {
		return err
	}
	if lists, _, err = w.passTime(ctx, 9*time.Minute); err != nil {
		return err
	}
	if lists > 0 {
		w.violated("%d lists were not shielded", lists)
	}
	w.count("records in shielded lists that outlived nine minutes", left)
	if err := p.configure(string(right)); err != nil {
		return err
	}
	if err := w.startAll(); err != nil {
		return err
	}
	return w.load(ctx, func(ctx context.Context) error { return w.pause(ctx, 3*time.Second) })
}

// passTime makes every TTL in Redis shorter. What would have ended is removed, and its records are owed no more.
func (w *world) passTime(ctx context.Context, d time.Duration) (lists, records int, err error) {
	c := w.client
	keys, err := c.Do(ctx, c.B().Keys().Pattern("*").Build()).AsStrSlice()
	if err != nil {
		return 0, 0, err
	}
	for _, k := range keys {
		left, err := c.Do(ctx, c.B().Pttl().Key(k).Build()).AsInt64()
		if err != nil {
			return 0, 0, err
		}
		rest := left - d.Milliseconds()
		if left < 0 {
			continue // it has none
		}
		if rest > 0 {
			err = c.Do(ctx, c.B().Pexpire().Key(k).Milliseconds(rest).Build()).Error()
		} else {
			lists++
			var n int
			n, err = w.expire(ctx, k)
			records += n
		}
		if err != nil {
			return 0, 0, fmt.Errorf("end %s: %w", k, err)
		}
	}
	return lists, records, nil
}

// expire removes a list as its TTL would.
func (w *world) expire(ctx context.Context, key string) (int, error) {
	c := w.client
	elements, err := c.Do(ctx, c.B().Lrange().Key(key).Start(0).Stop(-1).Build()).AsStrSlice()
	if err != nil {
		return 0, err
	}
	if strings.HasPrefix(key, "{") {
		return 0, errors.New("a key of a pump's has a TTL")
	}
	for _, e := range elements {
		p, ok := w.gen.logged(rueidis.BinaryString([]byte(e)))
		if !ok {
			return 0, errors.New("it holds what nobody pushed")
		}
		if err := w.gen.debts.forget(p); err != nil {
			return 0, err
		}
	}
	return len(elements), c.Do(ctx, c.B().Del().Key(key).Build()).Error()
}

// logged finds what was pushed by its bytes.
func (g *generator) logged(data string) (payload, bool) {
	for _, batch := range g.log {
		for _, p := range batch {
			if bytes.Equal(p.data, []byte(data)) {
				return p, true
			}
		}
	}
	return payload{}, false
}
