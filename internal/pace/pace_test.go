package pace

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		p := Pacer{Rate: 100}
		for range 5 {
			if err := p.Wait(t.Context(), 50); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("the fifth 50 of 100/s went after %s", took)
		}
		stop := errors.New("stop")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(stop)
		if err := p.Wait(ctx, 1); !errors.Is(err, stop) {
			t.Errorf("%v", err)
		}
		if err := (&Pacer{}).Wait(t.Context(), 1<<30); err != nil {
			t.Error(err)
		}
	})
}
