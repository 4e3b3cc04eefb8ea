package redislist

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/internal/pipeline"
)

// Level is how bad a finding is.
type Level string

// Levels of findings.
const (
	OK   Level = "ok"
	Warn Level = "warn"
	Fail Level = "fail"
)

// Finding is one result of a check, and how to cure it.
type Finding struct {
	Level Level  `json:"level"`
	Text  string `json:"text"`
	Cure  string `json:"cure,omitempty"`
}

const (
	oldestRedis = 5 // major version: the first whose scripts may read the clock and write by default
	skewWarn    = 2 * time.Second
	skewFail    = time.Minute
)

// commands that the source needs. Every one is asked for with ACL DRYRUN where that is to be had.
var commands = strings.Fields("ping info time type llen pttl lrange hget hmget hgetall hkeys exists wait eval evalsha " +
	"hset hincrby hdel renamenx persist expire ltrim " +
	"hexists rpush " + // these two put dead letters back
	"unlink") // the last, which removes what the others left

// clusterCommands are needed beside them in a Cluster.
var clusterCommands = strings.Fields("cluster|info cluster|slots asking")

// Check tries what a run needs and changes nothing but a key of its own, which it removes.
func (s *Source) Check(ctx context.Context) []Finding {
	k := &checker{s: s, cfg: s.cfg, list: s.lists[0]}
	switch s.cfg.Mode {
	case ModeSentinel:
		k.sentinels(ctx)
	case ModeCluster:
		k.cluster(ctx)
	default:
		c, err := s.dialer.control(ctx)
		k.node(ctx, c, err)
	}
	return k.found
}

// node checks one server, to which a connection was made, or was not.
func (k *checker) node(ctx context.Context, c *control, err error) {
	if err != nil {
		err = loginError(err)
		cure := "see addrs and tls, and whether the network lets you through"
		if class, _ := pipeline.Classify(err); class == pipeline.FatalError {
			cure = "" // the error has it
		}
		k.add(Fail, err.Error(), cure)
		return
	}
	defer c.close()
	k.c = c
	k.add(OK, "reachable", "")
	for _, step := range []func(context.Context) error{k.server, k.clock, k.rights} {
		if k.wrong {
			break
		}
		if err := step(ctx); err != nil {
			k.add(Fail, err.Error(), "see the server's log")
			if c.failed() {
				break
			}
		}
	}
}

type checker struct {
	s     *Source
	cfg   Config
	list  list
	at    string // put before every finding: the node of several
	c     *control
	wrong bool // it is another kind of server: the other findings would mislead
	found []Finding
}

func (k *checker) add(level Level, text, cure string) {
	k.found = append(k.found, Finding{level, k.at + text, cure})
}

// server looks at what INFO shows.
func (k *checker) server(ctx context.Context) error {
	m, err := k.c.do(ctx, k.c.conn.B().Info().Build())
	if err != nil {
		if k.c.failed() {
			return err
		}
		k.add(Fail, "INFO is not allowed: "+err.Error(), "add +info to the user's ACL rules")
		return nil
	}
	text, err := m.ToString()
	if err != nil {
		return err
	}
	f := infoFields(text)
	if err := otherKind(k.cfg.Mode, f); err != nil {
		k.wrong = true
		k.add(Fail, err.Error(), "")
		return nil
	}
	v := f["redis_version"]
	if major, _ := strconv.Atoi(strings.SplitN(v, ".", 2)[0]); major < oldestRedis {
		k.add(Fail, "version "+v+" is too old", fmt.Sprintf("use Redis %d or newer", oldestRedis))
	} else {
		k.add(OK, "version "+v, "")
	}
	if f["role"] == "master" {
		k.add(OK, fmt.Sprintf("primary with %d replicas in sync", onlineReplicas(text)), "")
	} else {
		k.add(Fail, notPrimary(k.c.addr, f).Error(), "give the address of the primary, or a name that follows it")
	}
	if n := k.cfg.Claim.WaitReplicas; n != AutoReplicas && onlineReplicas(text) < int(n) {
		k.add(Fail, fmt.Sprintf("claim.wait_replicas is %d, %d are in sync: nothing would be delivered", n, onlineReplicas(text)),
			"add replicas, or set auto")
	}
	k.policy(f)
	return nil
}

func (k *checker) policy(f map[string]string) {
	p := f["maxmemory_policy"]
	switch {
	case p == "":
		k.add(Warn, "the eviction policy is hidden", "make sure that it is noeviction")
	case strings.HasPrefix(p, "allkeys-"):
		k.add(Fail, "maxmemory-policy "+p+" lets Redis throw claims away", "set noeviction or a volatile one")
	case strings.HasPrefix(p, "volatile-") && f["maxmemory"] != "0":
		k.add(Warn, "maxmemory-policy "+p+" evicts what has a TTL when Redis is full: sessions, and lists that wait to be claimed",
			"set noeviction")
	default:
		k.add(OK, "maxmemory-policy "+p, "")
	}
}

// clock compares the clocks. Only what a person reads off them is concerned: leases and claims go by the server's alone.
func (k *checker) clock(ctx context.Context) error {
	sent := time.Now()
	t, err := serverTime(ctx, k.c)
	if err != nil {
		if denied(err.Error()) {
			return nil // rights names it
		}
		return err
	}
	skew := t.Sub(sent.Add(time.Since(sent) / 2)).Abs().Round(time.Millisecond)
	switch cure := "set the clock of both machines by NTP"; {
	case skew > skewFail:
		k.add(Fail, "the clocks differ by "+skew.String(), cure)
	case skew > skewWarn:
		k.add(Warn, "the clocks differ by "+skew.String(), cure)
	default:
		k.add(OK, "the clocks agree", "")
	}
	return nil
}

// rights asks for every command: with ACL DRYRUN, or else by trying it on a key of our own.
func (k *checker) rights(ctx context.Context) error {
	missing, err := k.dryRun(ctx)
	if err != nil {
		return err
	}
	if missing == nil {
		if missing, err = k.try(ctx); err != nil {
			return err
		}
	}
	if len(missing) == 0 {
		k.add(OK, "every command is allowed", "")
		return nil
	}
	k.add(Fail, "not allowed: "+strings.Join(missing, " "),
		"add to the user's ACL rules: +"+strings.Join(missing, " +")+", for the keys ~*"+k.cfg.KeyPrefix+"* and ~*"+uptimeList+"*")
	return nil
}

func (k *checker) needed() []string {
	if k.cfg.Mode == ModeCluster {
		return slices.Concat(clusterCommands, commands)
	}
	return commands
}

// sample is a command as it is used, on the keys of a list.
func (k *checker) sample(name string) []string {
	reg := k.list.registry() + ":check"
	switch name {
	case "ping", "info", "time":
		return []string{name}
	case "wait":
		return []string{name, "0", "1"}
	case "asking":
		return []string{name}
	case "cluster|info", "cluster|slots":
		return strings.Split(name, "|")
	case "eval", "evalsha":
		return []string{name, "return 1", "1", reg}
	case "type", "llen", "pttl", "hgetall", "hkeys", "exists", "persist", "unlink":
		return []string{name, reg}
	case "lrange", "ltrim":
		return []string{name, reg, "0", "-1"}
	case "hget", "hmget", "hdel", "hexists":
		return []string{name, reg, "f"}
	case "hset", "hincrby":
		return []string{name, reg, "f", "1"}
	case "renamenx":
		return []string{name, k.list.name, reg}
	case "rpush":
		return []string{name, reg, "e"}
	case "expire":
		return []string{name, reg, "60"}
	}
	return []string{name}
}

// dryRun returns nil when the server cannot tell.
func (k *checker) dryRun(ctx context.Context) ([]string, error) {
	b := k.c.conn.B
	m, err := k.c.do(ctx, b().Arbitrary("ACL", "WHOAMI").Build())
	if err != nil {
		return nil, k.c.cause()
	}
	user, err := m.ToString()
	if err != nil {
		return nil, err
	}
	missing := []string{}
	for _, name := range k.needed() {
		m, err := k.c.do(ctx, b().Arbitrary("ACL", "DRYRUN", user).Args(k.sample(name)...).Build())
		if err != nil {
			return nil, k.c.cause() // older than 7.0, or not allowed
		}
		if s, _ := m.ToString(); s != "OK" {
			missing = append(missing, name)
		}
	}
	return missing, nil
}

// try runs the commands on a hash of its own, which the last of them removes. Those that only a list could take are
// refused by the server for that, which shows as well that they are allowed.
func (k *checker) try(ctx context.Context) ([]string, error) {
	b := k.c.conn.B
	var missing []string
	for _, name := range k.needed() {
		args := k.sample(name)
		if name == "renamenx" { // never the list itself
			args = []string{name, args[2] + ":none", args[2]}
		}
		if _, err := k.c.do(ctx, b().Arbitrary(args...).Build()); k.c.failed() {
			return nil, k.c.cause()
		} else if err != nil && denied(err.Error()) {
			missing = append(missing, name)
		}
	}
	return missing, nil
}

// Err returns the findings that must stop a start as one Fatal error, or nil.
func Err(found []Finding) error {
	var bad []string
	for _, f := range found {
		if f.Level == Fail {
			bad = append(bad, f.Text+" ("+f.Cure+")")
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return pipeline.Fatal(fmt.Errorf("check Redis: %s", strings.Join(bad, "; ")))
}
