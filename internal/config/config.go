package config

import (
	"time"

	"sluice/internal/pipeline"
	"sluice/internal/units"
)

// Config is the configuration as it is understood: defaults, file, overrides and references together. It is not
// changed after Load. Formatting or logging it shows no secrets.
type Config struct {
	Region    string            `yaml:"region" doc:"Name of the region, written into archive paths, the ledger and metrics." required:"true"`
	Sources   map[string]Source `yaml:"sources" doc:"Where records come from; the names are yours." required:"true"`
	Pipeline  Pipeline          `yaml:"pipeline" doc:"What happens to every record between sources and sinks, and how much memory that may take."`
	State     State             `yaml:"state" doc:"Spool, dead letters and identity of this process."`
	Sinks     map[string]Sink   `yaml:"sinks" doc:"Where records go; the names are yours. Each has its own queue, retries, breaker, spool and filters." required:"true"`
	Retention Retention         `yaml:"retention" doc:"How long each store keeps its data; nothing is deleted without sluice retain --apply."`
	Admin     Admin             `yaml:"admin" doc:"The HTTP interface of the process."`
	Log       Log               `yaml:"log" doc:"The log on standard error."`

	file    string
	hidden  map[string]bool // paths of values that came from references
	secrets []string        // what Clean takes out
}

// Source is one place records come from.
type Source struct {
	Type string `yaml:"type" doc:"Kind of the source." enum:"redis|kafka|archive" required:"true"`

	// Settings is the typed configuration of the source: redislist.Config or kafka.Config of sources/kafka.
	Settings any `yaml:"-"`
}

// Sink is one destination, with what every sink has; its own part is in Settings.
type Sink struct {
	Type    string         `yaml:"type" doc:"Kind of the sink." required:"true"`
	Filters Filters        `yaml:"filters" doc:"Which records the sink gets; without any it gets all."`
	OnFull  string         `yaml:"on_full" doc:"What to do when Redis runs short of room (guard of the source) while the sink is down: wait leaves the records in Redis, spool moves them to the spool, which needs state.durable or state.spool. Without it: spool where one of them is given, else wait." enum:"spool|wait"`
	Shed    string         `yaml:"shed" doc:"What to do when the sink is down and neither Redis (guard.memory of the source) nor the spool has room: never lets the records wait, and gateways fail to write in the end; oldest gives up what the sink was owed first, loudly and counted in the ledger. Not for archives, from which other sinks are rebuilt." enum:"never|oldest"`
	Timeout units.Duration `yaml:"timeout" doc:"Longest time one call of the store may take; it is repeated afterwards."`
	Retry   Retry          `yaml:"retry" doc:"Pause between attempts; it doubles from min to max, with jitter."`

	// Settings is the typed configuration of the sink, for example mongoraw.Config. It is a value, not a pointer.
	Settings any `yaml:"-"`
}

// Filters choose the records a sink gets; a field each of pipeline.Filters.
type Filters struct {
	OrgIDs            []string `yaml:"org_ids" doc:"Only records of these organisations; empty means all."`
	APIIDs            []string `yaml:"api_ids" doc:"Only records of these APIs; empty means all."`
	ResponseCodes     []int    `yaml:"response_codes" doc:"Only records with these HTTP response codes, -1 for TCP reports; empty means all."`
	SkipOrgIDs        []string `yaml:"skip_org_ids" doc:"No records of these organisations; wins over org_ids."`
	SkipAPIIDs        []string `yaml:"skip_api_ids" doc:"No records of these APIs; wins over api_ids."`
	SkipResponseCodes []int    `yaml:"skip_response_codes" doc:"No records with these response codes; wins over response_codes."`
}

// Pipeline are the filters as the pipeline takes them; nil when every record passes.
func (f Filters) Pipeline() *pipeline.Filters {
	p := pipeline.Filters{
		OrgIDs: f.OrgIDs, APIIDs: f.APIIDs, ResponseCodes: f.ResponseCodes,
		SkipOrgIDs: f.SkipOrgIDs, SkipAPIIDs: f.SkipAPIIDs, SkipResponseCodes: f.SkipResponseCodes,
	}
	if p.Empty() {
		return nil
	}
	return &p
}

// Retry is the pause between attempts.
type Retry struct {
	Min units.Duration `yaml:"min" doc:"First pause."`
	Max units.Duration `yaml:"max" doc:"Longest pause."`
}

// Pipeline is what happens to every record.
type Pipeline struct {
	Memory          units.Size     `yaml:"memory" doc:"Memory limit of the process; half of it buffers records, the rest is for the program. At least 64MiB."`
	Batch           Batch          `yaml:"batch" doc:"Size of the batches that sinks get."`
	ShutdownTimeout units.Duration `yaml:"shutdown_timeout" doc:"How long a stopping process lets batches in flight settle; what is left stays where it is and is said."`
	Accept          Accept         `yaml:"accept" doc:"Window around the time of a claim in which a record's own time must lie; others become dead letters."`
	Drop            Drop           `yaml:"drop" doc:"What is taken out of every record before any sink sees it."`
	Mask            []Mask         `yaml:"mask" doc:"Fields that are made unrecognisable in every record before anything is stored."`
}

// Batch bounds a batch.
type Batch struct {
	Records int        `yaml:"records" doc:"Most records of a batch."`
	Bytes   units.Size `yaml:"bytes" doc:"Most bytes of a batch, as they lie in Redis; at most an eighth of pipeline.memory, so that several fit into the buffers."`
}

// Accept is the window for a record's own time.
type Accept struct {
	Past   units.Duration `yaml:"past" doc:"Oldest record, counted back from its claim."`
	Future units.Duration `yaml:"future" doc:"How far a record may be ahead of its claim."`
}

// Drop is what is taken out of records.
type Drop struct {
	RawBodies bool `yaml:"raw_bodies" doc:"Leave out raw_request and raw_response everywhere."`
}

// Mask hides a field.
type Mask struct {
	Field  string `yaml:"field" doc:"Field to hide, for example ip_address or api_key." required:"true"`
	Action string `yaml:"action" doc:"What is done to it, for example truncate or hash." required:"true"`
}

// State is where the process keeps its own data.
type State struct {
	Dir     string `yaml:"dir" doc:"Directory for spool and dead letters; must be a directory of its own, one process locks it." required:"true"`
	Durable bool   `yaml:"durable" doc:"Whether the directory survives the machine. If false nothing is settled by writing to it: sinks wait, or spool to S3."`
	Spool   string `yaml:"spool" doc:"S3 prefix for the spool, which any pump with the same prefix can drain, and for dead letters where state.durable is false, like s3://bucket/prefix/; empty means state.dir."`
}

// Admin is the HTTP interface.
type Admin struct {
	Listen string `yaml:"listen" doc:"Address of /live, /ready, /metrics and the console, as host:port; port 0 picks a free one."`
	Token  string `yaml:"token" doc:"What the console and /metrics ask for, as a bearer token or at a log-in page. On a loopback address nothing is asked for without it; on any other one is made and kept in state.dir/admin-token." secret:"true"`
}

// Log is how the log looks.
type Log struct {
	Level  string `yaml:"level" doc:"Least important level that is written." enum:"debug|info|warn|error"`
	Format string `yaml:"format" doc:"How lines look." enum:"text|json"`
}

// File is the path the configuration was read from.
func (c *Config) File() string { return c.file }

// RecordShape is what is done to records before any sink sees them. Filters are each sink's own and not in it.
func (c *Config) RecordShape() pipeline.RecordShape {
	s := pipeline.RecordShape{
		Region:     c.Region,
		DropBodies: c.Pipeline.Drop.RawBodies,
		Accept:     pipeline.Accept{Past: time.Duration(c.Pipeline.Accept.Past), Future: time.Duration(c.Pipeline.Accept.Future)},
	}
	for _, m := range c.Pipeline.Mask {
		s.Masks = append(s.Masks, pipeline.Mask{Field: m.Field, Action: m.Action})
	}
	return s
}

// MemoryLimit is the limit of the process in bytes, for GOMEMLIMIT.
func (c *Config) MemoryLimit() int64 { return int64(c.Pipeline.Memory) }

// BufferLimit is the part of the memory limit, in bytes, that buffers records: half.
func (c *Config) BufferLimit() int64 { return int64(c.Pipeline.Memory) / 2 }
