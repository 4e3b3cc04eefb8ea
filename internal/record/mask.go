package record

import (
	"fmt"
	"slices"
	"strings"
)

// MaskRule hides one field of every record. Field is the field's column in the archive ("ip_address").
type MaskRule struct {
	Field  string
	Action string
}

// What a mask does. An empty value stays empty under each of them.
const (
	// MaskDrop empties the field.
	MaskDrop = "drop"
	// MaskTruncate keeps the network of an address: /24 of IPv4, /48 of IPv6. What is not an address is dropped.
	MaskTruncate = "truncate"
	// MaskHash puts the first 16 hex digits of the value's SHA-256 in its place, so that equal values still group. It has
	// no key: whoever can guess a value (all IPv4 addresses, say) can confirm it.
	MaskHash = "hash"
)

// Masker applies compiled rules. It is safe for concurrent use on different records. A nil Masker does nothing.
//
// A rule hides the field it names and no copy of the value elsewhere, with one exception: with api_key, the gateway's
// tag key-<api key> is masked alike. raw_request and raw_response hold headers, and with them addresses and keys:
// drop them too where those are to be hidden.
type Masker struct {
	steps []func(*Record)
}

// textFields are the fields that are a string and take drop and hash.
var textFields = map[string]func(*Record) *string{
	"ip_address":    func(r *Record) *string { return &r.IPAddress },
	"api_key":       func(r *Record) *string { return &r.APIKey },
	"oauth_id":      func(r *Record) *string { return &r.OauthID },
	"alias":         func(r *Record) *string { return &r.Alias },
	"user_agent":    func(r *Record) *string { return &r.UserAgent },
	"host":          func(r *Record) *string { return &r.Host },
	"path":          func(r *Record) *string { return &r.Path },
	"raw_path":      func(r *Record) *string { return &r.RawPath },
	"original_path": func(r *Record) *string { return &r.OriginalPath },
	"raw_request":   func(r *Record) *string { return &r.RawRequest },
	"raw_response":  func(r *Record) *string { return &r.RawResponse },
}

const maskFields = "ip_address, api_key, oauth_id, alias, user_agent, host, path, raw_path, original_path, raw_request, " +
	"raw_response, tags, geo"

// NewMasker compiles rules. The error names the rule that is wrong and what is allowed in its place.
func NewMasker(rules []MaskRule) (*Masker, error) {
	m := &Masker{}
	seen := make(map[string]bool, len(rules))
	var last []func(*Record)
	for _, rule := range rules {
		step, err := compile(rule)
		switch {
		case err != nil:
			return nil, err
		case seen[rule.Field]:
			return nil, fmt.Errorf("mask of %q is given twice", rule.Field)
		case rule.Field == "tags": // api_key changes one of them, which must still be readable then
			last = append(last, step)
		default:
			m.steps = append(m.steps, step)
		}
		seen[rule.Field] = true
	}
	m.steps = append(m.steps, last...)
	return m, nil
}

// Apply masks r in place. The payload that r was decoded from is not touched.
func (m *Masker) Apply(r *Record) {
	if m == nil {
		return
	}
	for _, step := range m.steps {
		step(r)
	}
}

// DropBodies empties the request and response that the gateway recorded in full.
func DropBodies(r *Record) {
	r.RawRequest = ""
	r.RawResponse = ""
}

func compile(rule MaskRule) (func(*Record), error) {
	mask, err := textMask(rule)
	if err != nil {
		return nil, err
	}
	switch rule.Field {
	case "geo":
		return func(r *Record) { r.Geo = Geo{} }, nil
	case "tags":
		return func(r *Record) { maskTags(r, mask) }, nil
	case "api_key":
		return func(r *Record) {
			r.APIKey = mask(r.APIKey)
			maskKeyTags(r, mask)
		}, nil
	}
	field := textFields[rule.Field]
	return func(r *Record) {
		p := field(r)
		*p = mask(*p)
	}, nil
}

// textMask is what a rule does to one string, if the rule's field allows its action.
func textMask(rule MaskRule) (func(string) string, error) {
	allowed := []string{MaskDrop, MaskHash}
	switch {
	case rule.Field == "geo":
		allowed = []string{MaskDrop}
	case rule.Field == "ip_address":
		allowed = []string{MaskDrop, MaskTruncate, MaskHash}
	case rule.Field != "tags" && textFields[rule.Field] == nil:
		return nil, fmt.Errorf("mask of %q: no such field; a mask can hide %s", rule.Field, maskFields)
	}
	if !slices.Contains(allowed, rule.Action) {
		return nil, fmt.Errorf("mask of %q: no action %q; this field takes %s",
			rule.Field, rule.Action, strings.Join(allowed, ", "))
	}
	switch rule.Action {
	case MaskTruncate:
		return truncateIP, nil
	case MaskHash:
		return hashText, nil
	}
	return func(string) string { return "" }, nil
}
