package redislist

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// clusterSlots is the number of slots of a Redis Cluster (Cluster specification, "Key distribution model").
const clusterSlots = 16384

// topologyTime bounds what one node may take to show the Cluster: another may be asked.
const topologyTime = 2 * time.Second

// clusterNode is a node as CLUSTER SLOTS shows it.
type clusterNode struct {
	id   string
	addr string // host:port
}

// slotRange are consecutive slots and who has them, the primary first.
type slotRange struct {
	from, to uint16
	nodes    []clusterNode
}

// topology is a Cluster as one of its nodes sees it.
type topology struct{ ranges []slotRange }

// owner returns the nodes of a slot, nil if none has it.
func (t *topology) owner(slot uint16) []clusterNode {
	for _, r := range t.ranges {
		if slot >= r.from && slot <= r.to {
			return r.nodes
		}
	}
	return nil
}

// addrs are all nodes, primaries first.
func (t *topology) addrs() []string {
	var primaries, replicas []string
	for _, r := range t.ranges {
		for i, n := range r.nodes {
			if i == 0 {
				primaries = append(primaries, n.addr)
			} else {
				replicas = append(replicas, n.addr)
			}
		}
	}
	return append(primaries, replicas...)
}

// errNoCluster says that a server has no cluster mode.
var errNoCluster = errors.New("this Redis runs without cluster mode")

// topology asks one node after another until one of them, which sees a working Cluster, shows it.
func (d *dialer) topology(ctx context.Context, more ...string) (*topology, error) {
	asked := map[string]bool{}
	var errs []error
	for _, addr := range slices.Concat(more, d.cfg.Addrs) {
		if asked[addr] {
			continue
		}
		asked[addr] = true
		t, err := d.topologyOf(ctx, addr)
		if err == nil {
			return t, nil
		}
		if errors.Is(err, errNoCluster) {
			return nil, err
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func (d *dialer) topologyOf(ctx context.Context, addr string) (*topology, error) {
	ctx, cancel := context.WithTimeout(ctx, topologyTime)
	defer cancel()
	c, err := d.controlAt(ctx, addr)
	if err != nil {
		return nil, err
	}
	defer c.close()
	rs, err := c.doMulti(ctx, c.conn.B().ClusterInfo().Build(), c.conn.B().ClusterSlots().Build())
	if err != nil {
		return nil, err
	}
	info, err := rs[0].ToString()
	if err != nil {
		return nil, clusterError(addr, err)
	}
	// A node that is cut off from the others shows what was. With cluster-require-full-coverage off it says ok, and
	// only while it reaches a majority.
	if state := infoFields(info)["cluster_state"]; state != "ok" {
		return nil, fmt.Errorf("node %s sees the Cluster in state %s", addr, state)
	}
	slots, err := rs[1].ToAny()
	if err != nil {
		return nil, clusterError(addr, err)
	}
	host, _, _ := net.SplitHostPort(addr)
	return parseTopology(host, slots)
}

// clusterError explains a refusal of CLUSTER.
func clusterError(addr string, err error) error {
	return explain(clusterAnswers, err, "ask "+addr+" for the Cluster", addr, "")
}

// parseTopology reads the answer to CLUSTER SLOTS: an array of [from, to, [host, port, id, ...], ...]. A node that does not
// know its own name leaves the host empty; then it is the one that was asked.
func parseTopology(asked string, answer any) (*topology, error) {
	ranges, ok := answer.([]any)
	if !ok {
		return nil, fmt.Errorf("CLUSTER SLOTS answered with a %T", answer)
	}
	t := &topology{}
	for _, r := range ranges {
		parts, ok := r.([]any)
		if !ok || len(parts) < 3 {
			return nil, errors.New("CLUSTER SLOTS answered strangely")
		}
		from, ok1 := parts[0].(int64)
		to, ok2 := parts[1].(int64)
		if !ok1 || !ok2 || from < 0 || from > to || to >= clusterSlots {
			return nil, errors.New("CLUSTER SLOTS answered with strange slots")
		}
		sr := slotRange{from: uint16(from), to: uint16(to)}
		for _, p := range parts[2:] {
			n, err := parseClusterNode(asked, p)
			if err != nil {
				return nil, err
			}
			sr.nodes = append(sr.nodes, n)
		}
		t.ranges = append(t.ranges, sr)
	}
	return t, nil
}

func parseClusterNode(asked string, answer any) (n clusterNode, err error) {
	f, ok := answer.([]any)
	if !ok || len(f) < 3 {
		return n, errors.New("CLUSTER SLOTS answered with a strange node")
	}
	host, _ := f[0].(string) // it may be nil
	if host == "" || host == "?" {
		host = asked
	}
	port, ok := f[1].(int64)
	if !ok || port <= 0 || port > 65535 {
		return n, errors.New("CLUSTER SLOTS answered with a strange port")
	}
	if n.id, ok = f[2].(string); !ok {
		return n, errors.New("CLUSTER SLOTS answered with a strange ID")
	}
	n.addr = net.JoinHostPort(host, strconv.FormatInt(port, 10))
	return n, nil
}

// redirected returns where a reply sends us to with a word, ASK or MOVED; empty if it does not.
func redirected(err error, word string) string {
	var re *rueidis.RedisError
	if !errors.As(err, &re) {
		return ""
	}
	f := strings.Fields(re.Error())
	if len(f) != 3 || f[0] != word {
		return ""
	}
	return f[2]
}

// underway tells whether an answer of a Cluster passes by: a slot is on its way to another node, or too many nodes do not
// hear each other.
func underway(err error) bool { return serverError(err, "ASK", "TRYAGAIN", "CLUSTERDOWN") }

// slot is the Cluster slot of a key (Cluster specification, "Hash tags": CRC-16/XMODEM of the tag, if there is one).
func slotOf(key string) uint16 {
	if hasTag(key) {
		_, rest, _ := strings.Cut(key, "{")
		key, _, _ = strings.Cut(rest, "}")
	}
	var crc uint16
	for i := range len(key) {
		crc ^= uint16(key[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc % clusterSlots
}
