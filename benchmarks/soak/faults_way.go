package main

import (
	"context"
	"math/rand/v2"
	"time"

	"sluice/internal/fault"
)

// onTheWay are faults of the connections to a server.
func (w *world) onTheWay(name string) (out []faultKind) {
	y := w.ways[name]
	met := func(context.Context) int64 { return y.proxy.Hits() }
	add := func(kind string, least, most time.Duration, rule func(*rand.Rand) fault.Rule) {
		out = append(out, faultKind{name: name + ": " + kind, target: name + " way", least: least, most: most, met: met,
			apply: func(_ context.Context, rnd *rand.Rand) error { y.proxy.Set(rule(rnd)); return nil },
			heal:  func(context.Context) error { y.proxy.Set(fault.Rule{}); return nil }})
	}
	add("reply cut in its middle", time.Second, 3*time.Second, func(rnd *rand.Rand) fault.Rule {
		return fault.Rule{Cut: 0.02 + 0.3*rnd.Float64()}
	})
	add("request carried out, reply lost", time.Second, 4*time.Second, func(*rand.Rand) fault.Rule { return fault.Rule{Deaf: true} })
	add("black hole", time.Second, 6*time.Second, func(*rand.Rand) fault.Rule { return fault.Rule{Silent: true} })
	add("latency", time.Second, 5*time.Second, func(rnd *rand.Rand) fault.Rule {
		return fault.Rule{Latency: time.Duration(50+rnd.IntN(2500)) * time.Millisecond}
	})
	add("latency of 30 s", 2*time.Second, 6*time.Second, func(*rand.Rand) fault.Rule { return fault.Rule{Latency: 30 * time.Second} })
	// Longer than a call may take and than a lease: what a pump gave up takes effect after another took over.
	add("requests delivered late", 2*time.Second, 8*time.Second, func(rnd *rand.Rand) fault.Rule {
		return fault.Rule{Hold: 3*time.Second + time.Duration(rnd.IntN(5000))*time.Millisecond}
	})
	add("slow drip", time.Second, 4*time.Second, func(rnd *rand.Rand) fault.Rule { return fault.Rule{Drip: 1 + rnd.IntN(200)} })
	add("connections reset", 0, 0, func(*rand.Rand) fault.Rule { y.proxy.Reset(); return fault.Rule{} })
	if name != "redis" { // long enough for a breaker to open, and for a spool to be begun and, with others about, to be hurt
		add("gone", 3*time.Second, 12*time.Second, func(*rand.Rand) fault.Rule { return fault.Rule{Refuse: true} })
	}
	return out
}

// ofHTTP are faults of a server, or of a proxy before it, that speaks HTTP.
func (w *world) ofHTTP(name string) (out []faultKind) {
	y := w.ways[name]
	add := func(kind string, rule fault.HTTPRule) {
		out = append(out, faultKind{name: name + ": " + kind, target: name + " server", least: time.Second, most: 5 * time.Second,
			met: func(context.Context) int64 { return y.gate.Hits() },
			apply: func(_ context.Context, rnd *rand.Rand) error {
				r := rule
				r.Chance = 0.3 + 0.7*rnd.Float64()
				y.gate.Set(r)
				return nil
			},
			heal: func(context.Context) error { y.gate.Set(fault.HTTPRule{}); return nil }})
	}
	add("503", fault.HTTPRule{Status: 503})
	add("429 with Retry-After", fault.HTTPRule{Status: 429, RetryAfter: time.Second})
	add("500", fault.HTTPRule{Status: 500})
	add("400 of a proxy", fault.HTTPRule{Status: 400})
	add("500 after it was stored", fault.HTTPRule{Status: 500, After: true})
	add("503 after it was stored", fault.HTTPRule{Status: 503, After: true})
	add("reset after it was stored", fault.HTTPRule{After: true})
	add("reset before", fault.HTTPRule{})
	add("answer cut in its middle", fault.HTTPRule{Half: true})
	if name == "search" { // its requests can be made smaller; an object of the archive cannot
		add("413 for large requests", fault.HTTPRule{Status: 413, MaxBody: largeRequest})
	}
	return out
}

// largeRequest is above every single record, so that a request can always be made small enough.
const largeRequest = 16 << 10
