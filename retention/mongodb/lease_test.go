package mongodb

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/mongo"
	"sluice/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// database is a name of the test's own, dropped with it.
func database(t *testing.T, uri string) string {
	t.Helper()
	name := fmt.Sprintf("sluice_retain_%08x", rand.Uint32())
	t.Cleanup(func() {
		c, err := mongo.Connect(context.Background(), uri, "test")
		if err != nil {
			t.Error(err)
			return
		}
		defer mongo.Disconnect(context.Background(), c)
		if err := c.Database(name).Drop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return name
}

func TestLease(t *testing.T) {
	uri := testenv.Mongo(t)
	db := database(t, uri)
	lease := func(owner string, span time.Duration) *Lease {
		l, err := NewLease(t.Context(), uri, db, owner, span)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close(context.Background()) })
		return l
	}
	take := func(l *Lease, want string) {
		t.Helper()
		who, err := l.Take(t.Context())
		if err != nil || !strings.HasPrefix(who, want) || (want == "") != (who == "") {
			t.Fatalf("%s takes: %q, %v; want %q", l.owner, who, err, want)
		}
	}
	a, b := lease("a", time.Second), lease("b", time.Minute)
	take(a, "")
	take(b, "a, until ")
	take(a, "") // renewed
	time.Sleep(1200 * time.Millisecond)
	take(b, "") // a's ran out
	take(a, "b, until ")
	if err := a.Release(t.Context()); err != nil { // not its own any more
		t.Fatal(err)
	}
	take(a, "b, until ")
	if err := b.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	take(a, "")
}
