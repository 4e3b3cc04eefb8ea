package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"sluice/internal/console"
	"sluice/internal/metrics"
	"sluice/internal/pipeline"
	"sluice/retention/report"
)

// serveConsole listens on admin.listen and serves until the returned function is called. A port that is taken, by another
// pump on the same machine say, must not stop the drain: it is tried again until it is free.
func (e *engine) serveConsole(ctx context.Context) (stop func(), err error) {
	l, err := e.listen(ctx)
	if err != nil && !errors.Is(err, syscall.EADDRINUSE) {
		return nil, usageError{fmt.Errorf("admin.listen: %w; choose another address, for example 127.0.0.1:0", err)}
	}
	if l == nil {
		e.log.Warn("no console and no metrics for now: the address is in use", "listen", e.cfg.Admin.Listen)
	}
	return e.serveOn(l), nil
}

// serveOn serves on a listener, or without one as soon as the address is free.
func (e *engine) serveOn(l net.Listener) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		if err := e.serve(ctx, l); err != nil {
			e.log.Error("the console ended", "err", err)
		}
	})
	return func() { cancel(); done.Wait() }
}

func (e *engine) listen(ctx context.Context) (net.Listener, error) {
	return (&net.ListenConfig{}).Listen(ctx, "tcp", e.cfg.Admin.Listen)
}

// listenAgain is how often an address that is in use is tried.
const listenAgain = 10 * time.Second

// serve serves until ctx is done. Without a listener it waits for the address first.
func (e *engine) serve(ctx context.Context, l net.Listener) (err error) {
	for l == nil {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(listenAgain):
		}
		if l, err = e.listen(ctx); err != nil {
			l = nil
		}
	}
	token, err := e.adminToken(l.Addr())
	if err != nil {
		l.Close()
		return fmt.Errorf("token of the console: %w", err)
	}
	view := &view{engine: e}
	kept := &report.File{Path: report.Path(e.cfg.State.Dir)}
	h := console.New(console.Options{
		Status: view.status, Traffic: e.trafficReader(), DeadLetters: e.newestLetters,
		Metrics: metrics.Handler(view.status, &retainMetrics{kept}), Ready: e.ready, Token: token, Log: e.log,
		Retention: kept.Read,
	})
	e.log.Info("console", "address", "http://"+l.Addr().String())
	return (&console.Server{Handler: h, Log: e.log}).Serve(ctx, l)
}

// adminToken is what the console asks for: the configured token; without one nothing on a loopback address, and elsewhere
// one that is made once and kept beside the process's state.
func (e *engine) adminToken(at net.Addr) (string, error) {
	if tcp, ok := at.(*net.TCPAddr); e.cfg.Admin.Token != "" || ok && tcp.IP.IsLoopback() {
		return e.cfg.Admin.Token, nil
	}
	token, file, err := e.state.AdminToken()
	if err == nil {
		e.log.Info("the console is open to the network and asks for a token", "file", file)
	}
	return token, err
}

// trafficReader is the first sink that can show its traffic, nil if none can.
func (e *engine) trafficReader() pipeline.TrafficReader {
	for _, s := range e.specs {
		if t, ok := s.Sink.(pipeline.TrafficReader); ok {
			return t
		}
	}
	return nil
}

// ready tells whether every source is connected and every sink takes data, and if not why; else what degrades it.
func (e *engine) ready() (bool, []string) {
	why := e.pipe.Unready()
	for _, s := range e.sources {
		if st := s.Status(); !st.Connected {
			why = append(why, "source "+st.Name+": not connected: "+st.Error)
		}
	}
	for i := range why {
		why[i] = e.cfg.Clean(why[i])
	}
	if len(why) == 0 {
		return true, e.degraded()
	}
	return false, why
}

func (e *engine) newestLetters(ctx context.Context, limit int) ([]console.DeadLetter, error) {
	var last []console.DeadLetter // a ring
	n := 0
	err := readable(e.log, e.box.Each)(ctx, func(l *pipeline.Letter) error {
		row := console.DeadLetter{ID: l.ID, Sink: l.Sink, Reason: l.Reason, Time: l.Time, Source: l.Source, List: l.List,
			Position: l.Position, Bytes: l.Length}
		if len(last) < limit {
			last = append(last, row)
		} else {
			last[n%limit] = row
		}
		n++
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := make([]console.DeadLetter, len(last))
	for i := range out { // the newest first
		out[i] = last[(n-1-i)%len(last)]
	}
	return out, nil
}

// view makes the status, at most once a second: the ledger in it is read from Redis.
type view struct {
	*engine
	mu   sync.Mutex
	last pipeline.Status

	forecast pipeline.Forecast
}

const statusEvery = time.Second

func (v *view) status() pipeline.Status {
	v.mu.Lock()
	defer v.mu.Unlock()
	if now := time.Now(); now.Sub(v.last.Time) >= statusEvery-50*time.Millisecond {
		v.last = v.make(now)
	}
	return v.last
}

func (v *view) make(now time.Time) pipeline.Status {
	s := pipeline.Status{
		Time: now, Started: v.started, Version: thisBuild().Version, Region: v.cfg.Region,
		MemoryLimit: v.cfg.BufferLimit(), MemoryUsed: v.pipe.MemoryUsed(), Sinks: v.pipe.SinkStatuses(),
	}
	s.Ready, s.NotReady = v.ready()
	if s.Ready {
		s.NotReady = nil // what degrades it is among the alarms
	}
	s.Letters = v.pipe.LetterCounts()
	spools := v.spoolUses(now)
	for i := range s.Sinks {
		s.Sinks[i].LastError, s.Sinks[i].Spool = v.cfg.Clean(s.Sinks[i].LastError), spools[s.Sinks[i].Name]
	}
	for _, src := range v.sources {
		st := src.Status()
		st.Error = v.cfg.Clean(st.Error)
		s.Sources = append(s.Sources, st)
	}
	v.forecast.Note(s.Sources, now)
	v.engine.mu.Lock()
	s.Alarms = slices.Clone(v.alarms)
	v.engine.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), auditTime)
	defer cancel()
	a, err := readAudit(ctx, v.sources)
	if err != nil {
		s.Ledger = v.last.Ledger // the last one that could be read
		s.Alarms = append(s.Alarms, "the ledger cannot be read now")
		return s
	}
	s.Ledger = a.ledger()
	s.Alarms = append(s.Alarms, a.suspect()...)
	for i := range s.Sources {
		s.Sources[i].Lists = slices.Clone(s.Sources[i].Lists)
		for _, l := range a.Sources[s.Sources[i].Name] {
			for j := range s.Sources[i].Lists {
				if s.Sources[i].Lists[j].Name == l.List {
					s.Sources[i].Lists[j].Suspect = len(l.Suspect)
				}
			}
		}
	}
	for i := range s.Sinks {
		s.Sinks[i].LagRecords = a.Sinks[s.Sinks[i].Name].Pending
		if at, ok := a.oldest[s.Sinks[i].Name]; ok {
			s.Sinks[i].LagSeconds = max(0, now.Sub(at).Seconds())
		}
	}
	s.Alarms = append(s.Alarms, a.sheds()...)
	for _, k := range s.Sinks {
		if k.SpoolFailing {
			s.Alarms = append(s.Alarms, "the spool of sink "+k.Name+" cannot be written: its records wait in Redis, which runs short of room")
		} else if n := a.Sinks[k.Name].Spooled; n > 0 {
			s.Alarms = append(s.Alarms, fmt.Sprintf("%d records of sink %s lie in its spool", n, k.Name))
		}
	}
	if !s.Ledger.Balanced {
		s.Alarms = append(s.Alarms, "the ledger does not balance: see sluice audit")
	}
	return s
}
