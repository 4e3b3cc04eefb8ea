package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"sluice/internal/crash"
)

// schemaVersion is kept in user_version. A newer one is refused: what it means is not known here.
const schemaVersion = 1

// errSchema says that the file holds what this version must not touch.
var errSchema = errors.New("the file is not ours to write")

// schema 1.
//
// counters holds one row for each bucket and value of a dimension. width is the bucket's in seconds (10 for the total
// alone, 60, 3600), bucket its start in Unix seconds. Times are milliseconds.
const schema = `
CREATE TABLE positions (
  lineage TEXT PRIMARY KEY, source TEXT NOT NULL, list TEXT NOT NULL, position TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE counters (
  width INTEGER NOT NULL, bucket INTEGER NOT NULL, dimension INTEGER NOT NULL, org TEXT NOT NULL, name TEXT NOT NULL,
  hits INTEGER NOT NULL, errors INTEGER NOT NULL, success INTEGER NOT NULL,
  latency_sum INTEGER NOT NULL, latency_max INTEGER NOT NULL, upstream_sum INTEGER NOT NULL,
  request_bytes INTEGER NOT NULL, bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL,
  opened INTEGER NOT NULL, closed INTEGER NOT NULL,
  PRIMARY KEY (width, dimension, bucket, org, name)
) WITHOUT ROWID;
CREATE TABLE labels (
  dimension INTEGER NOT NULL, org TEXT NOT NULL, name TEXT NOT NULL, label TEXT NOT NULL,
  PRIMARY KEY (dimension, org, name)
) WITHOUT ROWID;
CREATE TABLE recent (
  seq INTEGER PRIMARY KEY, lineage TEXT NOT NULL, position TEXT NOT NULL, id TEXT NOT NULL, time_ms INTEGER NOT NULL,
  org TEXT NOT NULL, api_id TEXT NOT NULL, api_name TEXT NOT NULL, api_version TEXT NOT NULL, api_key TEXT NOT NULL,
  alias TEXT NOT NULL, oauth_id TEXT NOT NULL, method TEXT NOT NULL, host TEXT NOT NULL, path TEXT NOT NULL,
  raw_path TEXT NOT NULL, code INTEGER NOT NULL, latency_ms INTEGER NOT NULL, upstream_ms INTEGER NOT NULL,
  request_bytes INTEGER NOT NULL, ip_address TEXT NOT NULL, country TEXT NOT NULL, user_agent TEXT NOT NULL,
  tags TEXT NOT NULL, raw_request TEXT NOT NULL, raw_response TEXT NOT NULL
);
CREATE INDEX recent_time ON recent (time_ms);
`

// migrate brings an empty file to the schema and refuses one that a newer version wrote.
func migrate(ctx context.Context, c *sql.Conn) error {
	var version int
	if err := c.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	switch {
	case version == schemaVersion:
		return nil
	case version > schemaVersion:
		return fmt.Errorf("%w: it has schema %d and this version knows up to %d: use the newer version, or another path",
			errSchema, version, schemaVersion)
	}
	var tables int
	if err := c.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
		return fmt.Errorf("read the schema: %w", err)
	}
	if tables > 0 {
		return fmt.Errorf("%w: it is a database of something else: choose another path", errSchema)
	}
	tx, err := c.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin to make the tables: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // no effect after a commit
	if _, err := tx.ExecContext(ctx, schema+fmt.Sprintf("PRAGMA user_version = %d", schemaVersion)); err != nil {
		return fmt.Errorf("make the tables: %w", err)
	}
	crash.Before("sqlite/schema")
	err = tx.Commit()
	crash.After("sqlite/schema")
	return err
}
