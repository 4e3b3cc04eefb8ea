package importconfig

import (
	"maps"
	"slices"
	"strings"
)

// prefix begins the variables of tyk-pump's environment, which win over its file. What follows are names of fields in capitals:
// those of its keys without underscores, but for the ones of renamed.
const prefix = "TYK_PMP_"

// The keys of each object of the configuration, as tyk-pump's types have them.
var (
	topKeys = strings.Fields(`purge_delay purge_chunk storage_expiration_time dont_purge_uptime_data analytics_storage_type
		statsd_connection_string statsd_prefix log_level log_format health_check_endpoint_name health_check_endpoint_port
		omit_detailed_recording max_record_size omit_config_file enable_http_profiler raw_request_decoded raw_response_decoded`)
	storageKeys = strings.Fields(`type host port hosts addrs master_name username password sentinel_password database timeout
		optimisation_max_idle optimisation_max_active enable_cluster redis_key_prefix key_prefix redis_use_ssl
		redis_ssl_insecure_skip_verify use_ssl ssl_insecure_skip_verify ssl_ca_file ssl_cert_file ssl_key_file ssl_max_version
		ssl_min_version`)
	pumpKeys   = strings.Fields(`name type timeout omit_detailed_recording max_record_size ignore_fields raw_request_decoded raw_response_decoded`)
	filterKeys = strings.Fields(`org_ids api_ids response_codes skip_org_ids skip_api_ids skip_response_codes`)
	mongoKeys  = strings.Fields(`mongo_url mongo_use_ssl mongo_ssl_insecure_skip_verify mongo_ssl_allow_invalid_hostnames
		mongo_ssl_ca_file mongo_ssl_pem_keyfile mongo_db_type omit_index_creation mongo_session_consistency driver
		mongo_direct_connection collection_name max_insert_batch_size_bytes max_document_size_bytes collection_cap_max_size_bytes
		collection_cap_enable uptime_type type connection_string table_sharding`)
	metaKeys = append(strings.Fields(`use_mixed_collection track_all_paths ignore_tag_prefix_list threshold_len_tag_list
		store_analytics_per_minute aggregation_time enable_aggregate_self_healing ignore_aggregations index_name elasticsearch_url
		use_sniffing document_type rolling_index extended_stats generate_id decode_base64 version disable_bulk auth_api_key_id
		auth_api_key auth_basic_username auth_basic_password use_ssl ssl_insecure_skip_verify ssl_ca_file ssl_cert_file ssl_key_file
		csv_dir broker client_id topic timeout compressed meta_data sasl_mechanism sasl_username sasl_password sasl_algorithm
		batch_bytes format log_field_name`), mongoKeys...)
)

// renamed are fields whose names are not those of their keys, by kind of object.
var renamed = map[string]map[string]string{
	"":        {"httpprofile": "enable_http_profiler"},
	"storage": {"maxidle": "optimisation_max_idle", "maxactive": "optimisation_max_active"},
	"pump":    {"decoderawrequest": "raw_request_decoded", "decoderawresponse": "raw_response_decoded"},
	"filters": {"orgsids": "org_ids", "skippedorgsids": "skip_org_ids", "skippedapiids": "skip_api_ids", "skippedresponsecodes": "skip_response_codes"},
	"meta": {"ignoreaggregationslist": "ignore_aggregations", "enablesniffing": "use_sniffing", "extendedstatistics": "extended_stats",
		"authapikeyid": "auth_api_key_id", "mongodrivertype": "driver"},
	"elasticsearch": {"username": "auth_basic_username", "password": "auth_basic_password"},
	"kafka":         {"username": "sasl_username", "password": "sasl_password", "algorithm": "sasl_algorithm"},
}

// storages are the groups of variables for the Redis; a later one wins.
var storages = []string{"ANALYTICSSTORAGECONFIG_", "REDIS_", "TEMPORAL_STORAGE_"}

// kindOf are names in variables that stand for all pumps of a type which have no variables of their own.
var kindOf = map[string]string{"MONGOAGGREGATE": "mongo-pump-aggregate", "MONGOSELECTIVE": "mongo-pump-selective"}

// environment lays the variables over the file.
func (c *converter) environment(values map[string]any, env []string) map[string]any {
	vars := map[string]string{}
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			if _, twice := vars[rest]; !twice {
				vars[rest] = strings.ToValidUTF8(value, "\uFFFD")
			}
		}
	}
	if strings.EqualFold(vars["OMITCONFIGFILE"], "true") {
		values = map[string]any{}
		c.Note(prefix+"OMITCONFIGFILE", "as tyk-pump does, the file was left out; only the environment counts")
		delete(vars, "OMITCONFIGFILE")
	}
	for _, s := range append([]string{""}, storages...) {
		for _, name := range slices.Sorted(maps.Keys(vars)) {
			if storageOf(name) == s && !c.variable(values, vars, name, s) {
				c.Note(prefix+name, "names no key of tyk-pump's that is known, and was left out")
			}
		}
	}
	return values
}

// storageOf is the group that a variable for the Redis belongs to; empty for all others.
func storageOf(name string) string {
	for _, s := range storages {
		if strings.HasPrefix(name, s) {
			return s
		}
	}
	return ""
}

func (c *converter) variable(values map[string]any, vars map[string]string, name, storage string) bool {
	set := func(path, kind, field string, keys []string) bool {
		key := keyOf(kind, field, keys)
		if key == "" {
			return false
		}
		at := values
		if path != "" {
			for p := range strings.SplitSeq(path, ".") {
				at = object(at, p)
			}
			path += "."
		}
		at[key] = vars[name]
		c.variables[path+key] = prefix + name
		return true
	}
	if storage != "" {
		return set("analytics_storage_config", "storage", name[len(storage):], storageKeys)
	}
	if field, ok := strings.CutPrefix(name, "UPTIMEPUMPCONFIG_"); ok {
		return set("uptime_pump_config", "meta", field, mongoKeys)
	}
	rest, ok := strings.CutPrefix(name, "PUMPS_")
	if !ok {
		return set("", "", name, topKeys)
	}
	pump, field, _ := strings.Cut(rest, "_")
	done := false
	for _, key := range c.pumps(values, vars, pump) {
		path, kind := "pumps."+key, "pump"
		if f, ok := strings.CutPrefix(field, "META_"); ok {
			t := pumpType(key, object(object(values, "pumps"), key))
			if set(path+".meta", t, f, metaKeys) || set(path+".meta", "meta", f, metaKeys) {
				done = true
			}
			continue
		}
		keys := pumpKeys
		if f, ok := strings.CutPrefix(field, "FILTERS_"); ok {
			path, kind, field, keys = path+".filters", "filters", f, filterKeys
		}
		done = set(path, kind, field, keys) || done
	}
	return done
}

// pumps are the keys of those pumps that a name in a variable means; one that is not there is made if its type is known.
func (c *converter) pumps(values map[string]any, vars map[string]string, name string) []string {
	all := object(values, "pumps")
	key := strings.ToLower(name)
	t, typed := vars["PUMPS_"+name+"_TYPE"]
	if _, there := all[key]; there || typed || known(key) {
		p := object(all, key)
		if typed { // first, since names of fields depend on it
			p["type"] = t
		}
		return []string{key}
	}
	var keys []string
	for _, k := range slices.Sorted(maps.Keys(all)) {
		if p, ok := all[k].(map[string]any); ok && pumpType(k, p) == kindOf[name] {
			keys = append(keys, k)
		}
	}
	return keys
}

// pumpType is what a pump is: its type, or else its key.
func pumpType(key string, pump map[string]any) string {
	if t, _ := scalar(pump["type"]); t != "" {
		return strings.ToLower(t)
	}
	return key
}

// keyOf is the key that the name of a field stands for.
func keyOf(kind, field string, keys []string) string {
	field = strings.ToLower(field)
	if key, ok := renamed[kind][field]; ok {
		return key
	}
	i := slices.IndexFunc(keys, func(k string) bool { return strings.ReplaceAll(k, "_", "") == field })
	if i < 0 {
		return ""
	}
	return keys[i]
}

// object is the object below a key, made if it is not there.
func object(in map[string]any, key string) map[string]any {
	m, ok := in[key].(map[string]any)
	if !ok {
		m = map[string]any{}
		in[key] = m
	}
	return m
}
