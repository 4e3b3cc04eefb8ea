package archive

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"

	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// importName begins the lineages of rows that lay in no list but were read from another store. No list's does, since those
// are hexadecimal; objects with such names sort before joined ones.
const importName = "import-"

// ImportLineage is the lineage of what is imported from a place, such as a collection: the same whenever it is asked for.
func ImportLineage(place string) string {
	sum := sha256.Sum256([]byte(place))
	return importName + hex.EncodeToString(sum[:8])
}

// IsImport tells whether rows of a lineage were imported. Their positions are their IDs, so that they have no claims, no
// order of arrival, and gaps between them mean nothing.
func IsImport(lineage string) bool { return strings.HasPrefix(lineage, importName) }

// ImportPosition is the position of an imported row: its ID, which is unique in its lineage and sorts alike.
func ImportPosition(id record.ID) pipeline.Position {
	return pipeline.Position{Claim: pipeline.ClaimID{
		Epoch:  pipeline.Epoch{Ms: uint64(binary.BigEndian.Uint32(id[:4])), Rand: binary.BigEndian.Uint32(id[4:8])},
		Number: binary.BigEndian.Uint32(id[8:]),
	}}
}

// behind is the position right behind that of an imported row.
func behind(p pipeline.Position) pipeline.Position {
	p.Index++
	return p
}
