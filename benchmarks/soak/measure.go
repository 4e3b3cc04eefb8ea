package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// gauge is what was seen of the processes while they lived.
type gauge struct {
	PeakRSS  int64 `json:"peak_rss"`   // bytes, of any pump
	EarlyRSS int64 `json:"early_rss"`  // the mean of a pump in the second quarter of the time
	LateRSS  int64 `json:"late_rss"`   // and in the last one: a leak shows as growth
	Routines int   `json:"goroutines"` // most that a pump had, when all was healed and drained
}

// rssEvery is how often memory is looked at.
const rssEvery = 500 * time.Millisecond

// measure reads the memory of every pump until ctx is done.
func (w *world) measure(ctx context.Context) (g gauge) {
	tick := time.NewTicker(rssEvery)
	defer tick.Stop()
	began := time.Now()
	var early, late mean
	for {
		select {
		case <-ctx.Done():
			g.EarlyRSS, g.LateRSS = early.value(), late.value()
			return g
		case <-tick.C:
		}
		if n := w.spooled(ctx); n > w.found.Spooled {
			w.found.Spooled = n
		}
		for _, p := range w.pumps {
			rss, ok := p.memory()
			if !ok {
				continue
			}
			g.PeakRSS = max(g.PeakRSS, rss)
			switch part := 4 * time.Since(began) / w.opts.duration; part {
			case 1:
				early.add(rss)
			case 3:
				late.add(rss)
			}
		}
	}
}

// spooled is how many batches lie in spools.
func (w *world) spooled(ctx context.Context) (n int64) {
	switch w.opts.shape.Spool {
	case "dir":
		for _, p := range w.pumps {
			files, _ := filepath.Glob(filepath.Join(p.state(), "spool", "*", "*", "*.batch"))
			n += int64(len(files))
		}
	case "s3":
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		prefix := spoolPrefix + "spool/"
		if page, err := w.stores.s3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &w.stores.bucket, Prefix: &prefix}); err == nil {
			n = int64(len(page.Contents))
		}
	}
	return n
}

type mean struct{ sum, n int64 }

func (m *mean) add(v int64) { m.sum, m.n = m.sum+v, m.n+1 }
func (m *mean) value() int64 {
	if m.n == 0 {
		return 0
	}
	return m.sum / m.n
}

// memory is the resident memory of the process. It may be called beside the schedule.
func (p *pump) memory() (int64, bool) {
	pid := p.pid.Load()
	if pid == 0 {
		return 0, false
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, false
	}
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0, false
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err == nil
}

// metric is the sum of the pump's metrics whose lines begin so.
func (p *pump) metric(ctx context.Context, begins string) (sum int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.admin+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		return 0, err
	}
	b, err := io.ReadAll(a.Body)
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, begins) {
			v, e := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:]), 64)
			sum, err = sum+int64(v), errors.Join(err, e)
		}
	}
	return sum, errors.Join(err, a.Body.Close())
}

// mostRoutines is what a healed and idle pump may have: three for each of some 25 lists and six sinks, and what servers and
// drivers need. A leak has some more for every fault.
const mostRoutines = 700

// countRoutines looks at pumps that had time to come to rest.
func (w *world) countRoutines(ctx context.Context) {
	for _, p := range w.pumps {
		if p.proc == nil {
			continue
		}
		n, err := p.metric(ctx, "go_goroutines ")
		if err != nil {
			w.opts.log("%s goroutines of %s: %v", w.clock(), p.name, err)
			continue
		}
		if w.found.Gauge.Routines = max(w.found.Gauge.Routines, int(n)); n > mostRoutines {
			w.violated("%s has %d goroutines when all is healed", p.name, n)
		}
	}
}
