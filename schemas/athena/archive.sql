-- The CSV archive as a table of Athena (AWS Glue), with partition projection: no crawler, no partitions to add.
-- "sluice archive ddl" prints it filled in; by hand, replace what stands in double braces:
--   {{table}}     name of the table, with its database: analytics.sluice_raw
--   {{view}}      name of the view: analytics.sluice
--   {{location}}  s3://BUCKET/PREFIX, with a slash at its end
--   {{regions}}   regions as the directories have them, with commas: eu-west-1,us-east-1
--   {{from}}      first day of the archive: 2026-11-23
-- Run the statements one by one. Query the view: of a record that lies in two objects, which is so for an hour after
-- small objects were joined, the table has two rows. Name dt (and region, hour) in every query, or all is read:
--   SELECT api_id, count(*) FROM {{view}} WHERE dt = '2026-11-23' GROUP BY api_id
-- Columns are in the order of the file, all of them text. A manifest is one line and is skipped as a header.
-- The escape character is one that no cell holds, so that a backslash stays one. In text columns \\ is a backslash and
-- \xHH a control or invalid byte; JSON columns escape as JSON does.

CREATE EXTERNAL TABLE {{table}} (
  `record_id` string,
  `timestamp` string,
  `org_id` string,
  `api_id` string,
  `api_name` string,
  `api_version` string,
  `method` string,
  `host` string,
  `path` string,
  `raw_path` string,
  `original_path` string,
  `listen_path` string,
  `response_code` string,
  `request_time_ms` string,
  `latency_total_ms` string,
  `latency_upstream_ms` string,
  `latency_gateway_ms` string,
  `content_length` string,
  `user_agent` string,
  `ip_address` string,
  `api_key` string,
  `oauth_id` string,
  `alias` string,
  `tags` string,
  `track_path` string,
  `expire_at` string,
  `geo_country` string,
  `geo_city_id` string,
  `geo_city_names` string,
  `geo_latitude` string,
  `geo_longitude` string,
  `geo_time_zone` string,
  `open_connections` string,
  `closed_connections` string,
  `bytes_in` string,
  `bytes_out` string,
  `api_schema` string,
  `raw_request` string,
  `raw_response` string,
  `graphql` string,
  `mcp` string,
  `time_zone` string,
  `record_day` string,
  `record_month` string,
  `record_year` string,
  `record_hour` string,
  `collection_name` string,
  `source` string,
  `list` string,
  `lineage` string,
  `position` string
)
PARTITIONED BY (`region` string, `dt` string, `hour` string)
ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde'
WITH SERDEPROPERTIES ('separatorChar' = ',', 'quoteChar' = '"', 'escapeChar' = '\u0001')
STORED AS TEXTFILE
LOCATION '{{location}}'
TBLPROPERTIES (
  'skip.header.line.count' = '1',
  'projection.enabled' = 'true',
  'projection.region.type' = 'enum',
  'projection.region.values' = '{{regions}}',
  'projection.dt.type' = 'date',
  'projection.dt.format' = 'yyyy-MM-dd',
  'projection.dt.range' = '{{from}},NOW',
  'projection.hour.type' = 'integer',
  'projection.hour.range' = '0,23',
  'projection.hour.digits' = '2',
  'storage.location.template' = '{{location}}region=${region}/dt=${dt}/hour=${hour}/'
);

CREATE OR REPLACE VIEW {{view}} AS
SELECT
  "record_id",
  try(from_iso8601_timestamp("timestamp")) AS "timestamp",
  "org_id",
  "api_id",
  "api_name",
  "api_version",
  "method",
  "host",
  "path",
  "raw_path",
  "original_path",
  "listen_path",
  try_cast("response_code" AS integer) AS "response_code",
  try_cast("request_time_ms" AS bigint) AS "request_time_ms",
  try_cast("latency_total_ms" AS bigint) AS "latency_total_ms",
  try_cast("latency_upstream_ms" AS bigint) AS "latency_upstream_ms",
  try_cast("latency_gateway_ms" AS bigint) AS "latency_gateway_ms",
  try_cast("content_length" AS bigint) AS "content_length",
  "user_agent",
  "ip_address",
  "api_key",
  "oauth_id",
  "alias",
  "tags",
  try_cast("track_path" AS boolean) AS "track_path",
  try(from_iso8601_timestamp("expire_at")) AS "expire_at",
  "geo_country",
  try_cast("geo_city_id" AS bigint) AS "geo_city_id",
  "geo_city_names",
  try_cast("geo_latitude" AS double) AS "geo_latitude",
  try_cast("geo_longitude" AS double) AS "geo_longitude",
  "geo_time_zone",
  try_cast("open_connections" AS bigint) AS "open_connections",
  try_cast("closed_connections" AS bigint) AS "closed_connections",
  try_cast("bytes_in" AS bigint) AS "bytes_in",
  try_cast("bytes_out" AS bigint) AS "bytes_out",
  "api_schema",
  "raw_request",
  "raw_response",
  "graphql",
  "mcp",
  "time_zone",
  try_cast("record_day" AS integer) AS "record_day",
  try_cast("record_month" AS integer) AS "record_month",
  try_cast("record_year" AS integer) AS "record_year",
  try_cast("record_hour" AS integer) AS "record_hour",
  "collection_name",
  "source",
  "list",
  "lineage",
  "position",
  "region",
  "dt",
  "hour"
FROM (
  SELECT *, row_number() OVER (PARTITION BY "region", "dt", "hour", "lineage", "position" ORDER BY "$path" DESC) AS "copy"
  FROM {{table}}
)
WHERE "copy" = 1;
