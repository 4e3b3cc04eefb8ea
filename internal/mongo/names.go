package mongo

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"sluice/internal/units"
)

// Limits of MongoDB, in bytes (manual, "MongoDB Limits and Thresholds").
const (
	MaxDatabase = 63
	// MaxNamespace is for database, dot and collection, of 4.4 and later; an older server refuses a shorter name itself,
	// with InvalidNamespace.
	MaxNamespace = 255
)

// ValidateDatabase tells what is wrong with the name of the database that the Dashboard reads. key is the configuration
// key to name.
func ValidateDatabase(key, name string) []units.Problem {
	switch {
	case name == "":
		return problem(key, "is missing", "name the database that the Dashboard reads, tyk_analytics by default")
	case len(name) > MaxDatabase:
		return problem(key, fmt.Sprintf("is longer than %d bytes", MaxDatabase), "shorten it")
	case strings.ContainsAny(name, "/\\. \"$*<>:|?\x00"):
		return problem(key, "has a character that MongoDB does not allow in a database name", `leave out / \ . " $ * < > : | ? and spaces`)
	}
	return nil
}

// OrgCollection is the name of an organisation's collection, which begins with prefix, or why there can be none. A
// record of such an organisation is a dead letter: a made-up name would hide it from the Dashboard, and could be another
// organisation's.
func OrgCollection(database, prefix, org string) (name, reason string) {
	name = prefix + org
	switch {
	case strings.ContainsRune(org, 0):
		reason = "it has a NUL byte"
	case strings.ContainsRune(org, '$'):
		reason = "it has a $"
	case !utf8.ValidString(org):
		reason = "it is not UTF-8"
	case strings.HasPrefix(org, "system.") || strings.Contains(org, ".system."):
		reason = "it names a system collection"
	case len(database)+1+len(name) > MaxNamespace:
		reason = "it is too long"
	default:
		return name, ""
	}
	return "", NoCollection(org, reason)
}

// NoCollection says, as the reason of a dead letter, that an organisation can have no collection.
func NoCollection(org, why string) string {
	const most = 64
	if len(org) > most {
		org = org[:most]
	}
	return fmt.Sprintf("organisation ID %q makes no collection name: %s", org, why)
}
