package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ready skips or fails where there are no servers, and builds the program.
func ready(t *testing.T) (binary string) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes minutes; run without -short")
	}
	testenv.Mongo(t)
	testenv.OpenSearch(t)
	testenv.S3(t)
	return testenv.Build(t)
}

// TestThePromiseHoldsUnderFire is the soak in a size for every build: one seed that is always the same, and a fresh one,
// which is printed so that it can be run again.
func TestThePromiseHoldsUnderFire(t *testing.T) {
	binary := ready(t)
	for name, seed := range map[string]uint64{"fixed": 20261123, "fresh": rand.Uint64()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, err := soak(t.Context(), settings{seed: seed, shape: drawn(seed), duration: 20 * time.Second, pumps: 2, rate: 150,
				pace: 400 * time.Millisecond, race: testenv.Race, binary: binary, dir: t.TempDir(), log: t.Logf})
			verify(t, v, err)
			if v.Records < 1000 || v.Injected < 10 || v.Hits == 0 { // of 3000 and some 50, on a machine with nothing else to do
				t.Errorf("seed %d: too little happened: %+v", seed, v)
			}
		})
	}
}

// atOnce is how many cases run beside each other: each spends most of its time waiting.
const atOnce = 4

// TestDirectedCases are those that do not take long.
func TestDirectedCases(t *testing.T) {
	binary := ready(t)
	seed := rand.Uint64()
	type outcome struct {
		verdict verdict
		err     error
		log     []string
	}
	short := slices.DeleteFunc(scenarios(), func(c scenario) bool { return c.long })
	outcomes := make([]outcome, len(short))
	turn := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for i, c := range short {
		dir := t.TempDir()
		all.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			o := &outcomes[i]
			o.verdict, o.err = direct(t.Context(), c, settings{seed: seed, race: testenv.Race, binary: binary, dir: dir,
				log: func(format string, args ...any) { o.log = append(o.log, fmt.Sprintf(format, args...)) }})
		})
	}
	all.Wait()
	for i, c := range short {
		t.Run(c.name, func(t *testing.T) {
			o := &outcomes[i]
			if errors.Is(o.err, errNoMount) {
				testenv.Unavailable(t, "%v", o.err)
			}
			t.Log(strings.Join(o.log, "\n"))
			verify(t, o.verdict, o.err)
		})
	}
}

func verify(t *testing.T, v verdict, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("seed %d: %v", v.Seed, err)
	}
	if len(v.Violations) > 0 {
		t.Errorf("seed %d: the promise was broken:\n%s", v.Seed, strings.Join(v.Violations, "\n"))
	}
}
