package pipeline

import (
	"context"
	"slices"
	"sync"
)

// drainage is the work on one stream: a lane for each sink, and a cache they share.
type drainage struct {
	stream Stream
	cache  *cache
	lanes  []*lane
	hard   context.Context // ends with the stream, or with the shutdown's deadline
	cancel context.CancelFunc
	quiet  chan struct{} // closed when no lane begins or holds a batch any more
	ended  chan struct{} // closed when nothing of it runs any more, and gatherers have forgotten it
}

// work runs the lanes until the stream is lost or the shutdown ends them. soft ends when no new batch is to be begun.
func (d *drainage) work(soft context.Context) {
	defer close(d.ended)
	defer d.cancel()
	ctx, stop := context.WithCancel(d.hard)
	defer stop()
	unhook := context.AfterFunc(soft, stop)
	defer unhook()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-d.stream.Done():
			d.cancel()
		case <-d.hard.Done():
		}
	}()
	var lanes, settlers sync.WaitGroup
	for _, l := range d.lanes {
		settlers.Go(func() { l.settler.work(d.hard) })
		lanes.Go(func() { l.work(ctx) })
	}
	lanes.Wait()
	close(d.quiet)
	<-d.hard.Done() // an orderly shutdown still books what is in flight, until it ends the stream
	settlers.Wait()
	<-watched
	for _, l := range d.lanes {
		if l.run.gather != nil {
			l.run.gather.forget(d.stream.ID())
		}
	}
	d.cache.close()
}

// letGo drops from the cache what every lane has passed.
func (d *drainage) letGo() {
	least := *d.lanes[0].next.Load()
	for _, l := range d.lanes[1:] {
		if p := *l.next.Load(); p.Compare(least) < 0 {
			least = p
		}
	}
	d.cache.passed(least)
}

// lacks names the owed sinks of the stream's open claims that this process does not have, and tells whether its own
// sinks have settled everything they are owed.
func (d *drainage) lacks() (missing []string, settled bool) {
	claims, _ := d.stream.Claims()
	settled = true
	if s, ok := d.stream.(Spoolable); ok {
		for name := range s.Spools() {
			if l := d.lane(name); l == nil || l.blocked.Load() {
				missing = append(missing, name)
			} else {
				settled = false
			}
		}
	}
	for i := range claims {
		c := &claims[i]
		for _, name := range c.Owes {
			l := d.lane(name)
			switch {
			case slices.Contains(missing, name): // its later claims wait behind the one that it cannot serve
			case l == nil || !l.serves(c) && l.settler.cursor(c) < c.Len:
				missing = append(missing, name)
			case l.settler.cursor(c) < c.Len:
				settled = false
			}
		}
	}
	return missing, settled
}

func (d *drainage) lane(sink string) *lane {
	for _, l := range d.lanes {
		if l.run.name == sink {
			return l
		}
	}
	return nil
}
