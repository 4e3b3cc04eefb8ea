// Package opensearch is the sink that stores one document a record in OpenSearch, in an index chosen by the record's
// own time. A document's _id is the record ID and it is only ever created, so that a record delivered twice meets a
// conflict, which is success.
package opensearch

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"sluice/internal/units"
)

// Config is the sink's part of the configuration.
type Config struct {
	URLs     []string       `yaml:"urls" doc:"Addresses of the cluster, with scheme and without credentials; requests go to them in turns."`
	Index    string         `yaml:"index" doc:"Index name; {...} stands for the record's own time in UTC, with yyyy, MM, dd and HH."`
	Auth     Auth           `yaml:"auth" doc:"How requests are authenticated: at most one of basic, aws and api_key."`
	Extended bool           `yaml:"extended" doc:"Also store raw_request, raw_response and user_agent."`
	Keep     units.Duration `yaml:"keep" doc:"Records older than this when they were claimed are left out, so that they do not bring deleted indices back; 0 stores all. Set by retention.search.keep."`
	TLS      TLS            `yaml:"tls" doc:"TLS settings; certificates are always verified."`
	Bulk     Bulk           `yaml:"bulk" doc:"Bounds of one bulk request."`
	Gzip     bool           `yaml:"gzip" doc:"Compress requests; on by default because documents shrink to a fifth."`
	Template bool           `yaml:"template" doc:"Install the index template and replace an older version of it; without it mappings are what the cluster makes of the documents."`
}

// Auth is one way to authenticate, or none.
type Auth struct {
	Basic  Basic  `yaml:"basic" doc:"User name and password."`
	AWS    AWS    `yaml:"aws" doc:"Signature of AWS, with credentials from the default chain."`
	APIKey APIKey `yaml:"api_key" doc:"API key."`
}

// Basic is a user name and password.
type Basic struct {
	Username string `yaml:"username" doc:"User name."`
	Password string `yaml:"password" secret:"true" doc:"Password."`
}

// AWS signs requests.
type AWS struct {
	Region  string `yaml:"region" doc:"AWS region; from the default chain when empty."`
	Service string `yaml:"service" doc:"es for OpenSearch Service, aoss for OpenSearch Serverless (search collections only: others refuse document IDs)."`
}

// APIKey is an API key.
type APIKey struct {
	ID  string `yaml:"id" doc:"ID of the key."`
	Key string `yaml:"key" secret:"true" doc:"The key itself."`
}

// TLS adds to the system's certificate authorities.
type TLS struct {
	CAFile string `yaml:"ca_file" doc:"File with PEM certificates of authorities to trust instead of the system's."`
}

// Bulk bounds a request.
type Bulk struct {
	Bytes   units.Size `yaml:"bytes" doc:"Bytes of a request before compression; 5MiB is well below the 10 MiB that small AWS instances take."`
	Records int        `yaml:"records" doc:"Documents of a request."`
}

// The services that AWS signs for.
const (
	serviceES   = "es"
	serviceAOSS = "aoss"
)

// Defaults are the settings of a sink that names only its URLs.
func Defaults() Config {
	return Config{
		Index:    "tyk_analytics-{yyyy.MM.dd}",
		Bulk:     Bulk{Bytes: 5 * units.MiB, Records: 2000},
		Gzip:     true,
		Template: true,
	}
}

// Bounds of a request that make sense: a document must fit, and a node takes 100 MiB by default.
const (
	minBulkBytes = 64 * units.KiB
	maxBulkBytes = 64 * units.MiB
)

// Validate tells what is wrong, without any I/O.
func (c Config) Validate() []units.Problem {
	var problems []units.Problem
	add := func(key, what, cure string) {
		problems = append(problems, units.Problem{Key: key, What: what, Cure: cure})
	}
	if len(c.URLs) == 0 {
		add("urls", "is missing", `write it like ["https://search.example.net:9200"]`)
	}
	for i, u := range c.URLs {
		if what, cure := badURL(u); what != "" {
			add(fmt.Sprintf("urls[%d]", i), what, cure)
		}
	}
	if _, err := parsePattern(c.Index); err != nil {
		add("index", err.Error(), "write it like tyk_analytics-{yyyy.MM.dd}")
	}
	c.Auth.validate(add)
	if c.Keep < 0 {
		add("keep", "is negative", "write 0 for no limit, or like 30d")
	}
	if c.Bulk.Bytes < minBulkBytes || c.Bulk.Bytes > maxBulkBytes {
		add("bulk.bytes", c.Bulk.Bytes.String()+" is out of bounds", fmt.Sprintf("give %s to %s", minBulkBytes, maxBulkBytes))
	}
	if c.Bulk.Records < 1 || c.Bulk.Records > 100_000 {
		add("bulk.records", fmt.Sprintf("%d is out of bounds", c.Bulk.Records), "give 1 to 100000")
	}
	return problems
}

func badURL(s string) (what, cure string) {
	u, err := url.Parse(s)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return "is not the address of a cluster", "write it like https://search.example.net:9200"
	case u.User != nil:
		return "has credentials in it", "put them under auth.basic"
	case u.RawQuery != "" || u.Fragment != "":
		return "has more than scheme, host and path", "write it like https://search.example.net:9200"
	}
	return "", ""
}

func (a Auth) validate(add func(key, what, cure string)) {
	ways := 0
	for _, used := range []bool{a.Basic != Basic{}, a.AWS != AWS{}, a.APIKey != APIKey{}} {
		if used {
			ways++
		}
	}
	if ways > 1 {
		add("auth", "has more than one way", "keep one of basic, aws and api_key")
	}
	if (a.Basic != Basic{}) && (a.Basic.Username == "" || a.Basic.Password == "") {
		add("auth.basic", "is incomplete", "give username and password")
	}
	if (a.APIKey != APIKey{}) && (a.APIKey.ID == "" || a.APIKey.Key == "") {
		add("auth.api_key", "is incomplete", "give id and key")
	}
	if (a.AWS != AWS{}) && a.AWS.Service != serviceES && a.AWS.Service != serviceAOSS {
		add("auth.aws.service", fmt.Sprintf("%q is not a service", a.AWS.Service), "write es, or aoss for Serverless")
	}
}

// Target names the store, without secrets.
func (c Config) Target() string {
	hosts := make([]string, 0, len(c.URLs))
	for _, s := range c.URLs {
		if u, err := url.Parse(s); err == nil {
			hosts = append(hosts, strings.ToLower(u.Host)+strings.TrimRight(u.Path, "/"))
		}
	}
	slices.Sort(hosts)
	return "opensearch " + strings.Join(slices.Compact(hosts), ",") + "/" + c.Index
}

// shape is what of the configuration shapes the effects of a claim.
type shape struct {
	Index    string         `json:"index"`
	Extended bool           `json:"extended"`
	Keep     units.Duration `json:"keep"`
}

func (c Config) shape() shape { return shape{Index: c.Index, Extended: c.Extended, Keep: c.Keep} }

// parseShape reads what was recorded with a claim; a claim without one goes by the configuration.
func parseShape(recorded json.RawMessage, otherwise shape) (shape, error) {
	if len(recorded) == 0 {
		return otherwise, nil
	}
	s := otherwise
	if err := json.Unmarshal(recorded, &s); err != nil {
		return shape{}, fmt.Errorf("read the shape recorded with the claim: %w", err)
	}
	return s, nil
}
