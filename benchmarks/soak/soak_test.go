package main

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestThePromiseHoldsUnderFire is the soak in a size for every build: one seed that is always the same, and a fresh one,
// which is printed so that it can be run again.
func TestThePromiseHoldsUnderFire(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes; run without -short")
	}
	testenv.Mongo(t)
	testenv.OpenSearch(t)
	testenv.S3(t)
	binary := testenv.Build(t)
	for name, seed := range map[string]uint64{"fixed": 20261123, "fresh": rand.Uint64()} {
		t.Run(name, func(t *testing.T) {
			v, err := soak(t.Context(), settings{seed: seed, duration: 20 * time.Second, pumps: 2, rate: 200,
				pace: 500 * time.Millisecond, binary: binary, dir: t.TempDir(), log: t.Logf})
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if len(v.Violations) > 0 {
				t.Errorf("seed %d: the promise was broken:\n%s", seed, strings.Join(v.Violations, "\n"))
			}
			if v.Records < 2000 || v.Injected < 20 || v.Hits == 0 {
				t.Errorf("seed %d: too little happened: %+v", seed, v)
			}
		})
	}
}
