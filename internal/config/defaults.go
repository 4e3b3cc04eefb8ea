package config

import (
	"time"

	"sluice/internal/units"
)

const (
	// minMemory is the least memory limit: at 32 MiB for buffers a batch of the default size (8 MiB) is read, decoded
	// and being written by a few sinks; the runtime and the clients take some 25 MiB of the rest.
	minMemory = 64 * units.MiB
	// batchShare is how many batches must fit into the memory limit: half of it buffers, four batches in there.
	batchShare = 8
	// maxBatchRecords bounds batch.records; beyond it nothing gets faster and a repeat costs more.
	maxBatchRecords = 100_000
	// minCompactAfter: a frozen process may still send the upload of an object it had begun.
	minCompactAfter = units.Duration(time.Hour)
	// minSealAfter: in the first hour after midnight records of the day before still come as a matter of course.
	minSealAfter = units.Duration(time.Hour)
)

const (
	day  = units.Duration(units.Day)
	year = 365 * day
)

// Defaults is the configuration without region, sources and sinks.
func Defaults() *Config {
	return &Config{
		Sources: map[string]Source{},
		Pipeline: Pipeline{
			Memory:          192 * units.MiB,
			Batch:           Batch{Records: 5000, Bytes: 8 * units.MiB},
			ShutdownTimeout: units.Duration(30 * time.Second),
			Accept:          Accept{Past: 1095 * day, Future: day},
		},
		State: State{Dir: "./state", Durable: true},
		Sinks: map[string]Sink{},
		Retention: Retention{
			Archive:       RetainArchive{Keep: 400 * day, CompactAfter: units.Duration(2 * time.Hour), TargetObject: 256 * units.MiB},
			Raw:           RetainRaw{Keep: 30 * day, CappedSize: 5 * units.GiB},
			Aggregate:     RetainAggregate{Keep: map[string]units.Duration{"1h": 90 * day, "1d": 3 * year}, RollUp: true},
			Search:        RetainSearch{Keep: 30 * day, ISM: "auto"},
			Spool:         Keep{7 * day},
			DeadLetters:   Keep{90 * day},
			Uptime:        Keep{90 * day},
			SQLite:        Keep{3 * 365 * day},
			Floor:         day,
			WarnWithin:    14 * day,
			Organisations: map[string]Organisation{},
		},
		Admin: Admin{Listen: "127.0.0.1:8181"},
		Log:   Log{Level: "info", Format: "text"},
	}
}

// sinkDefaults is what every sink has unless its entry says otherwise.
func sinkDefaults() Sink {
	return Sink{
		Shed:    Never,
		Timeout: units.Duration(30 * time.Second),
		Retry:   Retry{Min: units.Duration(200 * time.Millisecond), Max: units.Duration(30 * time.Second)},
	}
}
