package redislist

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// waitTimeout is how long the server may block our connection for replicas, and how long we leave it alone after
	// it did so in vain.
	waitTimeout = time.Second
	// replicaMemory is how long a replica that went away is still waited for: longer than a failover or a resync takes.
	replicaMemory = 10 * time.Minute
)

// replicaCount remembers how many replicas were connected in the last ten minutes. It outlives connections: right after
// a failover the new primary has fewer. It is safe for concurrent use.
type replicaCount struct {
	mu   sync.Mutex
	seen []seenReplicas // descending by number, ascending by time: each is the most that was seen since
}

type seenReplicas struct {
	at time.Time
	n  int
}

// see books what is connected now.
func (r *replicaCount) see(now time.Time, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.seen) > 0 && r.seen[len(r.seen)-1].n <= n {
		r.seen = r.seen[:len(r.seen)-1]
	}
	r.seen = append(r.seen, seenReplicas{now, n})
}

// expect is the most that was connected in the last ten minutes.
func (r *replicaCount) expect(now time.Time) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.seen) > 1 && now.Sub(r.seen[0].at) > replicaMemory {
		r.seen = r.seen[1:]
	}
	if len(r.seen) == 0 {
		return 0
	}
	return r.seen[0].n
}

// onlineReplicas counts those that INFO replication shows as connected and in sync.
func onlineReplicas(info string) (n int) {
	for line := range strings.Lines(info) {
		name, v, ok := strings.Cut(strings.TrimSpace(line), ":")
		num, isSlave := strings.CutPrefix(name, "slave")
		if _, err := strconv.Atoi(num); ok && isSlave && err == nil && strings.Contains(v, "state=online") {
			n++
		}
	}
	return n
}

// need is the number of replicas that must hold a write now.
func (se *session) need() int {
	if n := se.src.cfg.Claim.WaitReplicas; n != AutoReplicas {
		return int(n)
	}
	return se.shard.replicas.expect(time.Now())
}

// wake makes the waiter look for writes to wait for.
func (se *session) wake() {
	select {
	case se.written <- struct{}{}:
	default:
	}
}

// waiter asks replicas for what was written and publishes it. It returns when the session ends.
func (se *session) waiter(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-se.c.broken:
			return
		case <-se.written:
		}
		for !se.confirm(ctx) {
			select {
			case <-ctx.Done():
				return
			case <-se.c.broken:
				return
			case <-time.After(waitTimeout): // the connection is free for others meanwhile
			}
		}
	}
}

// confirm sends one WAIT for all that was answered so far, and publishes it if enough replicas have it.
func (se *session) confirm(ctx context.Context) bool {
	se.mu.Lock()
	sure := make(map[*stream]assured, len(se.streams))
	for _, st := range se.streams {
		sure[st] = st.assure() // before the number of the last write is read: no more than that covers
	}
	se.mu.Unlock()
	seq, n := se.c.writes.Load(), se.need()
	if n > 0 {
		got, err := se.c.wait(ctx, n)
		if err != nil {
			if !se.c.failed() && ctx.Err() == nil {
				se.src.say("wait", "Redis refuses WAIT: nothing is delivered until it does", "err", err)
			}
			return false
		}
		if got < n {
			se.src.say("wait", "too few replicas hold what was claimed: it is not delivered until they do", "replicas", got, "needed", n)
			return false
		}
	}
	se.mu.Lock()
	defer se.mu.Unlock()
	se.covered = max(se.covered, seq)
	close(se.coveredMore)
	se.coveredMore = make(chan struct{})
	for _, st := range se.streams {
		st.publish(se.covered)
		if a, ok := sure[st]; ok {
			st.assured(a)
		}
	}
	return true
}

// replicated waits until replicas hold the write seq.
func (se *session) replicated(ctx context.Context, seq uint64, st *stream) error {
	se.wake()
	for {
		se.mu.Lock()
		covered, more := se.covered, se.coveredMore
		se.mu.Unlock()
		if covered >= seq {
			return st.failed()
		}
		select {
		case <-more:
		case <-ctx.Done():
			return fmt.Errorf("wait for replicas of list %s: %w", st.list.name, ctx.Err())
		case <-st.done:
			return st.failed()
		}
	}
}
