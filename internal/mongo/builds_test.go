package mongo

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Ten thousand collections whose builds take long are a handful of goroutines, each is built once, and who asks waits no
// longer than said, and not behind a queue.
func TestBuildsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBuilds()
		defer b.Close()
		var now, most, all atomic.Int64
		run := func(context.Context) error {
			most.Store(max(most.Load(), now.Add(1)))
			defer now.Add(-1)
			all.Add(1)
			time.Sleep(time.Minute)
			return nil
		}
		began := time.Now()
		for round := range 2 {
			for i := range 100 {
				err := b.Do(t.Context(), fmt.Sprint("c", i), 100*time.Millisecond, run)
				if want := map[bool]error{true: ErrQueued, false: ErrBuilding}[round > 0 || i >= maxBuilds+maxQueue]; !errors.Is(err, want) {
					t.Fatal(round, i, err)
				}
			}
		}
		if d := time.Since(began); d > (maxBuilds+maxQueue)*100*time.Millisecond {
			t.Errorf("callers waited %s", d)
		}
		b.Wait()
		if most.Load() != maxBuilds || all.Load() != 100 {
			t.Errorf("%d builds, %d at a time", all.Load(), most.Load())
		}
		if err := b.Do(t.Context(), "c1", time.Hour, run); err != nil || all.Load() != 101 {
			t.Error("a later call builds nothing", err)
		}
	})
}

func TestBuildsShareErrorsAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBuilds()
		why := errors.New("no")
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				err := b.Do(t.Context(), "c", time.Hour, func(context.Context) error { time.Sleep(time.Second); return why })
				if !errors.Is(err, why) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		wg.Go(func() {
			err := b.Do(t.Context(), "d", time.Hour, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
		synctest.Wait()
		b.Close()
		wg.Wait()
		if err := b.Do(t.Context(), "e", time.Hour, func(context.Context) error { return nil }); !errors.Is(err, context.Canceled) {
			t.Error("a closed one builds", err)
		}
	})
}
