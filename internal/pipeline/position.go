package pipeline

import (
	"cmp"
	"fmt"
)

// Epoch is a stretch of one Redis history. It sorts by its server time and never repeats, even after a restore.
type Epoch struct {
	Ms   uint64 // server time in milliseconds at which it began, 48 bits
	Rand uint32
}

// ClaimID names a claim within its lineage. Claims of a lineage are totally ordered.
type ClaimID struct {
	Epoch  Epoch
	Number uint32 // goes up by one a claim, also across epochs
}

// Position is a place in a lineage: an index within a claim. As the position of a record it names the record, as a
// cursor or the end of a range it means: everything below.
type Position struct {
	Claim ClaimID
	Index uint32
}

// String writes the claim ID in 31 characters that sort as claims do.
func (c ClaimID) String() string {
	return fmt.Sprintf("%012x%08x-%010d", c.Epoch.Ms, c.Epoch.Rand, c.Number)
}

// String writes epoch, claim number and index in 42 characters that sort as positions do.
func (p Position) String() string {
	return fmt.Sprintf("%s-%010d", p.Claim, p.Index)
}

// Compare orders claims of one lineage.
func (c ClaimID) Compare(d ClaimID) int {
	return cmp.Or(cmp.Compare(c.Epoch.Ms, d.Epoch.Ms), cmp.Compare(c.Epoch.Rand, d.Epoch.Rand),
		cmp.Compare(c.Number, d.Number))
}

// Compare orders positions of one lineage.
func (p Position) Compare(q Position) int {
	return cmp.Or(p.Claim.Compare(q.Claim), cmp.Compare(p.Index, q.Index))
}

// ParseClaimID reads what ClaimID.String wrote.
func ParseClaimID(s string) (ClaimID, error) {
	var c ClaimID
	if len(s) != 31 {
		return c, fmt.Errorf("%q is not a claim ID", s)
	}
	if _, err := fmt.Sscanf(s, "%12x%8x-%10d", &c.Epoch.Ms, &c.Epoch.Rand, &c.Number); err != nil || c.String() != s {
		return ClaimID{}, fmt.Errorf("%q is not a claim ID", s)
	}
	return c, nil
}

// ParsePosition reads what Position.String wrote.
func ParsePosition(s string) (Position, error) {
	var p Position
	if len(s) != 42 {
		return p, fmt.Errorf("%q is not a position", s)
	}
	c, err := ParseClaimID(s[:31])
	if err != nil {
		return p, fmt.Errorf("%q is not a position", s)
	}
	p.Claim = c
	if _, err := fmt.Sscanf(s[31:], "-%10d", &p.Index); err != nil || p.String() != s {
		return Position{}, fmt.Errorf("%q is not a position", s)
	}
	return p, nil
}
