package importconfig

import (
	"slices"
	"strconv"
	"strings"

	"sluice/aggregate"
	"sluice/internal/units"
)

// rawSink is a mongo-raw sink, of which one may also store uptime checks.
type rawSink struct {
	*sink
	store string // hosts and database
}

func (c *converter) mongo(key string, _, meta *document) *sink {
	s := c.raw(key, "capped", meta)
	size := meta.number("collection_cap_max_size_bytes")
	if !meta.flag("collection_cap_enable") {
		c.Note(meta.key("collection_cap_enable"), "is off, but the collection is always capped here: set capped_size (5GiB), or choose layout: per-org")
	}
	switch {
	case size >= int64(units.MiB) && size < 1<<60:
		put(&s.keys, "capped_size", units.Size(size).String())
	case size != 0:
		c.Note(meta.key("collection_cap_max_size_bytes"), "is out of bounds; 5GiB is used")
	}
	if name := meta.text("collection_name"); name != "" && name != "tyk_analytics" {
		c.Note(meta.key("collection_name"), "has no equal: the collection is tyk_analytics, which the Dashboard reads")
	}
	if meta.text("mongo_db_type") == "1" {
		c.Note(meta.key("mongo_db_type"), "Amazon DocumentDB has no capped collections: choose layout: per-org")
	}
	return s
}

func (c *converter) selective(key string, _, meta *document) *sink {
	meta.text("collection_name")
	meta.flag("use_mixed_collection") // in tyk-pump's own examples, and without effect there
	return c.raw(key, "per-org", meta)
}

// raw makes a mongo-raw sink. Which one stores uptime checks is decided when all are known.
func (c *converter) raw(key, layout string, meta *document) *sink {
	s := c.out.add(key, "mongo-raw")
	store := c.uri(s, meta)
	put(&s.keys, "layout", layout)
	c.raws = append(c.raws, &rawSink{sink: s, store: store})
	return s
}

func (c *converter) aggregate(key string, _, meta *document) *sink {
	s := c.out.add(key, "mongo-aggregate")
	c.uri(s, meta)
	put(&s.keys, "mixed_collection", meta.flag("use_mixed_collection"))
	putTrue(&s.keys, "track_all_paths", meta.flag("track_all_paths"))
	put(&s.keys, "bucket", c.bucket(meta))
	var ignore []string
	for _, name := range meta.list("ignore_aggregations") {
		if _, ok := aggregate.DimOf(strings.ToLower(name)); ok {
			ignore = append(ignore, strings.ToLower(name))
		} else {
			c.Note(meta.key("ignore_aggregations"), "holds a name that is no dimension, and was left out")
		}
	}
	put(&s.keys, "ignore", ignore)
	put(&s.keys, "ignore_tag_prefixes", meta.list("ignore_tag_prefix_list"))
	return s
}

// bucket is the width of buckets; 60 minutes is tyk-pump's own default.
func (c *converter) bucket(meta *document) string {
	minutes := meta.number("aggregation_time")
	if meta.flag("store_analytics_per_minute") {
		return "1m"
	}
	if minutes == 0 || minutes >= 60 {
		return "1h"
	}
	width := int64(1)
	for _, w := range []int64{5, 15, 30} {
		if minutes >= w {
			width = w
		}
	}
	if width != minutes {
		c.Note(meta.key("aggregation_time"), "is not one of 1, 5, 15, 30 and 60 minutes; the next smaller one is used")
	}
	return strconv.FormatInt(width, 10) + "m"
}

// uptime says who stores uptime checks: a mongo-raw sink for the database that tyk-pump wrote them to.
func (c *converter) uptime() {
	off := c.doc.flag("dont_purge_uptime_data")
	d := c.doc.under("uptime_pump_config")
	store := ""
	if kind := d.text("uptime_type"); kind != "" && kind != "mongo" {
		c.Note(d.key("uptime_type"), "uptime checks are stored in MongoDB only")
	} else if url := d.text("mongo_url"); url != "" {
		store = storeOf(url)
	}
	for _, key := range mongoKeys { // of a sink that has them already, or nobody's
		d.read[key] = true
	}
	taken := off
	for _, r := range c.raws {
		mine := !taken && store != "" && r.store == store
		put(&r.keys, "uptime", mine)
		taken = taken || mine
	}
	if off || !taken {
		put(&c.out.source, "uptime", false)
	}
	if !taken {
		c.Note("uptime_pump_config", "uptime checks are left to expire: no mongo-raw sink writes to the database it names; set uptime of one, and of the source, to change that")
	}
	if name := d.text("collection_name"); taken && !off && name != "" && name != "tyk_uptime_analytics" {
		c.Note(d.key("collection_name"), "has no equal: the collection is tyk_uptime_analytics, which the Dashboard reads")
	}
}

// uri puts URI and database of a sink, and says which store that is.
func (c *converter) uri(s *sink, meta *document) (store string) {
	raw := meta.text("mongo_url")
	if raw == "" {
		c.Note(meta.key("mongo_url"), "is missing: set uri of the sink")
		return ""
	}
	u := parseURI(raw)
	if meta.flag("mongo_use_ssl") && !u.has("tls") && !u.has("ssl") {
		u.add("tls", "true")
	}
	u.add("tlsCAFile", meta.text("mongo_ssl_ca_file"))
	u.add("tlsCertificateKeyFile", meta.text("mongo_ssl_pem_keyfile"))
	if meta.flag("mongo_direct_connection") && !u.has("directconnection") {
		u.add("directConnection", "true")
	}
	for _, name := range u.refused() {
		c.Note(meta.key("mongo_url"), "the option "+name+" is left out: writes wait for a majority of the members, on disk")
	}
	for _, name := range u.withSecrets() {
		c.Note(meta.key("mongo_url"), "the option "+name+" holds a secret and is left out: add it as a reference")
	}
	password := ""
	if u.password {
		password = string(c.secret("sinks."+s.name+".uri.password", meta.key("mongo_url")))
		c.Secrets[len(c.Secrets)-1].From += ", its password alone, as it stands in the URI"
	}
	put(&s.keys, "uri", reference(u.text(password)))
	if db := u.database; db != "" {
		put(&s.keys, "database", db)
	} else {
		c.Note(meta.key("mongo_url"), "names no database; tyk_analytics is used")
	}
	return storeOf(raw)
}

func storeOf(raw string) string {
	u := parseURI(raw)
	hosts := strings.Split(strings.ToLower(u.hosts), ",")
	if !strings.HasSuffix(u.scheme, "+srv://") {
		hosts = withPorts(hosts, "27017")
	}
	slices.Sort(hosts)
	return strings.Join(hosts, ",") + "/" + u.database
}
