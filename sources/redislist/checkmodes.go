package redislist

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"sluice/internal/pipeline"
)

// otherKind says that a server is of another kind than the mode has it.
func otherKind(mode string, info map[string]string) error {
	switch cluster := info["redis_mode"] == "cluster" || info["cluster_enabled"] == "1"; {
	case info["redis_mode"] == "sentinel":
		return pipeline.Fatal(errors.New("this is a Sentinel: set mode to sentinel, and master_name"))
	case cluster && mode != ModeCluster:
		return pipeline.Fatal(errors.New("this Redis runs as a Cluster: set mode to cluster"))
	}
	return nil
}

// sentinels asks each Sentinel by itself, and checks the primary they name.
func (k *checker) sentinels(ctx context.Context) {
	answered := 0
	named := map[string]bool{}
	for _, addr := range k.cfg.Addrs {
		one, cancel := context.WithTimeout(ctx, sentinelTime)
		v, err := k.s.dialer.askSentinel(one, addr)
		cancel()
		if err == nil {
			answered++
			named[v.addr] = true
			continue
		}
		err = sentinelError(addr, k.cfg.MasterName, err)
		level, cure := Warn, "see addrs and sentinel.tls, and whether the network lets you through"
		if class, _ := pipeline.Classify(err); class == pipeline.FatalError {
			level, cure = Fail, "" // the error has it
		}
		k.add(level, err.Error(), cure)
	}
	if len(named) > 1 {
		k.add(Warn, "the Sentinels name different primaries", "a failover is under way, or the network between them is cut")
	}
	if answered == 0 {
		k.add(Fail, "no Sentinel names the primary", "see above")
		return
	}
	k.add(OK, fmt.Sprintf("%d of %d Sentinels name the primary", answered, len(k.cfg.Addrs)), "")
	addr, err := k.s.dialer.primary(ctx)
	if err != nil {
		k.add(Fail, err.Error(), "see addrs")
		return
	}
	k.at = addr + ": "
	c, err := k.s.dialer.controlAt(ctx, addr)
	if k.unreachable(err, "the Sentinels announce the primary as "+addr, "sentinel announce-ip or announce-hostnames, and replica-announce-ip of the Redis") {
		return
	}
	k.node(ctx, c, err)
}

// cluster checks every node that has lists of ours.
func (k *checker) cluster(ctx context.Context) {
	slots, err := k.s.dialer.topology(ctx)
	if err != nil {
		k.node(ctx, nil, err)
		return
	}
	of := map[string]list{}
	var addrs []string
	for _, l := range k.s.lists {
		nodes := slots.owner(slotOf(l.name))
		if len(nodes) == 0 {
			k.add(Fail, "no node of the Cluster has the slot of list "+l.name, "repair it: redis-cli --cluster fix")
			continue
		}
		if _, ok := of[nodes[0].addr]; !ok {
			of[nodes[0].addr] = l
			addrs = append(addrs, nodes[0].addr)
		}
	}
	for _, addr := range addrs {
		k.at, k.list, k.wrong = addr+": ", of[addr], false
		c, err := k.s.dialer.controlAt(ctx, addr)
		if k.unreachable(err, "the Cluster announces a node as "+addr, "cluster-announce-ip or cluster-announce-hostname") {
			continue
		}
		k.node(ctx, c, err)
	}
}

// unreachable names what to do about an address that others told us and that leads nowhere from here.
func (k *checker) unreachable(err error, who, setting string) bool {
	if err == nil || denied(err.Error()) || strings.Contains(err.Error(), "LOADING") {
		return false
	}
	k.add(Fail, fmt.Sprintf("%s, which cannot be reached from here: %v", who, err),
		"announce an address that this machine can reach ("+setting+"), or open the network to it")
	return true
}
