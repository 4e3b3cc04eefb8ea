package schemas

import (
	_ "embed"
	"strings"
	"time"
)

//go:embed athena/archive.sql
var athena string

// Athena says where an archive lies and how its table and view are to be called.
type Athena struct {
	Table, View string
	Location    string   // s3://BUCKET/PREFIX, with a slash at its end
	Regions     []string // as the archive's directories have them
	From        time.Time
}

// DDL is the archive's table and its view without doubles, as statements of Amazon Athena. Partition projection:
// https://docs.aws.amazon.com/athena/latest/ug/partition-projection-supported-types.html
func (a Athena) DDL() string {
	return strings.NewReplacer("{{table}}", a.Table, "{{view}}", a.View, "{{location}}", strings.ReplaceAll(a.Location, "'", "''"),
		"{{regions}}", strings.Join(a.Regions, ","), "{{from}}", a.From.UTC().Format(time.DateOnly)).Replace(athena)
}

// AthenaTemplate is the same with its placeholders.
func AthenaTemplate() string { return athena }
