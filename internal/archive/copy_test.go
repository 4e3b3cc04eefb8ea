package archive

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

// copied puts what an hour of one hoard has into another, and tells of each object whether it was done.
func copied(t *testing.T, from *hoard, to Store) (done int64, faults []error) {
	t.Helper()
	c := &Copier{From: from.s, To: to, Prefix: "p/", Dir: t.TempDir()}
	h := from.hour()
	err := c.Hour(t.Context(), &h, func(n int64) { done += n }, func(_ string, err error) { faults = append(faults, err) })
	if err != nil {
		t.Fatal(err)
	}
	return done, faults
}

// joinedTwice is an hour of a list whose objects were joined, then joined with a later one.
func joinedTwice(t *testing.T, lineage string) *hoard {
	t.Helper()
	h := newHoard(t)
	h.add(lineage, 3)
	h.add(lineage, 3)
	for range 2 {
		if err := h.compact(h.s); err != nil {
			t.Fatal(err)
		}
		h.sweep()
		h.add(lineage, 3)
	}
	return h
}

// TestCopyTakesNothingAway: both archives have joined objects of their own, under the same numbers.
func TestCopyTakesNothingAway(t *testing.T) {
	once := newHoard(t)
	once.add(lineages[1], 2)
	once.add(lineages[1], 2)
	if err := once.compact(once.s); err != nil {
		t.Fatal(err)
	}
	once.sweep()
	for _, c := range []struct {
		name     string
		from, to *hoard
	}{
		{"its number was replaced there", once, joinedTwice(t, lineages[0])},
		{"it replaces a number of theirs", joinedTwice(t, lineages[0]), once},
	} {
		t.Run(c.name, func(t *testing.T) {
			done, faults := copied(t, c.from, c.to.s)
			if len(faults) != 1 || !strings.Contains(faults[0].Error(), "in the way") {
				t.Errorf("%v", faults)
			}
			if got := len(rowsOf(t, c.to.s)); int64(got) != int64(len(c.to.want))+done {
				t.Errorf("%d rows count, want %d and %d that were copied", got, len(c.to.want), done)
			}
		})
	}
}

// TestCopyMeetsAJob: a job that joins objects there gives the copied object up before its manifest comes.
func TestCopyMeetsAJob(t *testing.T) {
	from, to := newHoard(t), newHoard(t)
	from.add(lineages[0], 3)
	from.add(lineages[0], 3)
	if err := from.compact(from.s); err != nil {
		t.Fatal(err)
	}
	from.sweep()
	to.add(lineages[1], 2)
	to.add(lineages[1], 2)
	done, faults := copied(t, from, &meetingJob{to.s, func() {
		if err := to.compact(to.s); err != nil {
			t.Error(err)
		}
	}})
	if conflict := new(ConflictError); done != 0 || len(faults) != 1 || !errors.As(faults[0], &conflict) {
		t.Errorf("%d rows were copied, %v", done, faults)
	}
	to.check("at the end")
}

// meetingJob lets a job run before the first manifest is written.
type meetingJob struct {
	*memStore
	job func()
}

func (s *meetingJob) PutIfAbsent(ctx context.Context, key string, body io.ReadSeeker, size int64, sha string) (Info, bool, error) {
	if job := s.job; job != nil && strings.HasSuffix(key, manifestExt) {
		s.job = nil
		job()
	}
	return s.memStore.PutIfAbsent(ctx, key, body, size, sha)
}
