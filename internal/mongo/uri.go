// Package mongo has what the MongoDB sinks share: which URIs are acceptable, how a client is made, and what the
// driver's errors mean to the pipeline.
package mongo

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/mongo/readconcern"
	"go.mongodb.org/mongo-driver/x/mongo/driver/connstring"

	"sluice/internal/units"
)

const (
	schemePlain = "mongodb://"
	schemeSRV   = "mongodb+srv://"
)

// ValidateURI tells what is wrong with a connection string, without any I/O and without repeating its credentials. key
// is the configuration key to name.
//
// Writes always wait for a majority of the members, since a record that only a minority has is lost when that minority
// is. A URI that asks for less is refused rather than overruled in silence.
func ValidateURI(key, uri string) []units.Problem {
	if uri == "" {
		return problem(key, "is missing", "write it like mongodb://host1,host2/?replicaSet=rs0")
	}
	if !strings.HasPrefix(uri, schemePlain) && !strings.HasPrefix(uri, schemeSRV) {
		return problem(key, "is not a MongoDB URI", "begin it with mongodb:// or mongodb+srv://")
	}
	if !escaped(userinfo(uri)) {
		return problem(key, "has a user name or password with an unescaped character",
			"write / ? # [ ] @ : % and spaces in them as %2F %3F %23 %5B %5D %40 %3A %25 %20")
	}
	if problems := validateOptions(key, uri); problems != nil {
		return problems
	}
	if _, err := connstring.ParseAndValidate(withoutSecrets(uri)); err != nil {
		return problem(key, "cannot be read: "+err.Error(), "see the MongoDB manual, connection strings")
	}
	return nil
}

// escaped tells whether user name and password hold nothing that would have to be written as %XX.
func escaped(userinfo string) bool {
	_, err := url.PathUnescape(userinfo)
	return err == nil && !strings.ContainsAny(userinfo, "/?#[]@ ") && strings.Count(userinfo, ":") <= 1
}

func problem(key, what, cure string) []units.Problem {
	return []units.Problem{{Key: key, What: what, Cure: cure}}
}

// validateOptions checks those options that say when a write is acknowledged.
func validateOptions(key, uri string) (problems []units.Problem) {
	for name, value := range uriOptions(uri) {
		switch name {
		case "w":
			if value != "majority" {
				problems = append(problems, units.Problem{Key: key,
					What: "asks for w=" + value + ", but writes always wait for a majority of the members",
					Cure: "remove w from the URI, or write w=majority"})
			}
		case "journal", "j":
			if value == "false" {
				problems = append(problems, units.Problem{Key: key,
					What: "asks for journal=false, but a write counts only when it is on disk",
					Cure: "remove " + name + " from the URI"})
			}
		case "readconcernlevel":
			if value != readconcern.Majority().Level && value != readconcern.Linearizable().Level {
				problems = append(problems, units.Problem{Key: key,
					What: "asks for readConcernLevel=" + value + ", but what only a minority of the members has may be taken back",
					Cure: "remove readConcernLevel from the URI, or write majority or linearizable"})
			}
		case "wtimeoutms":
			if _, ok := writeTimeout(value); !ok {
				problems = append(problems, units.Problem{Key: key,
					What: "asks for wtimeoutMS=" + value + ", which is out of bounds",
					Cure: fmt.Sprintf("write %d to %d, or remove it (%d)", minWriteTimeout.Milliseconds(), maxWriteTimeout.Milliseconds(), WriteTimeout.Milliseconds())})
			}
		}
	}
	slices.SortFunc(problems, func(a, b units.Problem) int { return strings.Compare(a.What, b.What) })
	return problems
}

// writeTimeout reads wtimeoutMS.
func writeTimeout(value string) (time.Duration, bool) {
	ms, err := strconv.Atoi(value)
	d := time.Duration(ms) * time.Millisecond
	return d, err == nil && ms <= int(maxWriteTimeout.Milliseconds()) && d >= minWriteTimeout
}

// Target names the store behind a URI and a database, without credentials and options: equal for equal stores as far as
// that can be told without asking anybody.
func Target(uri, database string) string {
	hosts := strings.Split(strings.ToLower(authority(uri)), ",")
	for i, h := range hosts {
		if strings.HasPrefix(uri, schemePlain) && !strings.Contains(h, ":") {
			hosts[i] = h + ":27017"
		}
	}
	slices.Sort(hosts)
	return "mongodb://" + strings.Join(slices.Compact(hosts), ",") + "/" + database
}

// split cuts a URI into scheme, the part with user and hosts, and the rest from the slash or question mark on. A
// password may hold neither unescaped, but one that does is to be noticed, hence the last @.
func split(uri string) (scheme, auth, rest string) {
	at := strings.Index(uri, "://")
	if at < 0 {
		return "", "", uri
	}
	scheme, auth = uri[:at+3], uri[at+3:]
	from := max(strings.LastIndex(auth, "@"), 0)
	if end := strings.IndexAny(auth[from:], "/?"); end >= 0 {
		return scheme, auth[:from+end], auth[from+end:]
	}
	return scheme, auth, ""
}

func userinfo(uri string) string {
	_, auth, _ := split(uri)
	return auth[:max(strings.LastIndex(auth, "@"), 0)]
}

func authority(uri string) string {
	_, auth, _ := split(uri)
	return auth[strings.LastIndex(auth, "@")+1:]
}

// uriOptions are the options after the question mark, names in lower case; of repeated ones the last.
func uriOptions(uri string) map[string]string {
	_, _, rest := split(uri)
	_, query, _ := strings.Cut(rest, "?")
	options := map[string]string{}
	for pair := range strings.FieldsFuncSeq(query, func(r rune) bool { return r == '&' || r == ';' }) {
		name, value, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(value); err == nil {
			value = plain
		}
		options[strings.ToLower(name)] = value
	}
	return options
}

// withoutSecrets is the URI with made-up credentials, and without the lookup in DNS that the srv scheme means: what is
// left can be parsed without I/O, and an error about it may be shown.
func withoutSecrets(uri string) string {
	scheme, auth, rest := split(uri)
	if at := strings.LastIndex(auth, "@"); at >= 0 {
		auth = "user:password" + auth[at:]
	}
	path, query, _ := strings.Cut(rest, "?")
	var kept []string
	for pair := range strings.FieldsFuncSeq(query, func(r rune) bool { return r == '&' || r == ';' }) {
		if scheme == schemeSRV && strings.HasPrefix(strings.ToLower(pair), "srv") {
			continue
		}
		kept = append(kept, harmless(pair))
	}
	return schemePlain + auth + "/" + strings.TrimPrefix(path, "/") + "?" + strings.Join(kept, "&")
}

// harmless is an option with a made-up value where the value is a secret.
func harmless(pair string) string {
	name, value, _ := strings.Cut(pair, "=")
	switch strings.ToLower(name) {
	case "tlscertificatekeyfilepassword", "sslclientcertificatekeypassword":
		return name + "=password"
	case "authmechanismproperties":
		props := strings.Split(value, ",")
		for i, p := range props {
			if key, _, ok := strings.Cut(p, ":"); ok && strings.EqualFold(key, "AWS_SESSION_TOKEN") {
				props[i] = key + ":token"
			}
		}
		return name + "=" + strings.Join(props, ",")
	}
	return pair
}
