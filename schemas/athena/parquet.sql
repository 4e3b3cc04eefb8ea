-- The Parquet files of the archive as a table of Athena (AWS Glue), with partition projection: no crawler, no partitions to add.
-- "sluice archive ddl --parquet" prints it filled in; by hand, replace what stands in double braces:
--   {{table}}     name of the table, with its database: analytics.sluice_parquet
--   {{view}}      name of the view: analytics.sluice_columns
--   {{location}}  s3://BUCKET/PREFIXparquet/, with a slash at its end
--   {{regions}}   regions as the directories have them, with commas: eu-west-1,us-east-1
--   {{from}}      first day of the archive: 2026-11-23
-- Hours are there once "sluice retain --apply" with retention.archive.parquet has written them, some hours after they are over.
-- Run the statements one by one. Query the view: of an hour that was written again, since records came late or were erased, the
-- table has two files for an hour; the view takes the one with the highest number. "$path" is read from no column, so that this
-- costs nothing. Name dt (and region, hour) in every query, and the columns you want rather than *:
--   SELECT api_id, response_code, count(*) FROM {{view}} WHERE dt = '2026-11-23' GROUP BY 1, 2
-- Columns go by name. Texts have the escapes of the CSV archive: \\ is a backslash and \xHH a control or invalid byte; JSON
-- columns escape as JSON does. expire_at is text. Files named _* are notes, which Athena passes over.

CREATE EXTERNAL TABLE {{table}} (
  `record_id` string,
  `timestamp` timestamp,
  `timestamp_nanos` int,
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
  `response_code` int,
  `request_time_ms` bigint,
  `latency_total_ms` bigint,
  `latency_upstream_ms` bigint,
  `latency_gateway_ms` bigint,
  `content_length` bigint,
  `user_agent` string,
  `ip_address` string,
  `api_key` string,
  `oauth_id` string,
  `alias` string,
  `tags` string,
  `track_path` boolean,
  `expire_at` string,
  `geo_country` string,
  `geo_city_id` bigint,
  `geo_city_names` string,
  `geo_latitude` double,
  `geo_longitude` double,
  `geo_time_zone` string,
  `open_connections` bigint,
  `closed_connections` bigint,
  `bytes_in` bigint,
  `bytes_out` bigint,
  `api_schema` string,
  `raw_request` string,
  `raw_response` string,
  `graphql` string,
  `mcp` string,
  `time_zone` string,
  `record_day` int,
  `record_month` int,
  `record_year` int,
  `record_hour` int,
  `collection_name` string,
  `source` string,
  `list` string,
  `lineage` string,
  `position` string
)
PARTITIONED BY (`region` string, `dt` string, `hour` string)
STORED AS PARQUET
LOCATION '{{location}}'
TBLPROPERTIES (
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
SELECT t.*
FROM {{table}} t
JOIN (
  SELECT "region", "dt", "hour", max("$path") AS "newest" FROM {{table}} GROUP BY "region", "dt", "hour"
) n ON t."region" = n."region" AND t."dt" = n."dt" AND t."hour" = n."hour" AND t."$path" = n."newest";
