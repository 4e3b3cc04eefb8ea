package testenv

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"

	"sluice/internal/testenv/install"
	"sluice/internal/testenv/launch"
)

// MongoSet is a replica set of several members that belongs to one test. Its
// members notice within three seconds that one of them is gone.
type MongoSet struct {
	URI     string // of all members
	Members []*MongoMember

	t testing.TB
}

// MongoMember is one member of a set. After Kill, Restart starts it again on
// its data; Pause freezes it, as a machine that hangs does.
type MongoMember struct {
	Addr string // host:port
	Dir  string // its data; what it rolled back is under rollback
	private
}

// StartMongoSet starts a replica set of n members with empty directories and
// waits for its primary. It takes some ten seconds: use one for all tests of a
// package that need it, in subtests.
func StartMongoSet(t testing.TB, n int) *MongoSet {
	t.Helper()
	bin, err := install.Mongod()
	if err != nil {
		Unavailable(t, "no private MongoDB: %v", err)
	}
	set := &MongoSet{t: t, Members: make([]*MongoMember, n)}
	servers, errs := make([]*launch.Server, n), make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		set.Members[i] = &MongoMember{Dir: t.TempDir()}
		wg.Go(func() { servers[i], errs[i] = launch.MongoMember(t.Context(), bin, set.Members[i].Dir) })
	}
	wg.Wait()
	var hosts []string
	for i, m := range set.Members {
		m.private = own(t, servers[i], errs[i])
		m.Addr = servers[i].Addr
		hosts = append(hosts, m.Addr)
	}
	set.URI = "mongodb://" + strings.Join(hosts, ",") + "/?replicaSet=" + launch.ReplicaSet
	if err := launch.InitiateMongo(t.Context(), servers); err != nil {
		t.Fatalf("make the replica set: %v", err)
	}
	set.Primary()
	return set
}

// Primary waits until the set has a primary and returns it.
func (s *MongoSet) Primary() *MongoMember {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), waitLimit)
	defer cancel()
	for ctx.Err() == nil {
		for _, m := range s.Members {
			if !m.alive() {
				continue
			}
			one, end := context.WithTimeout(ctx, 2*time.Second)
			primary, _ := launch.MongoPrimary(one, m.Addr) // one that does not answer is none
			end()
			if primary {
				return m
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.t.Fatal("the replica set has no primary")
	return nil
}

// Secondaries are the members that are not the primary, in no order.
func (s *MongoSet) Secondaries() (out []*MongoMember) {
	s.t.Helper()
	primary := s.Primary()
	for _, m := range s.Members {
		if m != primary {
			out = append(out, m)
		}
	}
	return out
}

// StepDown makes the primary give its role up, and not take it again for some
// seconds. It returns at once; Primary waits for the next one.
func (s *MongoSet) StepDown() {
	s.t.Helper()
	m := s.Primary()
	err := launch.AskMongo(s.t.Context(), m.Addr, bson.D{{Key: "replSetStepDown", Value: 5}, {Key: "secondaryCatchUpPeriodSecs", Value: 2}}, nil)
	if err != nil {
		s.t.Logf("step down: %v", err) // it may hang up on us while it does as it is told
	}
}

// Heal lets paused members run on, starts those that were killed, and waits
// until all of them are primary or secondary again.
func (s *MongoSet) Heal() {
	s.t.Helper()
	for _, m := range s.Members {
		m.Continue()
		m.must(m.server.Start(s.t.Context()))
	}
	s.Primary()
	ctx, cancel := context.WithTimeout(s.t.Context(), waitLimit)
	defer cancel()
	for !s.whole(ctx) {
		if ctx.Err() != nil {
			s.t.Fatal("the replica set does not heal")
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (s *MongoSet) whole(ctx context.Context) bool {
	for _, m := range s.Members {
		var hello struct {
			Primary   bool `bson:"isWritablePrimary"`
			Secondary bool `bson:"secondary"`
		}
		err := launch.AskMongo(ctx, m.Addr, bson.D{{Key: "hello", Value: 1}}, &hello)
		if err != nil || !hello.Primary && !hello.Secondary {
			return false
		}
	}
	return true
}

// RolledBack tells whether the member takes back, within some seconds, a write
// of a document that holds text, since the others have not got it: it keeps
// such documents in files. A member is a secondary for a moment before it
// notices.
func (m *MongoMember) RolledBack(text string) bool {
	m.t.Helper()
	const patience = 15 * time.Second
	for began := time.Now(); time.Since(began) < patience; time.Sleep(100 * time.Millisecond) {
		if m.hasRolledBack(text) {
			return true
		}
	}
	return false
}

func (m *MongoMember) hasRolledBack(text string) bool {
	m.t.Helper()
	found := false
	err := filepath.WalkDir(filepath.Join(m.Dir, "rollback"), func(path string, _ os.DirEntry, err error) error {
		switch {
		case os.IsNotExist(err):
			return nil
		case err != nil || !strings.HasSuffix(path, ".bson"):
			return err
		}
		documents, err := os.ReadFile(path)
		found = found || bytes.Contains(documents, []byte(text))
		return err
	})
	m.must(err)
	return found
}

func (p private) alive() bool {
	select {
	case <-p.server.Process().Done():
		return false
	default:
		return true
	}
}
