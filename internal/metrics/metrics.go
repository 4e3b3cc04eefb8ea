// Package metrics shows a process's status to Prometheus. It keeps no counters of its own: every figure is read from
// the status, and so agrees with the console and the ledger.
//
// Names follow one rule: sluice_<what>_<unit>, _total for what only grows, labels source, sink and outcome.
package metrics

import (
	"math"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"sluice/internal/pipeline"
)

// Handler serves the metrics of a status, asked for at every scrape, and whatever else is given. Without a status it serves
// the rest.
func Handler(status func() pipeline.Status, more ...prometheus.Collector) http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if status != nil {
		reg.MustRegister(&collector{status})
	}
	reg.MustRegister(more...)
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{})
}

type collector struct{ status func() pipeline.Status }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("sluice_"+name, help, labels, nil)
}

var (
	ready            = desc("ready", "1 when the process is ready.")
	balanced         = desc("ledger_balanced", "1 when taken = effective + duplicates + filtered + dead letters + spooled + pending for every sink.")
	taken            = desc("ledger_taken_records_total", "Records ever taken from the gateways' lists, by all pumps.")
	ledger           = desc("ledger_records", "Records in each column of the ledger, by sink, of all pumps.", "sink", "outcome")
	memory           = desc("pipeline_memory_bytes", "What the pipeline buffers.")
	limit            = desc("pipeline_memory_limit_bytes", "What the pipeline may buffer.")
	connected        = desc("source_connected", "1 when the source is connected.", "source")
	claimed          = desc("source_taken_records_total", "Records this process claimed since it started.", "source")
	waiting          = desc("source_waiting_records", "Records in a gateway's list that no pump has claimed yet, or messages of a partition that no worker has: the consumer lag. Of a region whose archive is followed, records in objects that are not followed to their end.", "source", "list")
	open             = desc("source_open_claims", "Claims that some sink has not settled.", "source", "list")
	oldest           = desc("source_oldest_claim_age_seconds", "Age of the oldest open claim; of a topic's partition, of the oldest message that some sink has not settled; of a followed region, of its first object that waits.", "source", "list")
	catchUp          = desc("source_catch_up_seconds", "When nothing waits any more, at the rates of the last minute; +Inf while more comes than is taken.", "source", "list")
	kept             = desc("source_kept_seconds", "How long a topic keeps messages (retention.ms); absent where that is for ever, or not known.", "source", "list")
	held             = desc("source_held", "1 while messages are missing before what waits, or an hour of an archive cannot be read, so that nothing behind is taken.", "source", "list")
	sinkUp           = desc("sink_up", "1 while the sink takes data: open, and its breaker closed.", "sink", "type")
	sinkErrs         = desc("sink_errors_total", "Calls of the sink that failed.", "sink")
	sinkLag          = desc("sink_lag_records", "Records the sink is still owed.", "sink")
	sinkAge          = desc("sink_lag_seconds", "Age of the oldest claim the sink is still owed.", "sink")
	sinkShed         = desc("sink_shed_records_total", "Records given up since there was no room for them (shed: oldest); part of filtered in the ledger.", "sink")
	sinkStuck        = desc("sink_spool_failing", "1 while the sink's spool cannot be written, so that its records wait in Redis.", "sink")
	sinkSpoolBatches = desc("sink_spool_batches", "Batches in the sink's spools, as far as this process reaches them; looked at every 15 s.", "sink")
	sinkSpoolBytes   = desc("sink_spool_bytes", "Bytes of them.", "sink")
	sinkSpoolAge     = desc("sink_spool_oldest_seconds", "Age of the oldest claim in the sink's spools; 0 when nothing lies there.", "sink")
	letters          = desc("dead_letters_total", "Dead letters this process stored since it started, by the sink concerned (* is every sink) and cause: undecodable, oversize, time, refused.", "sink", "cause")
	suspect          = desc("source_suspect_stretches", "Stretches of a list's history that Redis lost, until an operator clears them.", "source", "list")
	alarms           = desc("alarms", "Alarms that the console shows.")
	sinkRate         = desc("sink_records_per_second", "Records settled a second, over ten seconds.", "sink")
)

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{ready, balanced, taken, ledger, memory, limit, connected, claimed, waiting, open, oldest, catchUp, kept, held,
		sinkUp, sinkErrs, sinkLag, sinkAge, sinkShed, sinkStuck, sinkRate, sinkSpoolBatches, sinkSpoolBytes, sinkSpoolAge, letters, suspect, alarms} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := c.status()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge(ready, truth(s.Ready))
	gauge(balanced, truth(s.Ledger.Balanced))
	count(taken, s.Ledger.Taken)
	gauge(memory, float64(s.MemoryUsed))
	gauge(limit, float64(s.MemoryLimit))
	for name, counts := range s.Ledger.Sinks {
		for outcome, n := range map[string]uint64{
			"effective": counts.Effective, "duplicates": counts.Duplicates, "filtered": counts.Filtered,
			"dead_letters": counts.DeadLetters, "spooled": counts.Spooled, "pending": counts.Pending,
		} {
			gauge(ledger, float64(n), name, outcome)
		}
	}
	for _, src := range s.Sources {
		gauge(connected, truth(src.Connected), src.Name)
		count(claimed, src.Taken, src.Name)
		for _, l := range src.Lists {
			gauge(waiting, float64(l.Waiting), src.Name, l.Name)
			gauge(open, float64(l.OpenClaims), src.Name, l.Name)
			gauge(oldest, l.OldestAge, src.Name, l.Name)
			gauge(suspect, float64(l.Suspect), src.Name, l.Name)
			gauge(catchUp, seconds(l.CatchUp), src.Name, l.Name)
			if l.Kept > 0 {
				gauge(kept, l.Kept, src.Name, l.Name)
			}
			gauge(held, truth(l.Held != ""), src.Name, l.Name)
		}
	}
	for _, l := range s.Letters {
		count(letters, l.N, l.Sink, l.Cause)
	}
	gauge(alarms, float64(len(s.Alarms)))
	for _, k := range s.Sinks {
		gauge(sinkUp, truth(k.State == "ok" || k.State == "retrying"), k.Name, k.Type)
		count(sinkErrs, k.Errors, k.Name)
		gauge(sinkLag, float64(k.LagRecords), k.Name)
		gauge(sinkAge, k.LagSeconds, k.Name)
		gauge(sinkRate, k.Rate, k.Name)
		count(sinkShed, s.Ledger.Sinks[k.Name].Shed, k.Name)
		gauge(sinkSpoolBatches, float64(k.Spool.Batches), k.Name)
		gauge(sinkSpoolBytes, float64(k.Spool.Bytes), k.Name)
		gauge(sinkSpoolAge, k.Spool.OldestSeconds, k.Name)
		gauge(sinkStuck, truth(k.SpoolFailing), k.Name)
	}
}

// seconds are those of a forecast.
func seconds(s float64) float64 {
	if s == pipeline.NeverCatchesUp {
		return math.Inf(1)
	}
	return s
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
