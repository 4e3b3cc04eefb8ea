package pipeline

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
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
func (c ClaimID) String() string { return string(c.Append(make([]byte, 0, 31))) }

// Append appends what String returns.
func (c ClaimID) Append(dst []byte) []byte {
	dst = appendFixed(dst, c.Epoch.Ms, 16, 12)
	dst = appendFixed(dst, uint64(c.Epoch.Rand), 16, 8)
	return appendFixed(append(dst, '-'), uint64(c.Number), 10, 10)
}

// appendFixed appends a number with leading zeros.
func appendFixed(dst []byte, n uint64, base, width int) []byte {
	var b [64]byte
	s := strconv.AppendUint(b[:0], n, base)
	for i := len(s); i < width; i++ {
		dst = append(dst, '0')
	}
	return append(dst, s...)
}

// String writes epoch, claim number and index in 42 characters that sort as positions do.
func (p Position) String() string {
	return string(appendFixed(append(p.Claim.Append(make([]byte, 0, 42)), '-'), uint64(p.Index), 10, 10))
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
func ParseClaimID(s string) (c ClaimID, err error) {
	if len(s) != 31 || s[20] != '-' {
		return c, fmt.Errorf("%q is not a claim ID", s)
	}
	ms, ok1 := parseFixed(s[:12], 16)
	random, ok2 := parseFixed(s[12:20], 16)
	number, ok3 := parseFixed(s[21:], 10)
	if !ok1 || !ok2 || !ok3 {
		return c, fmt.Errorf("%q is not a claim ID", s)
	}
	return ClaimID{Epoch: Epoch{Ms: ms, Rand: uint32(random)}, Number: uint32(number)}, nil
}

// ParsePosition reads what Position.String wrote.
func ParsePosition(s string) (p Position, err error) {
	if len(s) != 42 || s[31] != '-' {
		return p, fmt.Errorf("%q is not a position", s)
	}
	index, ok := parseFixed(s[32:], 10)
	if p.Claim, err = ParseClaimID(s[:31]); err != nil || !ok {
		return Position{}, fmt.Errorf("%q is not a position", s)
	}
	p.Index = uint32(index)
	return p, nil
}

// parseFixed reads lower-case digits alone; 10 decimal ones must fit into 32 bits.
func parseFixed(s string, base uint64) (n uint64, ok bool) {
	for _, c := range []byte(s) {
		d := uint64(c - '0')
		if c >= 'a' && c <= 'f' {
			d = uint64(c-'a') + 10
		} else if c < '0' || c > '9' {
			return 0, false
		}
		if d >= base {
			return 0, false
		}
		n = n*base + d
	}
	return n, base == 16 || n <= math.MaxUint32
}
