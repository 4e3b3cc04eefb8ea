// Package archive has the format of the CSV archive, the gatherer that writes it into any Store, and its readers.
//
// An object holds rows of one list and one hour of the records' own time. Its name follows from the list's lineage and
// the range of positions it was gathered from, so whoever repeats that range writes the same name; a Store refuses to
// replace what is there. Beside each object lies its manifest, written last: an object without one is not there yet.
//
//	<prefix>region=<region>/dt=<YYYY-MM-DD>/hour=<HH>/<lineage>-<from>-<to>.csv.zst
//	<prefix>region=<region>/dt=<YYYY-MM-DD>/hour=<HH>/<lineage>-<from>-<to>.manifest.json
//
// The SHA-256 that manifest and object metadata carry is that of the whole uncompressed content, the header row
// included: "zstd -dc OBJECT | sha256sum" shows it. Compressed bytes may differ after an upgrade, rows may not.
package archive
