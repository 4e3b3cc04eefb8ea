// Package schemas has the versioned schemas of everything that leaves or enters the program, embedded.
package schemas

import "embed"

// Proto has the protobuf schemas, under proto.
//
//go:embed proto
var Proto embed.FS
