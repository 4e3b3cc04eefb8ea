package importconfig

import (
	"net"
	"strings"

	"github.com/goccy/go-yaml"
)

// reasons say why a key has no equal.
var reasons = map[string]string{
	"purge_delay":                       "has no equal: a list is claimed as soon as a batch is there, or records have gathered for sources.main.claim.interval (1s)",
	"purge_chunk":                       "has no equal: batches are bounded by pipeline.batch, memory by pipeline.memory",
	"storage_expiration_time":           "has no equal: what is claimed does not expire; a list that cannot be claimed gets claim.shield",
	"max_record_size":                   "has no equal: raw request and response are kept whole, or left out with pipeline.drop.raw_bodies",
	"raw_request_decoded":               "has no equal: raw_request is stored in base64, as the gateway recorded it",
	"raw_response_decoded":              "has no equal: raw_response is stored in base64, as the gateway recorded it",
	"decode_base64":                     "has no equal: raw_request and raw_response are stored in base64, as the gateway recorded them",
	"ignore_fields":                     "has no equal for one sink; nearest: pipeline.mask with action drop, for all sinks",
	"statsd_connection_string":          "has no equal; metrics are at /metrics of admin.listen, for Prometheus",
	"statsd_prefix":                     "has no equal; metrics are at /metrics of admin.listen, for Prometheus",
	"health_check_endpoint_name":        "has no equal: /live and /ready of admin.listen (127.0.0.1:8181) tell how it is",
	"health_check_endpoint_port":        "has no equal: /live and /ready of admin.listen (127.0.0.1:8181) tell how it is",
	"optimisation_max_idle":             "needs no equal: connections are managed",
	"optimisation_max_active":           "needs no equal: connections are managed",
	"ssl_insecure_skip_verify":          "is not carried over: certificates are always verified; give the authority's file with tls.ca_file",
	"use_sniffing":                      "has no equal: requests go to the addresses in urls",
	"document_type":                     "has no equal: OpenSearch has no types any more",
	"version":                           "has no equal: the API of OpenSearch is spoken, which Elasticsearch 7 shares",
	"generate_id":                       "needs no equal: a document's ID is that of its record, always",
	"disable_bulk":                      "has no equal: documents are always sent in bulk",
	"bulk_config":                       "has no equal; nearest: bulk.bytes and bulk.records of the sink",
	"threshold_len_tag_list":            "has no equal: it only warns of many tags; ignore_tag_prefixes keeps them out, and documents stay below MongoDB's limit",
	"enable_aggregate_self_healing":     "needs no equal: where a document would outgrow MongoDB's limit newcomers count under other",
	"max_insert_batch_size_bytes":       "has no equal: batches are bounded by pipeline.batch",
	"max_document_size_bytes":           "has no equal: a record that no document can hold becomes a dead letter",
	"omit_index_creation":               "has no equal: the Dashboard's indexes are made where they are missing",
	"mongo_session_consistency":         "has no equal: writes wait for a majority of the members",
	"driver":                            "has no equal: there is one driver",
	"mongo_ssl_insecure_skip_verify":    "is not carried over: certificates are always verified; give the authority's file with tlsCAFile in the URI",
	"mongo_ssl_allow_invalid_hostnames": "is not carried over: certificates are always verified, with their names",
	"redis_ssl_insecure_skip_verify":    "is not carried over: certificates are always verified; give the authority's file with tls.ca_file",
	"client_id":                         "has no equal",
	"meta_data":                         "has no equal: messages have the record's fields, and headers",
	"batch_bytes":                       "has no equal; nearest: max_message_bytes of the sink",
}

func (c *converter) all() {
	c.Note("region", "tyk-pump has none, so it is default: name yours before the first run, since it stands in archive paths and the ledger")
	c.storage()
	c.eachPump()
	c.uptime()
	c.logging()
}

// storage makes the source of the Redis.
func (c *converter) storage() {
	d := c.doc.under("analytics_storage_config")
	s := &c.out.source
	for _, t := range []string{c.doc.text("analytics_storage_type"), d.text("type")} {
		if t != "" && t != "redis" {
			c.Note("analytics_storage_config.type", "only redis has an equal, and is assumed")
		}
	}
	put(s, "type", "redis")
	mode, master, cluster := "single", d.text("master_name"), d.flag("enable_cluster")
	if cluster {
		mode = "cluster"
	}
	if master != "" { // as in tyk-pump, whatever enable_cluster says
		mode = "sentinel"
	}
	put(s, "mode", mode)
	port := "6379"
	if mode == "sentinel" {
		port = "26379"
	}
	put(s, "addrs", withPorts(addresses(d), port))
	put(s, "master_name", master)
	put(s, "username", d.text("username"))
	if d.text("password") != "" {
		put(s, "password", c.secret("sources.main.password", d.key("password")))
	}
	encrypted := tls(d, d.flag("use_ssl") || d.flag("redis_use_ssl"))
	put(s, "sentinel", c.sentinel(d, mode == "sentinel", encrypted))
	if db := d.number("database"); db > 0 {
		if mode == "cluster" {
			c.Note(d.key("database"), "is left out: a Cluster has database 0 alone")
		} else {
			put(s, "db", db)
		}
	}
	put(s, "tls", encrypted)
	prefix := d.text("key_prefix")
	if old := d.text("redis_key_prefix"); prefix == "" {
		prefix = old
	}
	put(s, "key_prefix", prefix)
}

// sentinel is how one gets through to the Sentinels: as in tyk-pump encrypted if Redis is.
func (c *converter) sentinel(d *document, used bool, encrypted yaml.MapSlice) (out yaml.MapSlice) {
	password := d.text("sentinel_password")
	if !used {
		if password != "" {
			c.Note(d.key("sentinel_password"), "is left out, since master_name is not given")
		}
		return nil
	}
	if password != "" {
		put(&out, "password", c.secret("sources.main.sentinel.password", d.key("sentinel_password")))
	}
	put(&out, "tls", encrypted)
	return out
}

// tls are the keys of an encrypted connection; none where it is off.
func tls(d *document, on bool) (out yaml.MapSlice) {
	if !on {
		return nil
	}
	put(&out, "enabled", true)
	put(&out, "ca_file", d.text("ssl_ca_file"))
	put(&out, "cert_file", d.text("ssl_cert_file"))
	put(&out, "key_file", d.text("ssl_key_file"))
	return out
}

// addresses are those of the Redis, in the order in which tyk-pump looks for them.
func addresses(d *document) []string {
	list, host, port := d.list("addrs"), d.text("host"), d.text("port")
	if hosts, ok := d.values["hosts"].(map[string]any); ok {
		h := d.under("hosts")
		for _, name := range sortedKeys(hosts) {
			if p := h.text(name); len(d.list("addrs")) == 0 {
				list = append(list, join(name, p))
			}
		}
	} else if hosts := d.list("hosts"); len(list) == 0 {
		list = hosts
	}
	if len(list) == 0 {
		if host == "" {
			host = "127.0.0.1"
		}
		list = []string{join(host, port)}
	}
	return list
}

func join(host, port string) string {
	if port == "" || port == "0" {
		return host
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), port)
}

// withPorts adds the port to addresses that have none.
func withPorts(list []string, port string) []string {
	for i, a := range list {
		if _, _, err := net.SplitHostPort(a); err != nil {
			list[i] = join(a, port)
		}
	}
	return list
}

func (c *converter) logging() {
	level := strings.ToLower(c.doc.text("log_level"))
	switch level {
	case "debug", "info", "error", "warn":
		put(&c.out.log, "level", level)
	case "warning":
		put(&c.out.log, "level", "warn")
	case "":
	default:
		c.Note("log_level", "is not a level; info is used")
	}
	if c.doc.text("log_format") == "json" {
		put(&c.out.log, "format", "json")
	}
}
