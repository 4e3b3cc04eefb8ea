// Package redislist is the source that drains the lists which gateways push analytics to in Redis.
//
// A list is leased, renamed to claims, read from there, and a claim is trimmed to the least of the cursors of the sinks
// it owes. All of it is kept in one hash beside the list, the registry (docs/decisions/0001-registry-claims-cursors.md),
// and every change of it is one script that leaves the same state when it is called twice.
package redislist

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/internal/units"
)

// Modes of Redis.
const (
	ModeSingle   = "single"
	ModeSentinel = "sentinel"
	ModeCluster  = "cluster"
)

// Config is a source of type redis.
type Config struct {
	Mode       string         `yaml:"mode" doc:"How Redis is run: single (one node, or a stable name such as an ElastiCache primary endpoint), sentinel or cluster."`
	Addrs      []string       `yaml:"addrs" doc:"host:port of the node, or of the Sentinels, or of some Cluster nodes; tried in order."`
	MasterName string         `yaml:"master_name" doc:"Name of the primary as the Sentinels know it; for mode sentinel."`
	Sentinel   SentinelConfig `yaml:"sentinel" doc:"How one logs in to the Sentinels themselves; for mode sentinel."`
	Username   string         `yaml:"username" doc:"ACL user; empty is Redis's default user."`
	Password   string         `yaml:"password" doc:"Password of the user." secret:"true"`
	DB         int            `yaml:"db" doc:"Number of the database that the gateways write to."`
	TLS        TLSConfig      `yaml:"tls" doc:"Encryption of the connection."`
	IAM        IAMConfig      `yaml:"iam" doc:"Login with ElastiCache IAM tokens instead of a password."`
	KeyPrefix  string         `yaml:"key_prefix" doc:"What the gateways put before the names of their lists; analytics- is their default."`
	Uptime     bool           `yaml:"uptime" doc:"Also drain the results of uptime checks, host-checker:tyk-uptime-analytics."`
	Claim      ClaimConfig    `yaml:"claim" doc:"How lists are leased and claimed."`
	Guard      GuardConfig    `yaml:"guard" doc:"When records of a sink that is down may no longer wait in Redis, and go to its spool (on_full)."`

	// Embedded accepts a server without INFO: it has a fixed identity, so that a new epoch is never noticed. For the
	// in-process Redis of the demo only.
	Embedded bool `yaml:"-"`
}

// TLSConfig says how the connection is encrypted. Certificates are always verified.
type TLSConfig struct {
	Enabled    bool   `yaml:"enabled" doc:"Encrypt the connection and verify the server's certificate."`
	CAFile     string `yaml:"ca_file" doc:"PEM file of the authorities to trust instead of the system's."`
	CertFile   string `yaml:"cert_file" doc:"PEM file of the client certificate, if the server asks for one."`
	KeyFile    string `yaml:"key_file" doc:"PEM file of the client certificate's key."`
	ServerName string `yaml:"server_name" doc:"Name the server's certificate must bear, if it is not the address's host."`
}

// SentinelConfig is how one gets through to the Sentinels, which have users and certificates of their own.
type SentinelConfig struct {
	Username string    `yaml:"username" doc:"ACL user of the Sentinels; empty is their default user."`
	Password string    `yaml:"password" doc:"Password of that user; empty logs in nowhere." secret:"true"`
	TLS      TLSConfig `yaml:"tls" doc:"Encryption of the connections to the Sentinels."`
}

// IAMConfig is the login with ElastiCache IAM tokens.
type IAMConfig struct {
	Enabled   bool   `yaml:"enabled" doc:"Log in with a token signed with the AWS credentials of the process; needs TLS."`
	CacheName string `yaml:"cache_name" doc:"ID of the replication group or name of the serverless cache."`
	User      string `yaml:"user" doc:"ID of the ElastiCache user, which must be its name as well."`
}

// ClaimConfig says how lists are leased and claimed.
type ClaimConfig struct {
	Interval     units.Duration `yaml:"interval" doc:"How long a trickle gathers in a list before it is claimed; a claim as large as a batch is followed by the next at once."`
	Lease        units.Duration `yaml:"lease" doc:"How long a list stays ours when we fall silent; renewed at a third of it."`
	WaitReplicas Replicas       `yaml:"wait_replicas" doc:"Replicas that must hold a claim before it is delivered from: auto (as many as were connected in the last ten minutes) or a number, which is hard."`
	Shield       units.Duration `yaml:"shield" doc:"TTL put on a list that cannot be claimed, in place of the gateway's 60s: long enough for a failover, short enough that a Redis without any pump does not fill up."`
}

// GuardConfig says when Redis has no more room for records of a sink that is down.
type GuardConfig struct {
	Age    units.Duration `yaml:"age" doc:"Records of a sink that is down wait in Redis at most this long; shorter outages never touch the spool."`
	Memory int            `yaml:"memory" doc:"Per cent of the server's maxmemory from which on they wait no more; the rest is room for the gateway while the spool is written."`
	Limit  units.Size     `yaml:"limit" doc:"Memory to go by instead of maxmemory, for a service that hides it or a server that has none; 0B goes by maxmemory."`
}

// Replicas is a number of replicas, or AutoReplicas.
type Replicas int

// AutoReplicas is as many replicas as were connected in the last ten minutes.
const AutoReplicas Replicas = -1

// MarshalText implements encoding.TextMarshaler.
func (r Replicas) MarshalText() ([]byte, error) {
	if r == AutoReplicas {
		return []byte("auto"), nil
	}
	return strconv.AppendInt(nil, int64(r), 10), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Replicas) UnmarshalText(b []byte) error {
	if string(b) == "auto" {
		*r = AutoReplicas
		return nil
	}
	n, err := strconv.ParseUint(string(b), 10, 16)
	if err != nil {
		return fmt.Errorf("%q is not a number of replicas: write auto or a number", b)
	}
	*r = Replicas(n)
	return nil
}

// Defaults are the values of keys that are not given.
func Defaults() Config {
	return Config{
		Mode:      ModeSingle,
		Addrs:     []string{"127.0.0.1:6379"},
		KeyPrefix: "analytics-",
		Uptime:    true,
		Claim: ClaimConfig{
			Interval:     units.Duration(time.Second),
			Lease:        units.Duration(30 * time.Second), // a third of it is two missed renewals under the gateway's TTL of 60s
			WaitReplicas: AutoReplicas,
			Shield:       units.Duration(10 * time.Minute),
		},
		Guard: GuardConfig{Age: units.Duration(15 * time.Minute), Memory: 60},
	}
}

// Validate returns what is wrong.
func (c Config) Validate() (ps []units.Problem) {
	add := func(key, what, cure string) { ps = append(ps, units.Problem{Key: key, What: what, Cure: cure}) }
	switch c.Mode {
	case ModeSingle:
	case ModeSentinel:
		if c.MasterName == "" {
			add("master_name", "it is missing", "give the name that `sentinel monitor` gives the primary, such as mymaster")
		}
	case ModeCluster:
		if c.DB != 0 {
			add("db", "a Cluster has database 0 alone", "set it to 0")
		}
	default:
		add("mode", fmt.Sprintf("%q is not a mode", c.Mode), "write single, sentinel or cluster")
	}
	if c.Mode != ModeSentinel && (c.MasterName != "" || c.Sentinel != SentinelConfig{}) {
		add("mode", "master_name or sentinel is given, and the mode is "+c.Mode, "set it to sentinel, or remove them")
	}
	if len(c.Addrs) == 0 {
		add("addrs", "no address is given", "write the host:port of Redis")
	}
	for i, a := range c.Addrs {
		if _, _, err := net.SplitHostPort(a); err != nil {
			add(fmt.Sprintf("addrs[%d]", i), fmt.Sprintf("%q is not host:port", a), "write it like 127.0.0.1:6379")
		}
	}
	if c.DB < 0 {
		add("db", "a database has a number from 0 up", "write the number the gateways use")
	}
	if strings.ContainsAny(c.KeyPrefix, " \t\r\n") {
		add("key_prefix", "white space cannot be part of it", "write the prefix the gateways use")
	}
	if strings.Contains(c.KeyPrefix, "}") && !hasTag(c.KeyPrefix) {
		add("key_prefix", "it has a closing brace but no hash tag, so that keys beside a list would lie in another Cluster slot",
			"use a whole tag such as {tyk}-")
	}
	ps = append(ps, c.validateAccess()...)
	ps = append(ps, c.Claim.validate()...)
	return append(ps, c.Guard.validate()...)
}

func (c Config) validateAccess() (ps []units.Problem) {
	add := func(key, what, cure string) { ps = append(ps, units.Problem{Key: key, What: what, Cure: cure}) }
	if c.Username != "" && c.Password == "" && !c.IAM.Enabled {
		add("password", "a username is given without it", "give the user's password")
	}
	if c.Sentinel.Username != "" && c.Sentinel.Password == "" {
		add("sentinel.password", "a username is given without it", "give the user's password")
	}
	ps = append(ps, c.TLS.validate("tls.")...)
	ps = append(ps, c.Sentinel.TLS.validate("sentinel.tls.")...)
	if !c.IAM.Enabled {
		return ps
	}
	if !c.TLS.Enabled {
		add("tls.enabled", "IAM tokens need TLS", "set it to true")
	}
	if c.IAM.CacheName == "" {
		add("iam.cache_name", "it is missing", "give the ID of the replication group or the name of the serverless cache")
	}
	if c.IAM.User == "" {
		add("iam.user", "it is missing", "give the ID of the ElastiCache user")
	}
	if c.Username != "" || c.Password != "" {
		add("password", "it is given beside iam", "use one of them")
	}
	return ps
}

func (c TLSConfig) validate(at string) (ps []units.Problem) {
	if (c.CertFile == "") != (c.KeyFile == "") {
		ps = append(ps, units.Problem{Key: at + "key_file", What: "cert_file and key_file go together", Cure: "give both or none"})
	}
	if !c.Enabled && (c.CAFile != "" || c.CertFile != "" || c.ServerName != "") {
		ps = append(ps, units.Problem{Key: at + "enabled", What: "it is off while other keys beside it are set", Cure: "set it to true"})
	}
	return ps
}

func (g GuardConfig) validate() (ps []units.Problem) {
	if g.Age.D() < time.Second {
		ps = append(ps, units.Problem{Key: "guard.age", What: fmt.Sprintf("%s is less than 1s", g.Age), Cure: "write it like 15m"})
	}
	if g.Memory < 1 || g.Memory > 95 {
		ps = append(ps, units.Problem{Key: "guard.memory", What: fmt.Sprintf("%d is not between 1 and 95 per cent", g.Memory),
			Cure: "write it like 60"})
	}
	if g.Limit < 0 {
		ps = append(ps, units.Problem{Key: "guard.limit", What: "it is negative", Cure: "write it like 2GiB"})
	}
	return ps
}

func (c ClaimConfig) validate() (ps []units.Problem) {
	within := func(key string, d units.Duration, lo, hi time.Duration) {
		if d.D() < lo || d.D() > hi {
			ps = append(ps, units.Problem{Key: "claim." + key, What: fmt.Sprintf("%s is not between %s and %s", d,
				units.Duration(lo), units.Duration(hi)), Cure: "write a duration between them"})
		}
	}
	within("interval", c.Interval, 10*time.Millisecond, maxInterval)
	within("lease", c.Lease, 300*time.Millisecond, 10*time.Minute)
	within("shield", c.Shield, time.Minute, 24*time.Hour)
	if c.WaitReplicas < AutoReplicas || c.WaitReplicas > 64 {
		ps = append(ps, units.Problem{Key: "claim.wait_replicas", What: "it is neither auto nor a number up to 64",
			Cure: "write auto or a number"})
	}
	return ps
}

// Target names the lists that are drained, so that two sources with one target can be refused.
func (c Config) Target() string {
	addrs := slices.Sorted(slices.Values(c.Addrs))
	name := ""
	if c.Mode == ModeSentinel { // the same Sentinels may know several primaries
		name = " primary " + strconv.Quote(c.MasterName)
	}
	return fmt.Sprintf("redis %s%s db %d prefix %q", strings.Join(addrs, ","), name, c.DB, c.KeyPrefix)
}
