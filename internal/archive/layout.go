package archive

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"time"

	"sluice/internal/pipeline"
)

// Layout is what of a sink's configuration shapes its objects' keys and rows: the sink's Shape.
type Layout struct {
	Version     int         `json:"v"` // FormatVersion
	Prefix      string      `json:"prefix"`
	Compression Compression `json:"compression"`
	Neutral     bool        `json:"neutral,omitempty"` // see Encoder
}

// members is the Tag of a recorded range: all that shapes its objects, so that whoever repeats it makes the same ones.
type members struct {
	Layout
	Region string `json:"region"`
}

// encode writes the tag without a space, so that it may stand in a list of words.
func (m members) encode() (string, error) {
	b, err := json.Marshal(m)
	return strings.ReplaceAll(string(b), " ", `\u0020`), err
}

func parseMembers(tag string) (m members, err error) {
	if err := json.Unmarshal([]byte(tag), &m); err != nil {
		return m, fmt.Errorf("read the tag of recorded members %q: %w", tag, err)
	}
	return m, m.check()
}

func (l Layout) check() error {
	if l.Version != FormatVersion {
		return fmt.Errorf("archive format %d is asked for, this version of sluice writes %d", l.Version, FormatVersion)
	}
	if !l.Compression.Valid() {
		return fmt.Errorf("%q is not a compression", l.Compression)
	}
	return nil
}

// hour is the hours since 1970 in UTC.
type hour int64

func hourOf(t time.Time) hour {
	s := t.Unix()
	h := s / 3600
	if s%3600 < 0 {
		h--
	}
	return hour(h)
}

func (h hour) time() time.Time { return time.Unix(int64(h)*3600, 0).UTC() }

// Partition is the directory of a region's hour, with a slash at its end.
func Partition(prefix, region string, t time.Time) string {
	t = t.UTC()
	return prefix + "region=" + escapeLabel(region) + "/dt=" + t.Format(time.DateOnly) + "/hour=" + t.Format("15") + "/"
}

// Name is the name, without an ending, of the objects of a range: one in each hour that it touches.
func Name(lineage string, from, to pipeline.Position) string {
	return lineage + "-" + from.String() + "-" + to.String()
}

const manifestExt = ".manifest.json"

// escapeLabel makes a label fit for a key: what is neither letter, digit, dot, dash nor underscore is written as Hive
// writes it, %HH. The empty label is none.
func escapeLabel(s string) string {
	if s == "" {
		return "none"
	}
	var b strings.Builder
	for _, c := range []byte(s) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("._-", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

// PartitionTime reads the hour that a key lies in.
func PartitionTime(key string) (time.Time, error) {
	dir, hourDir := path.Split(path.Dir(key))
	_, day := path.Split(strings.TrimSuffix(dir, "/"))
	t, err := time.Parse("dt=2006-01-02/hour=15", day+"/"+hourDir)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s lies in no hour of an archive", key)
	}
	return t, nil
}

// ParseLabel is the label that a directory's name stands for: that of region=%HH... is read back.
func ParseLabel(s string) string { return unescapeLabel(s) }

// unescapeLabel reads what escapeLabel wrote.
func unescapeLabel(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && hexValue(s[i+1]) < 16 && hexValue(s[i+2]) < 16 {
			b.WriteByte(hexValue(s[i+1])<<4 | hexValue(s[i+2]))
			i += 2
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// IsManifest tells whether an object's name is that of a manifest.
func IsManifest(name string) bool { return strings.HasSuffix(name, manifestExt) }
