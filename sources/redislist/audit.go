package redislist

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"sluice/internal/pipeline"
)

// auditTries bounds how often a list is read anew because claims were made or finished meanwhile.
const auditTries = 4

// ListAudit is a list as its registry has it at one moment.
type ListAudit struct {
	List      string                `json:"list"`
	Lineage   string                `json:"lineage,omitempty"` // empty: there is no registry
	Uptime    bool                  `json:"uptime,omitempty"`  // it carries uptime records
	Retry     bool                  `json:"retry,omitempty"`   // it holds retried dead letters of one sink
	Epoch     string                `json:"epoch,omitempty"`
	Last      uint32                `json:"last_claim,omitempty"` // number of the last claim that was made
	Owner     string                `json:"owner,omitempty"`      // whose lease it is, or was
	Leased    bool                  `json:"leased"`               // the lease holds
	Until     time.Time             `json:"until,omitzero"`       // by the server's clock
	Home      string                `json:"home,omitempty"`
	Taken     uint64                `json:"taken"`
	Waiting   uint64                `json:"waiting"`         // elements not claimed yet
	Oldest    time.Time             `json:"oldest,omitzero"` // of a partition or a region: of the oldest record that is not settled, as far as that is known
	Claims    []ClaimAudit          `json:"claims,omitempty"`
	Sinks     map[string]SinkAudit  `json:"sinks,omitempty"`
	Strange   []string              `json:"strange,omitempty"` // what does not fit together
	Recorded  map[string]string     `json:"members,omitempty"` // by sink
	Spools    map[string]SpoolAudit `json:"spools,omitempty"`  // by sink
	Lost      uint64                `json:"lost,omitempty"`    // messages of a partition that an operator gave up
	Sheds     map[string]ShedAudit  `json:"sheds,omitempty"`   // by sink
	Suspect   []Suspect             `json:"suspect,omitempty"` // stretches that Redis lost writes of
	FieldSize int                   `json:"registry_bytes"`    // names and values of the registry
}

// Next is where the next claim begins: everything claimed so far lies below it, everything that will be does not.
func (a *ListAudit) Next() pipeline.Position {
	id, _ := pipeline.ParseClaimID(fmt.Sprintf("%s-%010d", a.Epoch, a.Last+1)) // without a registry: zero, nothing was claimed
	return pipeline.Position{Claim: id}
}

// SettledUpTo is up to where a sink has the list's records: what is pending or lies in its spool is above.
func (a *ListAudit) SettledUpTo(sink string) pipeline.Position {
	at := a.Next()
	if s, ok := a.Spools[sink]; ok {
		if p, err := pipeline.ParsePosition(s.From); err == nil {
			at = p
		}
	}
	for _, c := range a.Claims {
		id, err := pipeline.ParseClaimID(c.ID)
		if err != nil || !slices.Contains(c.Owes, sink) || c.Cursors[sink] >= c.Len {
			continue
		}
		if p := (pipeline.Position{Claim: id, Index: c.Cursors[sink]}); p.Compare(at) < 0 {
			at = p
		}
	}
	return at
}

// ClaimAudit is an open claim.
type ClaimAudit struct {
	ID      string            `json:"claim"`
	Len     uint32            `json:"len"`
	Offset  uint32            `json:"offset"`
	Time    time.Time         `json:"time"`
	Owes    []string          `json:"owes"`
	Cursors map[string]uint32 `json:"cursors"`
}

// SpoolAudit is what lies in a sink's spool, and where that is.
type SpoolAudit struct {
	From  string `json:"from"`
	To    string `json:"to"`
	Where string `json:"where"`
}

// ShedAudit is between which bounds records were shed: times of the first and the last claim, and positions. How many it
// was is in the ledger.
type ShedAudit struct {
	First time.Time `json:"first_claim"`
	Last  time.Time `json:"last_claim"`
	From  string    `json:"from"`
	To    string    `json:"to"`
}

// SinkAudit is the ledger of a list and sink: what it was owed (taken) and what became of it. Pending is computed from
// the open claims' cursors. Released is the part of filtered that an operator released.
type SinkAudit struct {
	Taken    uint64 `json:"taken"`
	Released uint64 `json:"released,omitempty"`
	pipeline.Counts
}

// Balanced tells whether every position that the sink was owed is accounted for.
func (s SinkAudit) Balanced() bool {
	return s.Taken == s.Effective+s.Duplicates+s.Filtered+s.DeadLetters+s.Spooled+s.Pending
}

// listView is a list and its registry, read in one atomic step. reg is nil when there is none.
type listView struct {
	waiting uint64
	reg     *registry
	size    int
	lens    map[pipeline.ClaimID]uint64 // of claims that were known before the step

	suspects []Suspect
}

// readList reads a list's registry and length without changing anything.
func readList(ctx context.Context, c *control, l list, claims ...pipeline.ClaimID) (v listView, err error) {
	keys := []string{l.registry(), l.suspects(), l.name}
	for _, id := range claims {
		keys = append(keys, l.claim(id))
	}
	r, _, err := c.eval(ctx, viewScript, keys, nil)
	if err != nil {
		return v, err
	}
	if len(r.all) != len(keys)+1 {
		return v, fmt.Errorf("script view: strange answer for %s", l.name)
	}
	fields, err := r.all[1].AsStrMap()
	if err != nil {
		return v, fmt.Errorf("read the registry of %s: %w", l.name, err)
	}
	suspects, err := r.all[2].AsStrMap()
	if err == nil {
		v.suspects, err = parseSuspects(suspects)
	}
	if err != nil {
		return v, fmt.Errorf("read what is suspect of %s: %w", l.name, err)
	}
	v.waiting, v.lens = uint64(r.int(3)), map[pipeline.ClaimID]uint64{}
	for i, id := range claims {
		v.lens[id] = uint64(r.int(4 + i))
	}
	if len(fields) == 0 {
		return v, nil
	}
	for k, f := range fields {
		v.size += len(k) + len(f)
	}
	v.reg, err = parseRegistry(fields)
	if err != nil {
		err = fmt.Errorf("read the registry of %s: %w", l.name, err)
	}
	return v, err
}

// Audit reads every list that has a registry or elements. It changes nothing and needs no lease.
func (s *Source) Audit(ctx context.Context) ([]ListAudit, error) {
	r, err := s.reach(ctx)
	if err != nil {
		return nil, err
	}
	defer r.close()
	var out []ListAudit
	for _, l := range s.lists {
		var v listView
		var now time.Time
		err := r.on(ctx, l, func(c *control) (err error) {
			if now, err = r.now(ctx, c); err == nil {
				v, err = readListAndClaims(ctx, c, l)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		if v.reg != nil || v.waiting > 0 || len(v.suspects) > 0 {
			out = append(out, v.audit(l, now))
		}
	}
	return out, nil
}

// readListAndClaims reads a list with the lengths of all its claims.
func readListAndClaims(ctx context.Context, c *control, l list) (v listView, err error) {
	var known []pipeline.ClaimID
	for range auditTries {
		if v, err = readList(ctx, c, l, known...); err != nil || v.reg == nil {
			return v, err
		}
		known = known[:0]
		missing := false
		for _, e := range v.reg.Claims {
			known = append(known, e.ID)
			_, ok := v.lens[e.ID]
			missing = missing || !ok
		}
		if !missing {
			break
		}
	}
	return v, nil
}

func (v listView) audit(l list, now time.Time) ListAudit {
	a := ListAudit{List: l.name, Uptime: l.kind == pipeline.Uptime, Retry: l.only != "", Waiting: v.waiting, FieldSize: v.size, Suspect: v.suspects}
	r := v.reg
	if r == nil {
		return a
	}
	a.Lineage, a.Epoch, a.Owner, a.Home, a.Taken, a.Recorded = r.Lineage, epochString(r.Epoch), r.Owner, r.Home, r.Taken, r.Members
	if r.Until > 0 {
		a.Until = time.UnixMilli(r.Until).UTC()
	}
	a.Last = r.N
	a.Leased = r.Owner != "" && a.Until.After(now)
	a.Sinks = map[string]SinkAudit{}
	for sink, cols := range r.Ledger {
		sa := SinkAudit{Taken: cols["taken"], Released: cols["released"]}
		for _, c := range columns {
			*c.of(&sa.Counts) = cols[c.name]
		}
		a.Sinks[sink] = sa
	}
	for _, c := range r.Claims {
		a.Claims = append(a.Claims, ClaimAudit{ID: c.ID.String(), Len: c.Len, Offset: c.Offset, Time: c.Time, Owes: c.Sinks, Cursors: c.Cursor})
		for _, sink := range c.Sinks {
			sa := a.Sinks[sink]
			sa.Pending += uint64(c.Len - min(c.Len, c.Cursor[sink]))
			a.Sinks[sink] = sa
		}
		a.Strange = append(a.Strange, v.strange(c)...)
	}
	for sink, s := range r.Spools {
		if a.Spools == nil {
			a.Spools = map[string]SpoolAudit{}
		}
		a.Spools[sink] = SpoolAudit{From: s.From.String(), To: s.To.String(), Where: s.Where}
	}
	if len(r.Sheds) > 0 {
		a.Sheds = r.Sheds
	}
	for _, sink := range slices.Sorted(maps.Keys(a.Sinks)) {
		if !a.Sinks[sink].Balanced() {
			a.Strange = append(a.Strange, fmt.Sprintf("the ledger of sink %s does not balance", sink))
		}
		if _, ok := r.Spools[sink]; ok != (a.Sinks[sink].Spooled > 0) {
			a.Strange = append(a.Strange, fmt.Sprintf("%d records of sink %s count as spooled, a spool is named: %t", a.Sinks[sink].Spooled, sink, ok))
		}
	}
	return a
}

// strange says what does not fit together of a claim.
func (v listView) strange(c claimEntry) (out []string) {
	add := func(format string, args ...any) {
		out = append(out, fmt.Sprintf("claim %s: ", c.ID)+fmt.Sprintf(format, args...))
	}
	if n, ok := v.lens[c.ID]; ok {
		switch {
		case n == 0:
			add("its elements are missing, from %d to %d", c.Offset, c.Len)
		case uint64(c.Offset)+n != uint64(c.Len):
			add("it has %d elements behind offset %d, %d were recorded", n, c.Offset, c.Len)
		}
	}
	if c.Offset > c.least() {
		add("it is trimmed to %d, beyond the least cursor %d", c.Offset, c.least())
	}
	for sink, cur := range c.Cursor {
		if cur > c.Len {
			add("the cursor of sink %s is at %d of %d", sink, cur, c.Len)
		}
	}
	if _, ok := v.reg.Shapes[c.Key]; !ok {
		add("its shape %s is missing", c.Key)
	}
	return out
}
