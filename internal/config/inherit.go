package config

import (
	"sluice/internal/units"
	"sluice/sinks/opensearch"
)

// inherit sets what a sink takes from another part of the file unless its own entry says otherwise: OpenSearch leaves
// out records older than retention.search.keep, which would bring back indices that retention deleted.
func (c *Config) inherit(root *node) {
	for name, s := range c.Sinks {
		if root.get("sinks").get(name).get("on_full") == nil {
			s.OnFull = c.onFull()
			c.Sinks[name] = s
		}
		own, ok := s.Settings.(opensearch.Config)
		if !ok || root.get("sinks").get(name).get("keep") != nil {
			continue
		}
		own.Keep = c.searchKeep()
		s.Settings = own
		c.Sinks[name] = s
	}
}

// searchKeep is the longest span that anything in OpenSearch is kept, 0 for ever.
func (c *Config) searchKeep() units.Duration {
	keep := c.Retention.Search.Keep
	if keep == 0 || len(c.Retention.Holds) > 0 {
		return 0
	}
	for _, o := range c.Retention.Organisations {
		if o.Search == nil {
			continue
		}
		if o.Search.Keep == 0 {
			return 0
		}
		keep = max(keep, o.Search.Keep)
	}
	return keep
}

// What a sink that is down does with records that Redis has no room for.
const (
	Spool = "spool"
	Wait  = "wait"
)

// What is given up where there is no room at all.
const (
	Never  = "never"
	Oldest = "oldest"
)

// onFull is spool where a spool outlives the machine: a full Redis is an outage of the gateway, a full directory is not.
func (c *Config) onFull() string {
	if c.State.Durable || c.State.Spool != "" {
		return Spool
	}
	return Wait
}
