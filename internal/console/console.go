// Package console serves the status and traffic pages of a running process, and the checks and metrics beside them.
// Everything it shows may come from callers of the APIs: the page writes it as text only, under a policy that allows
// no inline script and no outside resource.
package console

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"sluice/internal/pipeline"
	"sluice/retention/report"
)

// Options of a console. What is nil is not shown, or not served.
type Options struct {
	// Status is called once a second for each open page, and must be safe for concurrent use. A process that moves no records
	// has none, and its console is that of retention alone.
	Status func() pipeline.Status
	// Retention gives the last report of retention, nil if there is none.
	Retention func() (*report.Report, error)
	// Traffic is asked for the charts. It is nil when no sink can show its traffic.
	Traffic pipeline.TrafficReader
	// DeadLetters gives the newest dead letters, at most limit, newest first.
	DeadLetters func(ctx context.Context, limit int) ([]DeadLetter, error)
	// Metrics serves /metrics.
	Metrics http.Handler
	// Ready tells whether the process is ready, and if it is not why, a line each; if it is, what degrades it. nil: as Status says.
	Ready func() (ready bool, reasons []string)
	// Token, when it is set, is asked for by everything but /live and /ready.
	Token string
	// Hosts are names, beside localhost, under which a console on a loopback address may be asked for.
	Hosts []string
	Log   *slog.Logger
}

// DeadLetter is one record that could not be delivered, without its bytes.
type DeadLetter struct {
	ID       string    `json:"id"`
	Sink     string    `json:"sink"`
	Reason   string    `json:"reason"`
	Time     time.Time `json:"time"`
	Source   string    `json:"source"`
	List     string    `json:"list"`
	Position string    `json:"position"`
	Bytes    int64     `json:"bytes"` // length of the payload
}

// New returns the console as a handler. It starts nothing: whatever runs belongs to a request.
func New(o Options) http.Handler {
	if o.Ready == nil {
		o.Ready = func() (bool, []string) {
			if o.Status == nil {
				return true, nil
			}
			s := o.Status()
			return s.Ready, s.NotReady
		}
	}
	a := &api{opts: o, streams: make(chan struct{}, maxStreams)}
	open := http.NewServeMux()
	open.HandleFunc("GET /live", live)
	open.HandleFunc("GET /ready", a.ready)

	guarded := http.NewServeMux()
	guarded.Handle("GET /static/", static())
	guarded.Handle("GET /retention", page("retention.html"))
	guarded.HandleFunc("GET /api/retention", a.retention)
	if o.Status == nil {
		guarded.Handle("GET /{$}", http.RedirectHandler("/retention", http.StatusFound))
	} else {
		guarded.Handle("GET /{$}", page("index.html"))
		guarded.HandleFunc("GET /api/status", a.status)
		guarded.HandleFunc("GET /api/stream", a.stream)
		guarded.HandleFunc("GET /api/traffic", a.traffic)
		guarded.HandleFunc("GET /api/deadletters", a.deadLetters)
	}
	if o.Metrics != nil {
		guarded.Handle("GET /metrics", o.Metrics)
	}
	open.Handle("/", guard(o.Token, guarded))
	return secured(o.Hosts, http.NewCrossOriginProtection().Handler(open))
}

// live answers as long as the process does.
func live(w http.ResponseWriter, _ *http.Request) {
	plain(w, http.StatusOK, "live\n")
}

// plain answers with text.
func plain(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text)) // the caller is gone if it fails
}
