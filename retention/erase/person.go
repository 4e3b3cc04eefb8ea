// Package erase takes somebody's records out of the stores, or makes them nobody's.
package erase

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sluice/internal/record"
	"sluice/retention/plan"
)

// Person is whose records are meant: those with one of the keys, of the organisation and of one of the APIs. What is empty
// does not choose. Keys count also as a mask has hidden them by their hash.
type Person struct {
	Keys      []string
	Org       string
	APIs      []string
	From, To  time.Time // of the records; zero: no bound
	Anonymise bool      // and not delete
	Holds     []plan.Hold
}

// Nobody is the key of records that were made nobody's.
const Nobody = "erased"

// New adds the hashes of keys, and makes sure that somebody is meant.
func New(p Person) (*Person, error) {
	if len(p.Keys) == 0 && p.Org == "" {
		return nil, fmt.Errorf("name a key or an organisation")
	}
	hash, err := record.NewMasker([]record.MaskRule{{Field: "api_key", Action: record.MaskHash}})
	if err != nil {
		return nil, err
	}
	for _, k := range slices.Clone(p.Keys) {
		if k == "" || k == Nobody {
			return nil, fmt.Errorf("%q is no key of anybody", k)
		}
		r := record.Record{APIKey: k}
		hash.Apply(&r)
		p.Keys = append(p.Keys, r.APIKey)
	}
	return &p, nil
}

// Takes tells whether a record is the person's, and was not made nobody's.
func (p *Person) Takes(r *record.Record) bool {
	return (len(p.Keys) == 0 || slices.Contains(p.Keys, r.APIKey)) && (p.Org == "" || p.Org == r.OrgID) &&
		(len(p.APIs) == 0 || slices.Contains(p.APIs, r.APIID)) && r.APIKey != Nobody &&
		(p.From.IsZero() || !r.TimeStamp.Before(p.From)) && (p.To.IsZero() || r.TimeStamp.Before(p.To))
}

// Held is the hold that a record is under, nil if there is none.
func (p *Person) Held(org string, t time.Time) *plan.Hold {
	for i := range p.Holds {
		h := &p.Holds[i]
		if (h.Org == "*" || h.Org == org) && (h.From.IsZero() || !t.Before(h.From)) && (h.To.IsZero() || t.Before(h.To)) {
			return h
		}
	}
	return nil
}

// HeldError says that records on hold were met while others were taken out. They stay as they are.
type HeldError struct{ Holds []string }

func (e *HeldError) Error() string {
	return "records that are on hold came since the plan was made, and stay: " + strings.Join(e.Holds, "; ")
}

// NewHeldError is nil if no hold was met.
func NewHeldError(holds []string) error {
	if len(holds) == 0 {
		return nil
	}
	return &HeldError{holds}
}

// Verb is what is done.
func (p *Person) Verb() plan.Verb {
	if p.Anonymise {
		return plan.Anonymise
	}
	return plan.Erase
}

// String names whose records are meant.
func (p *Person) String() string {
	var s []string
	if n := len(p.Keys); n > 0 {
		s = append(s, fmt.Sprintf("%d keys, as they are and hashed", n/2))
	}
	if p.Org != "" {
		s = append(s, "organisation "+p.Org)
	}
	if len(p.APIs) > 0 {
		s = append(s, "APIs "+strings.Join(p.APIs, ", "))
	}
	return strings.Join(s, ", ")
}

// Anonymise takes from a record what tells whose it is: key, OAuth client, alias, address, place, user agent, bodies, and
// the gateway's tag of the key. Path and host stay.
func Anonymise(r *record.Record) {
	r.APIKey, r.OauthID, r.Alias, r.IPAddress, r.UserAgent, r.RawRequest, r.RawResponse = Nobody, "", "", "", "", "", ""
	country := r.Geo.Country
	r.Geo = record.Geo{Country: country}
	r.Tags = slices.DeleteFunc(slices.Clone(r.Tags), func(t string) bool { return strings.HasPrefix(t, "key-") })
}
