package mongo

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrBuilding says that an index build takes longer than the caller waits for it, ErrQueued that so many wait to be begun
// that it was not waited for. Either goes on.
var (
	ErrBuilding = errors.New("indexes are still being built")
	ErrQueued   = errors.New("indexes wait to be built")
)

// maxBuilds is how many collections a Builds works on at a time: each build holds a connection, and a batch may touch ten
// thousand new collections.
const maxBuilds = 4

// maxQueue is how many builds may wait to be begun before nobody waits for them: ten thousand collections, each waited
// for, would hold records up for hours.
const maxQueue = 16

// Builds makes the indexes of collections, some collections at a time and each once however many ask. A build goes on
// when nobody waits for it any more, since a client that hangs up may end it. It is safe for concurrent use.
type Builds struct {
	life  context.Context
	end   context.CancelFunc
	tasks sync.WaitGroup

	mu      sync.Mutex
	jobs    map[string]*build // by collection: those that wait and those in work
	waiting []*build
	working int
}

type build struct {
	collection string
	run        func(context.Context) error
	done       chan struct{}
	err        error // once done is closed
}

// NewBuilds makes one that works until Close.
func NewBuilds() *Builds {
	b := &Builds{jobs: map[string]*build{}}
	b.life, b.end = context.WithCancel(context.Background())
	return b
}

// Do has a collection's indexes made and waits for that, for a while: then it is ErrBuilding, or ErrQueued. run gets the context of
// all builds. A build of the collection that is under way serves this call, too.
func (b *Builds) Do(ctx context.Context, collection string, patience time.Duration, run func(context.Context) error) error {
	if err := b.life.Err(); err != nil {
		return err
	}
	j, queue := b.job(collection, run)
	if queue > maxQueue {
		return ErrQueued
	}
	wait := time.NewTimer(patience)
	defer wait.Stop()
	select {
	case <-j.done:
		return j.err
	case <-wait.C:
		return ErrBuilding
	case <-ctx.Done():
		return ctx.Err()
	}
}

// job returns the build of a collection, and how many wait to be begun.
func (b *Builds) job(collection string, run func(context.Context) error) (*build, int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if j := b.jobs[collection]; j != nil {
		return j, len(b.waiting)
	}
	j := &build{collection: collection, run: run, done: make(chan struct{})}
	b.jobs[collection] = j
	b.waiting = append(b.waiting, j)
	if b.working < maxBuilds {
		b.working++
		b.tasks.Go(b.work)
	}
	return j, len(b.waiting)
}

// work makes what waits until nothing does.
func (b *Builds) work() {
	for j := b.next(nil); j != nil; j = b.next(j) {
		j.err = j.run(b.life)
	}
}

// next ends a job and begins another; nil when none waits.
func (b *Builds) next(last *build) *build {
	b.mu.Lock()
	defer b.mu.Unlock()
	if last != nil {
		delete(b.jobs, last.collection)
		close(last.done)
	}
	if len(b.waiting) == 0 {
		b.working--
		return nil
	}
	j := b.waiting[0]
	b.waiting[0], b.waiting = nil, b.waiting[1:]
	return j
}

// Wait returns when no build is under way, which may take long unless their connection was ended.
func (b *Builds) Wait() { b.tasks.Wait() }

// Close ends every build and waits for them.
func (b *Builds) Close() {
	b.end()
	b.tasks.Wait()
}
