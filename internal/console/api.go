package console

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// Bounds of what a caller may ask for.
const (
	maxStreams     = 32 // open pages
	deadLetterRows = 50
	maxSpan        = 400 * 24 * time.Hour
	streamEvery    = time.Second
	streamWrite    = 10 * time.Second // after which a page that does not read is given up
)

type api struct {
	opts    Options
	streams chan struct{}
}

// ready answers 200, also where something is degraded, since no other process would do better; or 503. What is wrong follows, a
// line each.
func (a *api) ready(w http.ResponseWriter, _ *http.Request) {
	ok, reasons := a.opts.Ready()
	code, word := http.StatusServiceUnavailable, "not ready\n"
	switch {
	case ok && len(reasons) > 0:
		code, word = http.StatusOK, "ready, degraded\n"
	case ok:
		code, word = http.StatusOK, "ready\n"
	}
	plain(w, code, word+strings.Join(append(reasons, ""), "\n"))
}

func (a *api) status(w http.ResponseWriter, _ *http.Request) {
	a.json(w, a.opts.Status())
}

// stream sends the status once a second as server-sent events until the request ends, or the
// server is about to.
func (a *api) stream(w http.ResponseWriter, r *http.Request) {
	select {
	case a.streams <- struct{}{}:
		defer func() { <-a.streams }()
	default:
		plain(w, http.StatusServiceUnavailable, "too many pages are open\n")
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // proxies would gather the events
	out := http.NewResponseController(w)
	tick := time.NewTicker(streamEvery)
	defer tick.Stop()
	for {
		b, err := json.Marshal(a.opts.Status())
		if err != nil {
			a.failed("encode the status", err)
			return
		}
		// A writer without deadlines is a test's; every other error shows in the write.
		_ = out.SetWriteDeadline(time.Now().Add(streamWrite))
		if _, err := fmt.Fprintf(w, "event: status\ndata: %s\n\n", b); err != nil {
			return
		}
		if err := out.Flush(); err != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-stopped(r.Context()):
			return
		case <-tick.C:
		}
	}
}

// traffic answers with the traffic between from and to (RFC 3339; by default the last hour) by step (a duration), or
// with 204 when no sink can tell.
func (a *api) traffic(w http.ResponseWriter, r *http.Request) {
	if a.opts.Traffic == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	from, to, step, err := span(r, time.Now())
	if err != nil {
		plain(w, http.StatusBadRequest, err.Error()+"\n")
		return
	}
	t, err := a.opts.Traffic.Traffic(r.Context(), from, to, step)
	if err != nil {
		if r.Context().Err() == nil {
			a.failed("read the traffic", err)
			plain(w, http.StatusInternalServerError, "the traffic cannot be read, the log says why\n")
		}
		return
	}
	for i := range t.Keys {
		t.Keys[i].Name = keyShown(t.Keys[i].Name)
	}
	a.json(w, t)
}

// noKey is what gateways write for a request without a key.
const noKey = "00000000"

// keyShown is an API key as the page shows it: a gateway that does not hash keys writes them as callers send them, and
// whoever sees one may use it. The beginning of its SHA-256 tells keys apart, and can be compared with a key one has.
func keyShown(key string) string {
	if key == noKey || key == "" {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return "sha256:" + hex.EncodeToString(sum[:6])
}

// span reads from, to and step.
func span(r *http.Request, now time.Time) (from, to time.Time, step time.Duration, err error) {
	q := r.URL.Query()
	to, step = now, time.Minute
	if v := q.Get("to"); v != "" {
		if to, err = time.Parse(time.RFC3339, v); err != nil {
			return from, to, 0, fmt.Errorf("to is not a time such as 2026-01-02T15:04:05Z")
		}
	}
	from = to.Add(-time.Hour)
	if v := q.Get("from"); v != "" {
		if from, err = time.Parse(time.RFC3339, v); err != nil {
			return from, to, 0, fmt.Errorf("from is not a time such as 2026-01-02T15:04:05Z")
		}
	}
	if v := q.Get("step"); v != "" {
		if step, err = time.ParseDuration(v); err != nil {
			return from, to, 0, fmt.Errorf("step is not a duration such as 1m")
		}
	}
	switch d := to.Sub(from); {
	case d <= 0 || d > maxSpan:
		return from, to, 0, fmt.Errorf("from must lie before to, by 400 days at most")
	case step < time.Second || d/step > 1500:
		return from, to, 0, fmt.Errorf("step must be a second or more and give 1500 points at most")
	}
	return from, to, step, nil
}

// deadLetters answers with the newest dead letters, or with 204 when they are not kept.
func (a *api) deadLetters(w http.ResponseWriter, r *http.Request) {
	if a.opts.DeadLetters == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	d, err := a.opts.DeadLetters(r.Context(), deadLetterRows)
	if err != nil {
		if r.Context().Err() == nil {
			a.failed("read the dead letters", err)
			plain(w, http.StatusInternalServerError, "the dead letters cannot be read, the log says why\n")
		}
		return
	}
	if d == nil {
		d = []DeadLetter{}
	}
	a.json(w, d)
}

// retention answers with the last report of retention, or with 204 when there is none.
func (a *api) retention(w http.ResponseWriter, _ *http.Request) {
	if a.opts.Retention == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	switch r, err := a.opts.Retention(); {
	case err != nil:
		a.failed("read the report of retention", err)
		plain(w, http.StatusInternalServerError, "the report of retention cannot be read, the log says why\n")
	case r == nil:
		w.WriteHeader(http.StatusNoContent)
	default:
		a.json(w, r)
	}
}

// json answers with a value.
func (a *api) json(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		a.failed("encode an answer", err)
		plain(w, http.StatusInternalServerError, "the answer cannot be encoded\n")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(b) // the caller is gone if it fails
}

func (a *api) failed(what string, err error) {
	if a.opts.Log != nil {
		a.opts.Log.Warn("console: cannot "+what, slog.Any("err", err))
	}
}
