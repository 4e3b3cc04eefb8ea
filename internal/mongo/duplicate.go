package mongo

import (
	"strings"

	driver "go.mongodb.org/mongo-driver/mongo"
)

// Clash is which key a duplicate key was found for.
type Clash uint8

// The clashes.
const (
	ClashUnknown Clash = iota // the server does not say
	ClashID                   // that of _id
	ClashOther                // that of a unique index which somebody made
)

// ClashOf reads which index refused a write with CodeDuplicateKey. Servers from 4.2 on name the key's fields; others name
// the index behind the collection in the message, which ends with the key's values, and these may imitate anything.
func ClashOf(e *driver.WriteError, database, collection string) Clash {
	if pattern, err := e.Raw.LookupErr("keyPattern"); err == nil {
		doc, ok := pattern.DocumentOK()
		if !ok {
			return ClashUnknown
		}
		fields, err := doc.Elements()
		if err == nil && len(fields) == 1 && fields[0].Key() == "_id" {
			return ClashID
		}
		return ClashOther
	}
	_, behind, ok := strings.Cut(e.Message, "collection: "+database+"."+collection+" index: ")
	switch {
	case !ok:
		return ClashUnknown
	case behind == "_id_" || strings.HasPrefix(behind, "_id_ "):
		return ClashID
	}
	return ClashOther
}
