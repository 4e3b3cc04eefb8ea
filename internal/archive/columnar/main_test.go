package columnar

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/archive"
	"sluice/internal/archive/dirstore"
	"sluice/internal/pipeline"
	"sluice/internal/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const prefix = "a/"

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// lake is an archive in a directory, with its Parquet files.
type lake struct {
	t     *testing.T
	root  string
	files archive.Store
	*Table
}

func newLake(t *testing.T) *lake {
	t.Helper()
	root := t.TempDir()
	files, err := dirstore.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	return &lake{t, root, files, &Table{Store: files, Prefix: prefix, Dir: t.TempDir()}}
}

// nasty are texts that have broken readers of tables.
var nasty = []string{"", ",", `"`, `""`, "a,b", "a\nb", "\r\n", "\x00", "nul\x00in", "\xff\xfe", "é\xc3", `\`, `\\x41`, `\x41`, `\"`, `"\`, " lead", "tail ",
	"'; DROP TABLE", "=1+1", "\u2028", "\x7f", "日本", strings.Repeat(`"`, 9), "tab\there", "\ufeffbom", "\U0001F600", "a\"b,c\nd\\e\x01f\xfag", "null", "NaN"}

func position(claim, i uint32) pipeline.Position {
	return pipeline.Position{Claim: pipeline.ClaimID{Epoch: pipeline.Epoch{Ms: 1}, Number: claim}, Index: i}
}

// put stores an object of a claim with its manifest, and returns its rows as they lie there.
func (l *lake) put(claim uint32, records ...*record.Record) []string {
	l.t.Helper()
	stream := pipeline.StreamID{Source: "main", List: "l", Lineage: strings.Repeat("ab", 16)}
	body := archive.AppendHeader(nil)
	var enc archive.Encoder
	for i, r := range records {
		body = enc.AppendRow(body, &archive.Row{ID: record.MakeID(r.TimeStamp, uint64(claim)<<32|uint64(i)), Record: r, Stream: stream, Position: position(claim, uint32(i))})
	}
	sum := sha256.Sum256(body)
	n := uint32(len(records))
	m := &archive.Manifest{Version: archive.FormatVersion, Object: archive.Name(stream.Lineage, position(claim, 0), position(claim, n)) + ".csv", Records: int64(n),
		Bytes: int64(len(body)), SHA256: hex.EncodeToString(sum[:]), First: noon, Last: noon.Add(time.Minute), Compression: archive.None, Region: "eu",
		Lineage: stream.Lineage, Columns: archive.Columns(),
		Positions: []archive.Range{{Lineage: stream.Lineage, From: position(claim, 0).String(), To: position(claim, n).String()}}}
	m.Key = archive.Partition(prefix, "eu", noon) + m.Object
	line, err := m.Encode()
	if err != nil {
		l.t.Fatal(err)
	}
	for _, o := range []struct {
		key  string
		body []byte
	}{{m.Key, body}, {m.ManifestKey(), line}} {
		if _, _, err := l.files.PutIfAbsent(l.t.Context(), o.key, bytes.NewReader(o.body), int64(len(o.body)), m.SHA256); err != nil {
			l.t.Fatal(err)
		}
	}
	return strings.Split(strings.TrimSuffix(string(body), "\n"), "\n")[1:]
}

// made are n ordinary records.
func made(n int) (out []*record.Record) {
	for i := range n {
		out = append(out, &record.Record{TimeStamp: noon.Add(time.Duration(i) * time.Microsecond), OrgID: "o", APIID: "api", ResponseCode: int32(200 + i%3*100), Path: "/p"})
	}
	return out
}

// age makes all files look older.
func (l *lake) age(by time.Duration) {
	l.t.Helper()
	for i, err := range l.files.List(l.t.Context(), "") {
		if err != nil {
			l.t.Fatal(err)
		}
		old := i.Modified.Add(-by)
		if err := os.Chtimes(filepath.Join(l.root, i.Key), old, old); err != nil {
			l.t.Fatal(err)
		}
	}
}

func (l *lake) write() int64 {
	l.t.Helper()
	var n int64
	if err := l.Write(l.t.Context(), "eu", noon, func(k int64) { n += k }); err != nil {
		l.t.Fatal(err)
	}
	return n
}

// hour is what there is, and whether it is what the archive has.
func (l *lake) hour() (h *Hour, current bool) {
	l.t.Helper()
	h, err := ReadHour(l.t.Context(), l.files, prefix, "eu", noon)
	if err != nil {
		l.t.Fatal(err)
	}
	a, err := archive.ReadHour(l.t.Context(), l.files, prefix, "eu", noon)
	if err != nil {
		l.t.Fatal(err)
	}
	return h, h.Current(Digest(&a))
}

// path is the newest file.
func (l *lake) path() string {
	l.t.Helper()
	h, _ := l.hour()
	if len(h.Files) == 0 {
		l.t.Fatal("there is no file")
	}
	return filepath.Join(l.root, h.Files[len(h.Files)-1].Key)
}
