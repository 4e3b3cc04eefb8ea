package schemas

import (
	_ "embed"
	"strings"
	"time"
)

//go:embed athena/archive.sql
var athena string

//go:embed athena/parquet.sql
var athenaParquet string

// Athena says where an archive lies and how its table and view are to be called.
type Athena struct {
	Table, View string
	Location    string   // s3://BUCKET/PREFIX, with a slash at its end
	Regions     []string // as the archive's directories have them
	From        time.Time
}

// DDL is the archive's table and its view without doubles, as statements of Amazon Athena. Partition projection:
// https://docs.aws.amazon.com/athena/latest/ug/partition-projection-supported-types.html
func (a Athena) DDL() string { return a.fill(athena) }

// ParquetDDL is the same for the archive's Parquet files, which lie at Location.
func (a Athena) ParquetDDL() string { return a.fill(athenaParquet) }

func (a Athena) fill(template string) string {
	return strings.NewReplacer("{{table}}", a.Table, "{{view}}", a.View, "{{location}}", strings.ReplaceAll(a.Location, "'", "''"),
		"{{regions}}", strings.Join(a.Regions, ","), "{{from}}", a.From.UTC().Format(time.DateOnly)).Replace(template)
}

// AthenaTemplate is the archive's statements with their placeholders.
func AthenaTemplate() string { return athena }
