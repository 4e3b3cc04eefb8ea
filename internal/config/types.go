package config

import (
	"sluice/sinks/csv"
	"sluice/sinks/discard"
	"sluice/sinks/kafka"
	"sluice/sinks/mongoagg"
	"sluice/sinks/mongoraw"
	"sluice/sinks/opensearch"
	"sluice/sinks/s3csv"
	"sluice/sinks/sqlite"
	"sluice/sinks/stdout"
	"sluice/sources/archive"
	source "sluice/sources/kafka"
	"sluice/sources/redislist"
)

// allKinds is the table of source and sink types. Adding one is a line here.
func allKinds() kinds {
	return kinds{
		sources: []kind{
			kindOf("redis", redislist.Defaults),
			kindOf("kafka", source.Defaults),
			kindOf("archive", archive.Defaults),
		},
		sinks: []kind{
			kindOf("mongo-aggregate", mongoagg.Defaults),
			kindOf("mongo-raw", mongoraw.Defaults),
			kindOf("opensearch", opensearch.Defaults),
			kindOf("s3-csv", s3csv.Defaults),
			kindOf("kafka", kafka.Defaults),
			kindOf("sqlite", sqlite.Defaults),
			kindOf("csv", csv.Defaults),
			kindOf("stdout", stdout.Defaults),
			kindOf("discard", discard.Defaults),
		},
	}
}
