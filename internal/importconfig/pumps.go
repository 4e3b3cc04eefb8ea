package importconfig

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"sluice/internal/units"
)

// makers make the sink of a pump, by its type.
var makers = map[string]func(c *converter, key string, pump, meta *document) *sink{
	"mongo":                (*converter).mongo,
	"mongo-pump-selective": (*converter).selective,
	"mongo-pump-aggregate": (*converter).aggregate,
	"elasticsearch":        (*converter).search,
	"csv":                  (*converter).csv,
	"kafka":                (*converter).kafka,
	"stdout":               (*converter).stdout,
	"dummy":                (*converter).dummy,
}

const (
	byKafka   = "nearest: a kafka sink with format: json, and a consumer or connector that brings the messages there"
	byMetrics = "nearest: /metrics of admin.listen, which tells of Sluice itself, and the aggregates of mongo-aggregate or sqlite"
	byStdout  = "nearest: a stdout sink and a log shipper, or a kafka sink with format: json"
	bySQL     = "nearest: a sqlite sink (one file, aggregates and recent records), or an s3-csv archive that SQL engines read"
	noGraph   = "nearest: GraphQL records are in the archive and in mongo-raw"
)

// nearest are the types without an equal, and what comes nearest.
var nearest = map[string]string{
	"splunk": byKafka, "influx": byKafka, "influx2": byKafka, "timestream": byKafka, "sqs": byKafka, "kinesis": byKafka,
	"segment": byKafka, "moesif": byKafka, "resurfaceio": byKafka,
	"prometheus": byMetrics, "statsd": byMetrics, "dogstatsd": byMetrics, "datadog": byMetrics,
	"graylog": byStdout, "logzio": byStdout, "syslog": byStdout,
	"sql": bySQL, "sql_aggregate": bySQL, "sql-graph": bySQL, "sql-graph-aggregate": bySQL,
	"mongo-graph": noGraph, "graph": noGraph,
	"hybrid": "nearest: run --role edge with a kafka sink here, run --role worker where the stores are",
}

func known(kind string) bool {
	_, noEqual := nearest[kind]
	return noEqual || makers[kind] != nil
}

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

// eachPump makes the sinks.
func (c *converter) eachPump() {
	all := c.doc.under("pumps")
	omitting := 0
	for _, key := range sortedKeys(all.values) {
		pump := all.under(key)
		if _, ok := all.values[key].(map[string]any); !ok {
			continue
		}
		kind := pumpType(key, pump.values)
		pump.read["type"], pump.read["name"] = true, true
		meta := pump.under("meta")
		maker := makers[kind]
		if maker == nil {
			c.noEqual(pump, kind)
			continue
		}
		s := maker(c, key, pump, meta)
		c.common(s, pump)
		if pump.flag("omit_detailed_recording") {
			omitting++
		}
	}
	c.bodies(all, omitting)
	if len(c.out.sinks) == 0 {
		c.Note("sinks", "no pump has an equal, so there is no sink: add one before you start")
	}
}

func (c *converter) noEqual(pump *document, kind string) {
	reason := "the type " + kind + " has no equal"
	if near, ok := nearest[kind]; ok {
		reason += "; " + near
	} else if kind == "" || len(kind) > 40 {
		reason = "its type is not one of tyk-pump's"
	}
	c.Note(pump.path, reason)
	for key := range pump.values {
		pump.read[key] = true
	}
	pump.sub = nil
}

// bodies drops raw bodies for all sinks, if that is what every pump asks for.
func (c *converter) bodies(all *document, omitting int) {
	if c.doc.flag("omit_detailed_recording") || omitting > 0 && omitting == len(c.out.sinks) {
		put(&c.out.pipeline, "drop", yaml.MapSlice{{Key: "raw_bodies", Value: true}})
		return
	}
	if omitting > 0 {
		c.Note(all.path+".*.omit_detailed_recording", "has no equal for some of the sinks; pipeline.drop.raw_bodies is for all")
	}
}

// common are the keys that every sink has.
func (c *converter) common(s *sink, pump *document) {
	if seconds := pump.number("timeout"); seconds > 0 {
		if seconds > int64(units.Day/time.Second) {
			c.Note(pump.key("timeout"), "is longer than a day, and left out")
		} else {
			put(&s.keys, "timeout", strconv.FormatInt(seconds, 10)+"s")
		}
	}
	d := pump.under("filters")
	var f yaml.MapSlice
	for _, key := range filterKeys {
		values := d.list(key)
		if !strings.HasSuffix(key, "codes") {
			put(&f, key, values)
			continue
		}
		var codes []int
		for _, v := range values {
			code, err := strconv.ParseInt(v, 10, 32)
			if err != nil {
				c.Note(d.key(key), "holds something that is no number, and was left out")
				continue
			}
			codes = append(codes, int(code))
		}
		put(&f, key, codes)
	}
	put(&s.keys, "filters", f)
}

func (c *converter) csv(key string, _, meta *document) *sink {
	s := c.out.add(key, "csv")
	dir := meta.text("csv_dir")
	if dir == "" {
		dir = "./archive"
		c.Note(meta.key("csv_dir"), "is not given; "+dir+" is used")
	}
	put(&s.keys, "dir", dir)
	put(&s.keys, "compression", "none")
	c.Note(meta.key("csv_dir"), "files are laid out by day and hour, and have other columns than tyk-pump's")
	return s
}

func (c *converter) stdout(key string, pump, meta *document) *sink {
	c.Note(pump.path, "lines are JSON with the fields of the archive, whatever format and log_field_name say")
	meta.text("format")
	meta.text("log_field_name")
	return c.out.add(key, "stdout")
}

func (c *converter) dummy(key string, pump, _ *document) *sink {
	c.Note(pump.path, "is a sink that discards everything, as the dummy did")
	return c.out.add(key, "discard")
}
