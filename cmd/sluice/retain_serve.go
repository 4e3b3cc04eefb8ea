package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/console"
	"sluice/internal/metrics"
	"sluice/retention/report"
)

// serve serves the page and the metrics of retention on --listen, until the returned function is called.
func (r *retainer) serve(ctx context.Context) (stop func(), err error) {
	if r.o.listen == "" {
		return func() {}, nil
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", r.o.listen)
	if err != nil {
		return nil, usageError{fmt.Errorf("--listen: %w", err)}
	}
	if tcp, ok := l.Addr().(*net.TCPAddr); r.cfg.Admin.Token == "" && (!ok || !tcp.IP.IsLoopback()) {
		l.Close()
		return nil, usageError{fmt.Errorf("--listen: %s is open to the network: set admin.token", l.Addr())}
	}
	kept := &report.File{Path: report.Path(r.cfg.State.Dir)}
	h := console.New(console.Options{Retention: kept.Read, Metrics: metrics.Handler(nil, &retainMetrics{kept}), Token: r.cfg.Admin.Token, Log: r.log})
	r.log.Info("retention", "address", "http://"+l.Addr().String()+"/retention")
	return r.background(h, l), nil
}

func (r *retainer) background(h http.Handler, l net.Listener) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		if err := (&console.Server{Handler: h, Log: r.log}).Serve(ctx, l); err != nil {
			r.log.Error("the page of retention ended", "err", err)
		}
	})
	return func() { cancel(); done.Wait() }
}

// retainMetrics are the figures of retention's last run, read at every scrape.
type retainMetrics struct{ file *report.File }

func retainDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("sluice_retention_"+name, help, labels, nil)
}

var (
	retainRun    = retainDesc("last_run_timestamp_seconds", "When retention looked last.")
	retainOK     = retainDesc("last_run_ok", "1 when every store could be looked into and nothing failed.")
	retainDue    = retainDesc("due_actions", "Actions of the last plan that nothing held back.")
	retainDone   = retainDesc("done_actions", "Those of them that were done.")
	retainHeld   = retainDesc("held_actions", "Actions of the last plan that something held back.")
	retainBytes  = retainDesc("store_bytes", "Size of a store.", "store", "kind")
	retainItems  = retainDesc("store_records", "Records, documents or rows of a store.", "store", "kind")
	retainGrowth = retainDesc("store_growth_bytes_per_day", "What came in, over the last whole days.", "store", "kind")
	retainLevels = retainDesc("store_levels_bytes", "What the rules let a store grow to; absent where they set no bound.", "store", "kind")
	retainFree   = retainDesc("store_free_bytes", "What a store can still take; absent where that is not known.", "store", "kind")
	retainFull   = retainDesc("store_full_timestamp_seconds", "When a store is full if nothing is deleted; absent where that is not foreseeable.", "store", "kind")
	retainCut    = retainDesc("store_planned_cut_bytes", "What the actions that are due free.", "store", "kind")
	retainWarns  = retainDesc("store_warning", "1 when a store will be full within retention.warn_within.", "store", "kind")
)

// Describe implements prometheus.Collector.
func (m *retainMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{retainRun, retainOK, retainDue, retainDone, retainHeld, retainBytes, retainItems, retainGrowth, retainLevels,
		retainFree, retainFull, retainCut, retainWarns} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. Where no retention ever ran there is nothing.
func (m *retainMetrics) Collect(ch chan<- prometheus.Metric) {
	r, err := m.file.Read()
	if err != nil || r == nil {
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(retainRun, float64(r.Made.Unix()))
	gauge(retainOK, oneIf(r.Error == "" && len(r.Problems) == 0))
	gauge(retainDue, float64(r.Due))
	gauge(retainDone, float64(r.Done))
	gauge(retainHeld, float64(r.Held))
	for i := range r.Stores {
		s := &r.Stores[i]
		labels := []string{s.Store, string(s.Kind)}
		gauge(retainBytes, float64(s.Bytes), labels...)
		gauge(retainItems, float64(s.Items), labels...)
		gauge(retainGrowth, float64(s.Growth), labels...)
		gauge(retainCut, float64(s.Cut), labels...)
		gauge(retainWarns, oneIf(s.Warning != ""), labels...)
		if s.Levels > 0 {
			gauge(retainLevels, float64(s.Levels), labels...)
		}
		if s.Free >= 0 {
			gauge(retainFree, float64(s.Free), labels...)
		}
		if !s.Full.IsZero() {
			gauge(retainFull, float64(s.Full.Unix()), labels...)
		}
	}
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
