package importconfig

import (
	"net/url"
	"strings"

	"github.com/goccy/go-yaml"
)

func (c *converter) search(key string, _, meta *document) *sink {
	s := c.out.add(key, "opensearch")
	list := meta.list("elasticsearch_url")
	if len(list) == 0 {
		list = []string{"http://localhost:9200"} // tyk-pump's own default
	}
	user, password := meta.text("auth_basic_username"), meta.text("auth_basic_password")
	from, inURL := meta.key("auth_basic_password"), false
	var urls []string
	for _, raw := range list {
		u, name, secret := c.searchURL(raw, meta)
		urls = append(urls, u)
		if user == "" && name != "" {
			user, password, from, inURL = name, secret, meta.key("elasticsearch_url"), true
		}
	}
	put(&s.keys, "urls", urls)
	index := meta.text("index_name")
	if index == "" {
		index = "tyk_analytics"
	}
	if meta.flag("rolling_index") {
		index += "-{yyyy.MM.dd}"
	} else {
		c.Note(meta.key("rolling_index"), "is off: one index grows for ever; index: "+index+"-{yyyy.MM.dd} makes one a day, which retention can delete")
	}
	put(&s.keys, "index", index)
	putTrue(&s.keys, "extended", meta.flag("extended_stats"))
	id, apiKey := meta.text("auth_api_key_id"), meta.text("auth_api_key")
	path := "sinks." + s.name + ".auth."
	switch {
	case id != "" && apiKey != "": // wins in tyk-pump, too
		put(&s.keys, "auth", yaml.MapSlice{{Key: "api_key", Value: pair("id", id, "key", c.secret(path+"api_key.key", meta.key("auth_api_key")))}})
	case user != "" && password != "":
		put(&s.keys, "auth", yaml.MapSlice{{Key: "basic", Value: pair("username", user, "password", c.secret(path+"basic.password", from))}})
		if inURL {
			c.Secrets[len(c.Secrets)-1].From += ", its password alone, without percent-encoding"
		}
	}
	for _, file := range []string{"ssl_cert_file", "ssl_key_file"} {
		if meta.text(file) != "" {
			c.Note(meta.key(file), "has no equal: client certificates are not sent to OpenSearch")
		}
	}
	return s
}

func pair(name, value, secretName string, secret reference) (out yaml.MapSlice) {
	put(&out, name, value)
	put(&out, secretName, secret)
	return out
}

// searchURL is an address without user, password, query and fragment. One that cannot be cut into parts is replaced, since it
// might hold a password.
func (c *converter) searchURL(raw string, meta *document) (address, user, password string) {
	if !strings.Contains(raw, "://") {
		raw = "http://" + raw
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		c.Note(meta.key("elasticsearch_url"), "cannot be read; http://localhost:9200 stands in its place")
		return "http://localhost:9200", "", ""
	}
	if meta.flag("use_ssl") {
		u.Scheme = "https"
	}
	if u.User != nil {
		user = u.User.Username()
		password, _ = u.User.Password()
	}
	if u.RawQuery != "" || u.Fragment != "" {
		c.Note(meta.key("elasticsearch_url"), "has more than scheme, host and path, which was left out")
	}
	u.User, u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment = nil, "", false, "", ""
	return u.String(), user, password
}

const brokerPort = "9092"

func (c *converter) kafka(key string, _, meta *document) *sink {
	s := c.out.add(key, "kafka")
	put(&s.keys, "brokers", withPorts(meta.list("broker"), brokerPort))
	put(&s.keys, "topic", meta.text("topic"))
	put(&s.keys, "format", "json")
	compression := "none"
	if meta.flag("compressed") {
		compression = "snappy"
	}
	put(&s.keys, "compression", compression)
	put(&s.keys, "tls", tls(meta, meta.flag("use_ssl")))
	c.sasl(s, meta)
	c.Note(meta.key("topic"), "messages are keyed by organisation and API and spread over 12 partitions: the topic must have as many, or set partitions of the sink")
	return s
}

func (c *converter) sasl(s *sink, meta *document) {
	mechanism, algorithm := strings.ToLower(meta.text("sasl_mechanism")), strings.ToLower(meta.text("sasl_algorithm"))
	user, password := meta.text("sasl_username"), meta.text("sasl_password")
	switch {
	case mechanism == "":
		if user != "" || password != "" {
			c.Note(meta.key("sasl_mechanism"), "is not given, so user and password are left out, as in tyk-pump")
		}
		return
	case mechanism == "scram" && algorithm == "sha-512":
		mechanism = "scram-sha-512"
	case mechanism == "scram":
		mechanism = "scram-sha-256" // what tyk-pump takes without an algorithm
	case mechanism != "plain":
		c.Note(meta.key("sasl_mechanism"), "is neither plain nor scram, and left out")
		return
	}
	var out yaml.MapSlice
	put(&out, "mechanism", mechanism)
	put(&out, "username", user)
	if password != "" {
		put(&out, "password", c.secret("sinks."+s.name+".sasl.password", meta.key("sasl_password")))
	}
	put(&s.keys, "sasl", out)
}
