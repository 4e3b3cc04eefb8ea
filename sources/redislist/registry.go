package redislist

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/internal/pipeline"
)

// registry is a list's registry as it was read in one step. See decision 0001 for the fields.
type registry struct {
	Lineage string
	Epoch   pipeline.Epoch
	IDs     string
	N       uint32
	Base    uint32 // N when the epoch began, if BaseOf is the epoch: an older program may have begun it
	BaseOf  pipeline.Epoch
	Owner   string
	Until   int64 // server milliseconds
	Home    string
	Taken   uint64
	Claims  []claimEntry // in order
	Shapes  map[string]string
	Members map[string]string            // by sink, as recorded
	Spools  map[string]pipeline.Spooled  // by sink
	Notes   map[string]string            // by sink
	Sheds   map[string]ShedAudit         // by sink
	Now     time.Time                    // the server's, where the script told it
	Ledger  map[string]map[string]uint64 // by sink and column
}

// claimEntry is an open claim as the registry has it.
type claimEntry struct {
	ID     pipeline.ClaimID
	Len    uint32
	Time   time.Time
	Key    string // of its shape
	Sinks  []string
	Local  bool
	Offset uint32
	Cursor map[string]uint32
}

// parseRegistry reads what HGETALL answered. It holds for whatever the hash holds: fields nobody knows are left alone.
func parseRegistry(f map[string]string) (*registry, error) {
	if len(f) == 0 {
		return nil, errors.New("there is no registry")
	}
	if f["v"] != "1" && f["v"] != "2" {
		return nil, fmt.Errorf("the registry has layout %q, this program knows 1 and 2", f["v"])
	}
	r := &registry{
		Lineage: f["lineage"], IDs: f["ids"], Owner: f["owner"], Home: f["home"],
		Shapes: map[string]string{}, Members: map[string]string{}, Spools: map[string]pipeline.Spooled{}, Sheds: map[string]ShedAudit{}, Notes: map[string]string{}, Ledger: map[string]map[string]uint64{},
	}
	if b, err := hex.DecodeString(r.Lineage); err != nil || len(b) != 16 {
		return nil, fmt.Errorf("lineage %q is not 32 hex characters", r.Lineage)
	}
	var err error
	if r.Epoch, err = parseEpoch(f["epoch"]); err != nil {
		return nil, err
	}
	p := fieldParser{f: f}
	r.N = uint32(p.uint("n", 32))
	r.Taken = p.uint("taken", 64)
	if epoch, n, ok := strings.Cut(f["base"], " "); ok {
		of, err1 := parseEpoch(epoch)
		base, err2 := strconv.ParseUint(n, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("the registry's base is %q", f["base"])
		}
		r.BaseOf, r.Base = of, uint32(base)
	}
	if f["until"] != "" {
		r.Until = int64(p.uint("until", 63))
	}
	for k, v := range f {
		kind, rest, ok := strings.Cut(k, ":")
		if !ok {
			continue
		}
		switch kind {
		case "c":
			c, err := parseClaim(rest, v)
			if err != nil {
				return nil, err
			}
			r.Claims = append(r.Claims, c)
		case "f":
			r.Shapes[rest] = v
		case "m":
			r.Members[rest] = v
		case "p":
			r.Notes[rest] = v
		case "s":
			if r.Spools[rest], err = parseSpooled(v); err != nil {
				return nil, err
			}
		case "d":
			if r.Sheds[rest], err = parseShed(v); err != nil {
				return nil, err
			}
		case "k":
			if i := strings.LastIndexByte(rest, ':'); i > 0 {
				r.count(rest[:i], rest[i+1:], p.uint(k, 64))
			}
		}
	}
	for i := range r.Claims {
		c := &r.Claims[i]
		name := c.ID.String()
		c.Offset = uint32(p.uint("o:"+name, 32))
		for _, s := range c.Sinks {
			if k := "i:" + name + ":" + s; f[k] != "" {
				c.Cursor[s] = uint32(p.uint(k, 32))
			}
		}
	}
	slices.SortFunc(r.Claims, func(a, b claimEntry) int { return a.ID.Compare(b.ID) })
	return r, p.err
}

func (r *registry) count(sink, column string, n uint64) {
	if r.Ledger[sink] == nil {
		r.Ledger[sink] = map[string]uint64{}
	}
	r.Ledger[sink][column] = n
}

type fieldParser struct {
	f   map[string]string
	err error
}

func (p *fieldParser) uint(key string, bits int) uint64 {
	n, err := strconv.ParseUint(p.f[key], 10, bits)
	if err != nil && p.err == nil {
		p.err = fmt.Errorf("field %q of the registry is %q, not a number", key, p.f[key])
	}
	return n
}

// parseEpoch reads 12 hex characters of milliseconds and 8 of chance.
func parseEpoch(s string) (pipeline.Epoch, error) {
	id, err := pipeline.ParseClaimID(s + "-0000000000")
	if err != nil {
		return pipeline.Epoch{}, fmt.Errorf("%q is not an epoch", s)
	}
	return id.Epoch, nil
}

// epochString writes what parseEpoch reads.
func epochString(e pipeline.Epoch) string { return pipeline.ClaimID{Epoch: e}.String()[:20] }

// parseClaim reads a c: field.
func parseClaim(name, v string) (c claimEntry, err error) {
	bad := func() (claimEntry, error) { return claimEntry{}, fmt.Errorf("claim %q is recorded as %q", name, v) }
	if c.ID, err = pipeline.ParseClaimID(name); err != nil {
		return bad()
	}
	w := strings.Split(v, " ")
	if len(w) != 4 && (len(w) != 5 || w[4] != "local") {
		return bad()
	}
	n, err1 := strconv.ParseUint(w[0], 10, 32)
	ms, err2 := strconv.ParseInt(w[1], 10, 64)
	if cmp.Or(err1, err2) != nil || w[2] == "" || w[3] == "" {
		return bad()
	}
	c.Len, c.Time, c.Key = uint32(n), time.UnixMilli(ms).UTC(), w[2]
	c.Sinks, c.Local, c.Cursor = strings.Split(w[3], ","), len(w) == 5, map[string]uint32{}
	return c, nil
}

// least is the index that every owed sink has reached.
func (c *claimEntry) least() uint32 {
	n := c.Len
	for _, s := range c.Sinks {
		n = min(n, c.Cursor[s])
	}
	return n
}

// parseMembers reads an m: field.
func parseMembers(v string) (m pipeline.MemberRange, err error) {
	w := strings.SplitN(v, " ", 3)
	if len(w) != 3 {
		return m, fmt.Errorf("members are recorded as %q", v)
	}
	if m.From, err = pipeline.ParsePosition(w[0]); err != nil {
		return m, err
	}
	if m.To, err = pipeline.ParsePosition(w[1]); err != nil {
		return m, err
	}
	m.Tag = w[2]
	return m, nil
}

func membersString(m pipeline.MemberRange) string {
	return m.From.String() + " " + m.To.String() + " " + m.Tag
}

// parseShed reads a d: field.
func parseShed(v string) (s ShedAudit, err error) {
	w := strings.Split(v, " ")
	if len(w) != 4 {
		return s, fmt.Errorf("what was shed is recorded as %q", v)
	}
	first, err1 := strconv.ParseInt(w[0], 10, 64)
	last, err2 := strconv.ParseInt(w[1], 10, 64)
	_, err3 := pipeline.ParsePosition(w[2])
	_, err4 := pipeline.ParsePosition(w[3])
	if err := cmp.Or(err1, err2, err3, err4); err != nil {
		return s, fmt.Errorf("what was shed is recorded as %q: %w", v, err)
	}
	return ShedAudit{First: time.UnixMilli(first).UTC(), Last: time.UnixMilli(last).UTC(), From: w[2], To: w[3]}, nil
}

// parseSpooled reads an s: field.
func parseSpooled(v string) (s pipeline.Spooled, err error) {
	w := strings.SplitN(v, " ", 3)
	if len(w) != 3 || w[2] == "" {
		return s, fmt.Errorf("a spool is recorded as %q", v)
	}
	if s.From, err = pipeline.ParsePosition(w[0]); err != nil {
		return s, err
	}
	if s.To, err = pipeline.ParsePosition(w[1]); err != nil {
		return s, err
	}
	s.Where = w[2]
	return s, nil
}
