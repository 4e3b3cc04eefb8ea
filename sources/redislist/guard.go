package redislist

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"sluice/internal/units"
)

const (
	// roomLook is how often INFO is asked where memory has a limit, calmLook is how often where there is nothing to guard. A
	// gateway that writes 10 MB/s fills a Redis of 64 MB in 6 s. INFO is some 5 kB and 0.1 ms of the server's one thread.
	roomLook = time.Second
	calmLook = 5 * time.Second
	// evictedFor is how long a server counts as full after it was seen to evict keys.
	evictedFor = time.Minute
	// typicalElement is taken for the size of an element before one was seen.
	typicalElement = 2 << 10
)

// room is what INFO shows of the server's memory. It is safe for concurrent use.
type room struct {
	mu        sync.Mutex
	known     bool // used and most are what the server shows
	used      uint64
	most      uint64 // maxmemory; 0: none, or hidden
	evicted   uint64
	evictedAt time.Time
}

// see takes in what INFO shows.
func (r *room) see(now time.Time, info map[string]string) {
	used, err := strconv.ParseUint(info["used_memory"], 10, 64)
	most, _ := strconv.ParseUint(info["maxmemory"], 10, 64)
	evicted, _ := strconv.ParseUint(info["evicted_keys"], 10, 64)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known && evicted > r.evicted && strings.HasPrefix(info["maxmemory_policy"], "volatile-") {
		r.evictedAt = now
	}
	r.known, r.used, r.most, r.evicted = err == nil, used, most, evicted
}

// look is how long what INFO showed is good for.
func (r *room) look(g GuardConfig) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	most := r.most
	if most == 0 || g.Limit > 0 {
		most = uint64(g.Limit)
	}
	if !r.known || most == 0 {
		return calmLook
	}
	return roomLook
}

// short says why room is short, empty when it is not. ours are the bytes that our own lists and claims take, for a server
// that hides what it uses.
func (r *room) short(now time.Time, g GuardConfig, ours func() uint64) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.evictedAt.IsZero() && now.Sub(r.evictedAt) < evictedFor {
		return "Redis evicts keys"
	}
	used, most, what := r.used, r.most, "maxmemory"
	if most == 0 || g.Limit > 0 {
		most, what = uint64(g.Limit), "guard.limit"
	}
	if most == 0 {
		return ""
	}
	if !r.known {
		used = ours()
	}
	if used < most/100*uint64(g.Memory) {
		return ""
	}
	return fmt.Sprintf("Redis uses %s, %d%% of %s", units.Size(used)/units.MiB*units.MiB, used*100/most, what)
}

// Short implements pipeline.Spoolable.
func (st *stream) Short(oldest time.Time) string {
	s, now := st.se.src, time.Now()
	g := s.cfg.Guard
	if !oldest.IsZero() {
		if age := now.Add(st.skew).Sub(oldest); age > g.Age.D() {
			return "records wait since " + age.Truncate(time.Second).String()
		}
	}
	return st.se.shard.room.short(now, g, st.se.ours)
}

// ours estimates what our lists and claims take.
func (se *session) ours() (n uint64) {
	se.mu.Lock()
	defer se.mu.Unlock()
	for _, st := range se.streams {
		n += st.bytes()
	}
	return n
}

// bytes estimates what the open claims take.
func (st *stream) bytes() uint64 {
	st.mu.Lock()
	defer st.mu.Unlock()
	size := st.size
	if size == 0 {
		size = typicalElement
	}
	var elements uint64
	for _, c := range st.open {
		elements += uint64(c.Len - c.Offset)
	}
	return uint64(float64(elements) * size)
}
