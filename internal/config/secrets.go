package config

import (
	"cmp"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// masked stands for a value that is not shown.
const masked = "***"

// secretParameter finds query parameters of a URI that hold secrets (MongoDB: authMechanismProperties may carry a
// session token, tlsCertificateKeyFilePassword a password).
var secretParameter = regexp.MustCompile(`(?i)([?&;][^=&;]*(?:password|secret|token|credential|api_?key|signature|authmechanismproperties)[^=&;]*=)([^&;]*)`)

// openParameter tells whether an option of a URI is never secret and worth seeing.
func openParameter(name string) bool {
	switch strings.ToLower(name) {
	case "replicaset", "tls", "ssl", "authsource", "authmechanism", "directconnection", "readpreference", "retrywrites",
		"w", "journal", "appname":
		return true
	}
	return false
}

// maskURI hides passwords in a text that is a URI. What is unclear is hidden rather than shown: a password with an @ or
// a slash that should have been escaped is hidden to the last @.
func maskURI(s string) string {
	from, to, ok := passwordIn(s)
	if ok {
		s = s[:from] + masked + s[to:]
	}
	if !strings.Contains(s, "://") {
		return s
	}
	return secretParameter.ReplaceAllString(s, "${1}"+masked)
}

// maskSecretURI is maskURI for a key that is a secret as a whole: what is left is scheme, hosts, path and the names of
// its options.
func maskSecretURI(s string) string {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return masked
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		rest = masked + rest[at:]
	}
	return scheme + "://" + anyParameter.ReplaceAllStringFunc(rest, func(option string) string {
		name, _, _ := strings.Cut(option[1:], "=")
		if openParameter(name) {
			return option
		}
		return option[:1] + name + "=" + masked
	})
}

var anyParameter = regexp.MustCompile(`[?&;][^=&;]*=[^&;]*`)

// passwordIn finds the password of a URI's user information.
func passwordIn(s string) (from, to int, ok bool) {
	start := strings.Index(s, "://")
	if start < 0 {
		return 0, 0, false
	}
	start += len("://")
	at := strings.LastIndexByte(s[start:], '@')
	if at < 0 {
		return 0, 0, false
	}
	colon := strings.IndexByte(s[start:start+at], ':')
	if colon < 0 {
		return 0, 0, false
	}
	return start + colon + 1, start + at, true
}

// secretsIn lists the secret parts of a URI.
func secretsIn(s string) []string {
	var out []string
	if from, to, ok := passwordIn(s); ok {
		out = append(out, s[from:to])
	}
	if strings.Contains(s, "://") {
		for _, m := range secretParameter.FindAllStringSubmatch(s, -1) {
			out = append(out, m[2])
		}
	}
	return out
}

// scrubber takes known secrets out of texts that others wrote, such as the problems that a sink's package reports or
// the errors of a parser that repeats its input.
type scrubber struct{ secrets []string }

const (
	// A shorter secret is taken out in quotes only, or every message that shares its letters would be unreadable.
	minSecret = 3
	// The same for a value that came from a reference and is probably no secret, such as a region or 30s.
	minReferenced = 6
)

func newScrubber(c *Config, root *node) *scrubber {
	s := &scrubber{}
	root.each("", func(_ string, n *node) {
		for _, secret := range secretsIn(n.text) {
			s.add(secret, minSecret)
		}
		for _, part := range n.parts {
			s.add(part, minReferenced)
		}
		if n.hidden && !n.pending {
			s.add(n.text, minReferenced)
		}
	})
	if c != nil {
		w := shower{visit: func(secret string) { s.add(secret, minSecret) }}
		w.value(reflect.ValueOf(c).Elem(), "", field{})
	}
	s.sort()
	return s
}

// sort puts the longest first, so that none is taken for a part of another.
func (s *scrubber) sort() {
	slices.SortFunc(s.secrets, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	s.secrets = slices.Compact(s.secrets)
}

func (s *scrubber) add(secret string, least int) {
	if secret == "" {
		return
	}
	quoted := strconv.Quote(secret)
	forms := []string{secret, quoted[1 : len(quoted)-1], url.QueryEscape(secret), url.PathEscape(secret)}
	if plain, err := url.PathUnescape(secret); err == nil {
		forms = append(forms, plain)
	}
	for _, form := range forms {
		switch {
		case len(form) >= least:
			s.secrets = append(s.secrets, form)
		case form != "":
			s.secrets = append(s.secrets, `"`+form+`"`)
		}
	}
}

func (s *scrubber) clean(text string) string {
	for _, secret := range s.secrets {
		if strings.HasPrefix(secret, `"`) && len(secret) > 2 {
			text = strings.ReplaceAll(text, secret, `"`+masked+`"`)
			continue
		}
		text = strings.ReplaceAll(text, secret, masked)
	}
	return text
}
