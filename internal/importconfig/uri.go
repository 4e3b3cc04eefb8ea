package importconfig

import (
	"net/url"
	"slices"
	"strings"
)

// mongoURI is a MongoDB connection string in parts. It is cut with more tolerance than the driver has, so that no part of a
// password that should have been escaped lands outside of it.
type mongoURI struct {
	scheme, user    string
	password        bool
	hosts, database string
	options         []string
}

func parseURI(s string) *mongoURI {
	u := &mongoURI{scheme: "mongodb://"}
	if at := strings.Index(s, "://"); at >= 0 {
		u.scheme, s = s[:at+3], s[at+3:]
	}
	if at := strings.LastIndex(s, "@"); at >= 0 {
		u.user, _, u.password = strings.Cut(s[:at], ":")
		s = s[at+1:]
	}
	s, query, _ := strings.Cut(s, "?")
	u.hosts, u.database, _ = strings.Cut(s, "/")
	if db, err := url.PathUnescape(u.database); err == nil {
		u.database = db
	}
	u.options = strings.FieldsFunc(query, func(r rune) bool { return r == '&' || r == ';' })
	return u
}

func option(pair string) (name, value string) {
	name, value, _ = strings.Cut(pair, "=")
	return strings.ToLower(name), value
}

func (u *mongoURI) has(name string) bool {
	return slices.ContainsFunc(u.options, func(o string) bool { n, _ := option(o); return n == name })
}

// add appends an option, unless it has no value or is there.
func (u *mongoURI) add(name, value string) {
	if value != "" && !u.has(strings.ToLower(name)) {
		u.options = append(u.options, name+"="+strings.ReplaceAll(url.QueryEscape(value), "+", "%20"))
	}
}

// refused takes out the options that would let a write count too early, and names them.
func (u *mongoURI) refused() []string {
	return u.remove(func(name, value string) bool {
		switch name {
		case "w":
			return value != "majority"
		case "j", "journal":
			return value == "false"
		case "readconcernlevel":
			return value != "majority" && value != "linearizable"
		}
		return false
	})
}

// withSecrets takes out the options that hold secrets, and names them.
func (u *mongoURI) withSecrets() []string {
	return u.remove(func(name, value string) bool {
		return strings.Contains(name, "password") || strings.Contains(strings.ToLower(value), "token")
	})
}

func (u *mongoURI) remove(which func(name, value string) bool) (names []string) {
	u.options = slices.DeleteFunc(u.options, func(o string) bool {
		name, value := option(o)
		gone := which(name, value)
		if gone {
			names = append(names, name)
		}
		return gone
	})
	return names
}

// text is the URI with password, which may be a reference, in its place.
func (u *mongoURI) text(password string) string {
	s := literal(u.scheme)
	if u.user != "" || u.password {
		s += literal(u.user)
		if u.password {
			s += ":" + password
		}
		s += "@"
	}
	s += literal(u.hosts) + "/" + literal(url.PathEscape(u.database))
	if len(u.options) > 0 {
		s += "?" + literal(strings.Join(u.options, "&"))
	}
	return s
}
