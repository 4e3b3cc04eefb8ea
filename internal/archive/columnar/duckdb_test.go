package columnar

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/internal/archive"
	"sluice/internal/record"
	"sluice/internal/testenv"
	"sluice/schemas"
)

func ddl() string {
	return schemas.Athena{Table: "db.t", View: "db.v", Location: "s3://b/p/parquet/", Regions: []string{"eu"}, From: noon}.ParquetDDL()
}

// TestAthenaTableHasTheColumnsOfTheFile: by name and type, and hours are looked for where they lie.
func TestAthenaTableHasTheColumnsOfTheFile(t *testing.T) {
	types := map[cellKind]string{text: "string", integer32: "int", integer64: "bigint", double: "double", boolean: "boolean", moment: "timestamp"}
	want := []string{nanos + " int"}
	for _, c := range archive.Columns() {
		want = append(want, Name(c)+" "+types[kinds[c]])
	}
	table, _, ok := strings.Cut(ddl(), "PARTITIONED BY")
	if !ok || strings.Contains(ddl(), "{{") {
		t.Fatalf("not filled in:\n%s", ddl())
	}
	var have []string
	for _, m := range regexp.MustCompile("(?m)^  `([a-z_]+)` ([a-z]+),?$").FindAllStringSubmatch(table, -1) {
		have = append(have, m[1]+" "+m[2])
	}
	slices.Sort(want)
	slices.Sort(have)
	if !slices.Equal(want, have) {
		t.Errorf("columns %q, want %q", have, want)
	}
	template := regexp.MustCompile(`'storage.location.template' = '(.*)'`).FindStringSubmatch(ddl())
	got := strings.NewReplacer("${region}", "eu", "${dt}", "2026-01-02", "${hour}", "12").Replace(template[1])
	if got != "s3://b/"+archive.Partition(Prefix("p/"), "eu", noon) {
		t.Errorf("an hour is looked for in %s", got)
	}
}

// TestDuckDBReadsTheSame: a reader that knows nothing of ours finds every cell, and the view that Athena is given has each record
// once, of the newest file of its hour, while an older one is still there.
func TestDuckDBReadsTheSame(t *testing.T) {
	l := newLake(t)
	l.put(1, made(5)...)
	l.write()
	var records []*record.Record
	for i, s := range nasty {
		records = append(records, full(s, noon.Add(time.Duration(i)*time.Millisecond+123*time.Nanosecond)))
	}
	l.put(2, records...)
	l.write()
	if h, _ := l.hour(); len(h.Files) != 2 {
		t.Fatalf("%+v", h)
	}
	_, view, ok := strings.Cut(ddl(), "CREATE OR REPLACE VIEW")
	if !ok {
		t.Fatal("no view")
	}
	view = strings.NewReplacer("db.", "", `"$path"`, "filename").Replace("CREATE OR REPLACE VIEW" + view)
	out := testenv.DuckDB(t, `
import duckdb, json, sys
con = duckdb.connect()
con.execute("SET threads = 1")
con.execute("CREATE VIEW t AS SELECT * FROM read_parquet('" + sys.argv[1] + "', hive_partitioning = true, hive_types_autocast = false, filename = true)")
con.execute(sys.argv[2])
print(con.sql("SELECT count(*) FROM t").fetchone()[0], con.sql("SELECT count(*) FROM v WHERE dt = '2026-01-02' AND hour = '12' AND region = 'eu'").fetchone()[0])
rel = con.sql('SELECT * EXCLUDE ("timestamp"), epoch_us("timestamp") AS us FROM v ORDER BY position')
for row in rel.fetchall():
    print(json.dumps({n: v if isinstance(v, str) else "" if v is None else str(v).lower() for n, v in zip(rel.columns, row)}))
`, filepath.Join(l.root, "a/parquet/*/*/*/*.parquet"), view)
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	all := 5 + len(nasty)
	if lines[0] != strconv.Itoa(5+all)+" "+strconv.Itoa(all) {
		t.Errorf("table and view have %s rows", lines[0])
	}
	want := cells(t, l.path())
	if len(lines) != 1+len(want) {
		t.Fatalf("%d rows, want %d", len(lines)-1, len(want))
	}
	for n, line := range lines[1:] {
		got := map[string]string{}
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		us, err := strconv.ParseInt(got["us"], 10, 64)
		rest, err2 := strconv.Atoi(got[nanos])
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		got["timestamp"] = time.UnixMicro(us).Add(time.Duration(rest)).UTC().Format("2006-01-02T15:04:05.000000000Z")
		for i, c := range archive.Columns() {
			same := got[Name(c)] == want[n][i]
			if kinds[c] == double {
				a, _ := strconv.ParseFloat(got[c], 64)
				b, _ := strconv.ParseFloat(want[n][i], 64)
				same = a == b || a != a && b != b
			}
			if !same {
				t.Errorf("row %d: %s is %q, want %q", n, c, got[Name(c)], want[n][i])
			}
		}
	}
}
