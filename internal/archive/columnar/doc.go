// Package columnar keeps Parquet files of an archive's hours beside it, for who scans a few columns of many rows.
//
// They are derived: the CSV objects are the archive, and no reader of ours looks at a Parquet file. An hour of a region has
// one, which holds the rows of all objects that count:
//
//	<prefix>parquet/region=<region>/dt=<YYYY-MM-DD>/hour=<HH>/00000001.parquet
//	<prefix>parquet/region=<region>/dt=<YYYY-MM-DD>/hour=<HH>/_00000001-<digest>.json
//
// When the hour's objects change, the next number is written, which stands for all before it; these are deleted a
// archive.Grace later. The note beside a file says what it was made from, and its name alone whether the file still is what the
// hour has. Athena passes over names that begin with an underscore.
package columnar
