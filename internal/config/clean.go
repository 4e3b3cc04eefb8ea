package config

import (
	"encoding/base64"
	"reflect"
	"strings"
)

// minCleaned is the length from which on a secret is taken out of texts of a running program: a shorter one would take
// parts of ordinary words with it, and guards nothing.
const minCleaned = 6

// Clean takes every secret of the configuration out of a text that others wrote: an answer of a store, say, that repeats
// what it was sent. It finds them as they are, quoted, escaped for a URL, and in base64; also those that AWS's default
// chain takes from the environment. It is safe for concurrent use.
func (c *Config) Clean(text string) string {
	for _, secret := range c.secrets {
		if strings.Contains(text, secret) {
			text = strings.ReplaceAll(text, secret, masked)
		}
	}
	return text
}

// cleaned lists what Clean takes out, the longest first. What came from a reference and is no secret by its key stays.
func cleaned(c *Config, root *node, env []string) []string {
	s := &scrubber{}
	add := func(secret string) {
		if len(secret) < minCleaned {
			return
		}
		s.add(secret, minCleaned)
		s.secrets = append(s.secrets, inBase64(secret)...)
	}
	root.each("", func(_ string, n *node) {
		for _, secret := range secretsIn(n.text) {
			add(secret)
		}
	})
	for _, name := range []string{"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
		if v, ok := lookup(env, name); ok {
			add(v)
		}
	}
	w := shower{visit: add}
	w.value(reflect.ValueOf(c).Elem(), "", field{})
	s.sort()
	return s.secrets
}

// inBase64 is what a text looks like inside of something longer that was written in base64, at each of the three places
// that it can have: without the characters at its edges, which hold bits of what is beside it.
func inBase64(text string) (forms []string) {
	for before := range 3 {
		n := before + len(text)
		all := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("\x00", before) + text))
		from, to := (before*8+5)/6, n*8/6
		forms = append(forms, all[from:to], strings.NewReplacer("+", "-", "/", "_").Replace(all[from:to]))
	}
	return forms
}
