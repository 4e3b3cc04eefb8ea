package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress shows how far long work is: a bar on a terminal, lines in a log otherwise.
type progress struct {
	what  string
	log   *slog.Logger
	bar   *progressbar.ProgressBar // nil: lines
	every time.Duration
	began time.Time
	last  time.Time
}

const (
	barEvery  = 200 * time.Millisecond
	lineEvery = 5 * time.Second
)

func newProgress(what string, w io.Writer, log *slog.Logger) *progress {
	p := &progress{what: what, log: log, every: lineEvery, began: time.Now(), last: time.Now()}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.every = barEvery
		p.bar = progressbar.NewOptions64(-1, progressbar.OptionSetWriter(f), progressbar.OptionSetDescription(what),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("records"),
			progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish(), progressbar.OptionFullWidth())
	}
	return p
}

// due tells whether it is time to show more.
func (p *progress) due() bool { return time.Since(p.last) >= p.every }

// at shows that done of total records are done; detail says what it waits for.
func (p *progress) at(done, total uint64, detail string) {
	p.last = time.Now()
	if p.bar != nil {
		p.bar.ChangeMax64(int64(total))
		p.bar.Describe(p.what + " " + detail)
		_ = p.bar.Set64(int64(done)) // a bar that cannot be drawn is no failure of the work
		return
	}
	rate := float64(done) / time.Since(p.began).Seconds()
	left := "unknown"
	if total >= done && rate > 0 {
		left = time.Duration(float64(total-done) / rate * float64(time.Second)).Round(time.Second).String()
	}
	p.log.Info(p.what, "records", done, "of", total, "per_second", int(rate), "remaining", left, "slowest", detail)
}

// end removes the bar.
func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}

// showDrain shows how much of what was taken and waits is settled, by the sink that is furthest behind.
func (e *engine) showDrain(ctx context.Context, p *progress) {
	ctx, cancel := context.WithTimeout(ctx, auditTime)
	defer cancel()
	a, err := readAudit(ctx, e.sources)
	if err != nil {
		return // the next look may succeed; what is wrong is logged by the source
	}
	var pending uint64
	slowest := ""
	for _, name := range sortedKeys(a.Sinks) {
		if n := a.Sinks[name].Pending; n > pending {
			pending, slowest = n, fmt.Sprintf("%s (%d pending)", name, n)
		}
	}
	p.at(a.Taken-min(pending, a.Taken), a.Taken+a.waiting(), slowest)
}
