package redislist

import (
	"bytes"
	"encoding/json"
	"net"
	"testing"
)

// FuzzTopology reads answers to CLUSTER SLOTS of any content, written as JSON: an error, or slots that there are and nodes with an
// address.
func FuzzTopology(f *testing.F) {
	f.Add([]byte(`[[0,5460,["10.0.0.1",6379,"id1"],["",6380,"id2",["hostname","x"]]],[5461,16383,[null,6379,"id3"]]]`))
	f.Add([]byte(`[[0,16384,["h",1,"i"]]]`))
	f.Add([]byte(`[[9,3,["h",1,"i"]],[1,2],["0",1,["h",0,"i"]]]`))
	f.Add([]byte(`"MOVED"`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		var answer any
		if d.Decode(&answer) != nil {
			return
		}
		topo, err := parseTopology("asked", asRedis(answer))
		if err != nil {
			return
		}
		for _, r := range topo.ranges {
			if r.from > r.to || r.to >= clusterSlots || len(r.nodes) == 0 || len(topo.owner(r.from)) == 0 {
				t.Fatalf("%+v", r)
			}
			for _, n := range r.nodes {
				if host, port, err := net.SplitHostPort(n.addr); err != nil || host == "" || port == "0" {
					t.Fatalf("%q: %v", n.addr, err)
				}
			}
		}
		if n := len(topo.addrs()); n < len(topo.ranges) {
			t.Fatalf("%d addresses of %d ranges", n, len(topo.ranges))
		}
	})
}

// asRedis turns numbers into those of Redis.
func asRedis(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		return v.String()
	case []any:
		for i := range v {
			v[i] = asRedis(v[i])
		}
	}
	return v
}

// FuzzSuspects reads recorded stretches of any content: an error, or stretches in the order of their beginnings.
func FuzzSuspects(f *testing.F) {
	f.Add("a", "1790000000000 1790000003600 2 00112233445566778899aabbccddeeff", "b", "1690000000000 1690000003600 1 x")
	f.Add("", "-1 9223372036854775807 0 ", "b", "1 2 3")
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2 string) {
		fields := map[string]string{k1: v1, k2: v2}
		all, err := parseSuspects(fields)
		if err != nil {
			return
		}
		if len(all) != len(fields) {
			t.Fatalf("%d of %d", len(all), len(fields))
		}
		for i, s := range all {
			if _, ok := fields[s.ID]; !ok || i > 0 && all[i-1].From.After(s.From) {
				t.Fatalf("%+v", all)
			}
		}
	})
}
