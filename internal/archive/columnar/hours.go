package columnar

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/internal/archive"
)

// dir is where the files lie, beside the archive's regions.
const dir = "parquet/"

const ext = ".parquet"

// digestBytes is how much of a digest stands in a name.
const digestBytes = 16

// Prefix is where the Parquet files of the archive below a prefix lie, as Athena's table needs it.
func Prefix(prefix string) string { return prefix + dir }

// Hour is what there is of one region's hour.
type Hour struct {
	Region string
	Time   time.Time
	Files  []archive.Info // by number
	Notes  []archive.Info
}

// Digest tells the objects of an hour from all others: two hours with the same one have the same rows.
func Digest(h *archive.Hour) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%d\n", schemaVersion)
	names := make([]string, 0, len(h.Manifests))
	for _, m := range h.Manifests {
		names = append(names, m.Object+" "+m.SHA256+"\n")
	}
	slices.Sort(names)
	for _, n := range names {
		_, _ = io.WriteString(sum, n) // a hash takes all
	}
	return hex.EncodeToString(sum.Sum(nil)[:digestBytes])
}

// Current tells whether the newest file has the rows that a digest stands for.
func (h *Hour) Current(digest string) bool {
	if len(h.Files) == 0 {
		return false
	}
	want := fmt.Sprintf("_%08d-%s.json", number(h.Files[len(h.Files)-1].Key), digest)
	return slices.ContainsFunc(h.Notes, func(i archive.Info) bool { return path.Base(i.Key) == want })
}

// Bytes is the size of all files.
func (h *Hour) Bytes() (n int64) {
	for _, i := range slices.Concat(h.Files, h.Notes) {
		n += i.Size
	}
	return n
}

// Leftover is a file that counts no more, or its note.
type Leftover struct {
	archive.Info
	Since time.Time // it may be deleted an archive.Grace later
}

// Leftovers are what the newest file stands for.
func (h *Hour) Leftovers() (out []Leftover) {
	if len(h.Files) == 0 {
		return nil
	}
	newest := h.Files[len(h.Files)-1]
	for _, i := range slices.Concat(h.Notes, h.Files) {
		if number(i.Key) >= number(newest.Key) {
			continue
		}
		since := newest.Modified
		if i.Modified.After(since) { // a process that was frozen sent it again
			since = i.Modified
		}
		out = append(out, Leftover{i, since})
	}
	return out
}

// next is the first number that nobody used.
func (h *Hour) next() (n uint64) {
	for _, i := range slices.Concat(h.Files, h.Notes) {
		n = max(n, number(i.Key))
	}
	return n + 1
}

// number is that of a file or a note.
func number(key string) uint64 {
	name := strings.TrimPrefix(path.Base(key), "_")
	digits, _, _ := strings.Cut(strings.TrimSuffix(name, ext), "-")
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func (h *Hour) add(i archive.Info) {
	switch name := path.Base(i.Key); {
	case number(i.Key) == 0: // not ours
	case strings.HasPrefix(name, "_"):
		h.Notes = append(h.Notes, i)
	case strings.HasSuffix(name, ext):
		h.Files = append(h.Files, i)
	}
}

// ReadHour reads what there is of one region's hour.
func ReadHour(ctx context.Context, s archive.Store, prefix, region string, t time.Time) (*Hour, error) {
	h := &Hour{Region: region, Time: t.UTC()}
	for i, err := range s.List(ctx, archive.Partition(Prefix(prefix), region, t)) {
		if err != nil {
			return nil, fmt.Errorf("list Parquet files: %w", err)
		}
		h.add(i)
	}
	return h, nil
}

// Hours lists what there is, region by region and hour by hour. It ends after its first error.
func Hours(ctx context.Context, s archive.Store, prefix string) iter.Seq2[*Hour, error] {
	return func(yield func(*Hour, error) bool) {
		for region, err := range s.Dirs(ctx, Prefix(prefix)+"region=") {
			if err != nil {
				yield(nil, fmt.Errorf("list Parquet files: %w", err))
				return
			}
			if !hoursOf(ctx, s, prefix, region, yield) {
				return
			}
		}
	}
}

// hoursOf lists a region's files in one go.
func hoursOf(ctx context.Context, s archive.Store, prefix, region string, yield func(*Hour, error) bool) bool {
	h := &Hour{}
	for i, err := range s.List(ctx, Prefix(prefix)+"region="+region+"/") {
		if err != nil {
			yield(nil, fmt.Errorf("list Parquet files: %w", err))
			return false
		}
		t, bad := archive.PartitionTime(i.Key)
		if bad != nil {
			continue
		}
		if !t.Equal(h.Time) {
			if h.any() && !yield(h, nil) {
				return false
			}
			h = &Hour{Region: archive.ParseLabel(region), Time: t}
		}
		h.add(i)
	}
	return !h.any() || yield(h, nil)
}

func (h *Hour) any() bool { return len(h.Files)+len(h.Notes) > 0 }
