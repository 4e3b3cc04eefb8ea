package apply

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"sluice/retention/plan"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeLease is held by whoever stands in holder.
type fakeLease struct {
	mu       sync.Mutex
	holder   string
	err      error
	released int
	taken    int
}

func (l *fakeLease) Take(context.Context) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken++
	return l.holder, l.err
}
func (l *fakeLease) Release(context.Context) error { l.released++; return nil }
func (l *fakeLease) Close(context.Context)         {}
func (l *fakeLease) String() string                { return "lease" }

func TestOneAtATime(t *testing.T) {
	ours, theirs := &fakeLease{}, &fakeLease{holder: "b"}
	err := Hold(t.Context(), []Lease{ours, theirs}, func(context.Context) error { t.Error("works without the lease"); return nil })
	if !errors.Is(err, ErrBusy) || ours.released != 1 || theirs.released != 0 {
		t.Errorf("%v, %d and %d given back", err, ours.released, theirs.released)
	}
}

func TestALostLeaseEndsTheWork(t *testing.T) {
	for name, lose := range map[string]func(*fakeLease){
		"taken by another":  func(l *fakeLease) { l.holder = "b" },
		"cannot be renewed": func(l *fakeLease) { l.err = errors.New("refused") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &fakeLease{}
				began := time.Now()
				err := Hold(t.Context(), []Lease{l}, func(ctx context.Context) error {
					time.Sleep(10 * time.Minute) // renewed all along
					l.mu.Lock()
					lose(l)
					l.mu.Unlock()
					<-ctx.Done()
					return ctx.Err()
				})
				if after := time.Since(began) - 10*time.Minute; !errors.Is(err, errLost) || after >= Span {
					t.Errorf("after %s: %v", after, err)
				}
				if l.taken < 40 {
					t.Errorf("renewed %d times in ten minutes", l.taken)
				}
			})
		})
	}
}

func TestWorkEndsAndTheLeaseIsGivenBack(t *testing.T) {
	l := &fakeLease{}
	fault := errors.New("fault")
	if err := Hold(t.Context(), []Lease{l}, func(context.Context) error { return fault }); !errors.Is(err, fault) || l.released != 1 {
		t.Errorf("%v, given back %d times", err, l.released)
	}
}

// fakeStore fails for the targets it is told to.
type fakeStore struct {
	fail string
	did  []string
}

func (s *fakeStore) Inventory(context.Context, time.Time) (plan.Inventory, error) {
	return plan.Inventory{}, nil
}
func (s *fakeStore) Close(context.Context) {}
func (s *fakeStore) Do(_ context.Context, a *plan.Action, done func(int64)) error {
	if a.Target == s.fail {
		return errors.New("refused")
	}
	s.did = append(s.did, a.Target)
	done(a.Records)
	return nil
}

type fakeArchive struct{ bad time.Time }

func (a fakeArchive) Verify(_ context.Context, from, to time.Time, _ *Verified) error {
	if !a.bad.Before(from) && a.bad.Before(to) {
		return errors.New("damaged")
	}
	return nil
}

func TestEachActionIsVerifiedDoneAndNoted(t *testing.T) {
	path := t.TempDir()
	dir, err := OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if _, err := OpenDir(path); !errors.Is(err, ErrBusy) {
		t.Errorf("a second job gets the directory: %v", err)
	}
	journal, err := dir.Journal("run")
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close()
	bad := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	action := func(target string, day int) plan.Action {
		from := time.Date(2026, 1, day, 0, 0, 0, 0, time.UTC)
		return plan.Action{Store: "s", Verb: plan.DeleteIndex, Target: target, From: from, To: from.AddDate(0, 0, 1), Records: 2, Verify: true}
	}
	held := action("held", 1)
	held.HeldBy = []string{"a hold"}
	store := &fakeStore{fail: "refuses"}
	job := Job{Stores: map[string]Store{"s": store}, Archive: fakeArchive{bad}, Journal: journal}
	out, err := job.Run(t.Context(), &plan.Plan{Actions: []plan.Action{action("one", 1), action("damaged", 2), held, action("refuses", 3), action("two", 4)}})
	if err == nil || !strings.Contains(err.Error(), "damaged") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("error %v", err)
	}
	if got := strings.Join(store.did, " "); got != "one two" || len(out) != 4 || out[0].Done != 2 || out[1].Err == "" || out[2].Err == "" {
		t.Errorf("did %q: %+v", got, out)
	}
	b, err := os.ReadFile(filepath.Join(path, "journal.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for event, want := range map[string]int{"begin": 3, "done": 2, "failed": 2} {
		if n := strings.Count(string(b), `"event":"`+event+`"`); n != want {
			t.Errorf("%d times %s in the journal, want %d", n, event, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if out, err := job.Run(ctx, &plan.Plan{Actions: []plan.Action{action("three", 5)}}); err == nil || len(out) != 0 {
		t.Errorf("works on after its end: %+v, %v", out, err)
	}
	job.Archive = nil
	if _, err := job.Run(t.Context(), &plan.Plan{Actions: []plan.Action{action("three", 5)}}); err == nil {
		t.Error("what is to be verified goes without an archive")
	}
}

func TestVerifiedOutlivesACrash(t *testing.T) {
	path := t.TempDir()
	dir, err := OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	at := time.Now()
	v, err := dir.Verified()
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Add("one", "sha", 1, at); err != nil {
		t.Fatal(err)
	}
	if _, err := v.file.WriteString(`{"key":"cut o`); err != nil {
		t.Fatal(err)
	}
	if err := v.Add("two", "sha", 1, at); err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if v, err = dir.Verified(); err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	for key, want := range map[string]bool{"one": true, "two": true, "cut o": false} {
		if v.Has(key, "sha", 1, at) != want {
			t.Errorf("%s is remembered: %v", key, !want)
		}
	}
	if v.Has("one", "other", 1, at) || v.Has("one", "sha", 2, at) || v.Has("one", "sha", 1, at.Add(time.Second)) {
		t.Error("an object that changed counts as verified")
	}
}
