package aggregate

// Sizes are estimates in bytes, from above where it matters. A counter in a stored document takes some 490 bytes beside
// its key and names, and 20 for each code in errormap, 55 in errorlist; in an update it has up to 18 fields, each with
// the whole path before it.
const (
	cellBytes     = 320 // with its place in a map
	storedCounter = 490
	storedCode    = 75
	updateFields  = 18
	updateField   = 44 // name, type, value; some for codes, which have a field each
)

// StoredBytes is about what the counter adds to its map in the stored document when it is new there.
func (e *Entry) StoredBytes(k Key) int {
	return storedCounter + len(k.Outer) + len(k.Name) + len(e.Identifier) + len(e.Human) + storedCode*len(e.Codes)
}

// pathBytes estimates how long the path of a counter is, from the raw strings.
func (f *Fold) pathBytes(dim Dim, k key) int {
	n := f.in.names
	path := len(dim.String())
	switch dim {
	case Errors:
		path += 3
	case Versions:
		path += (len(n[k.a]) + len(n[k.b]) + 1) * 4 / 3
	case KeyEndpoints, OauthEndpoints:
		path += len(n[k.a]) + (len(n[k.b])+len(n[k.c])+1)*4/3
	case APIEndpoints:
		path += 2 * (len(n[k.a]) + len(n[k.b]) + len(n[k.c]) + 2)
	default:
		path += len(n[k.a])
	}
	return min(path, 2*MaxKey)
}
