package archive

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"path"
	"strings"
	"sync"
	"time"

	"sluice/internal/crash"
)

// indexDir lies beside the partitions; Athena and Hive pass over names that begin with an underscore.
const indexDir = "_sluice/index/"

// Bounds of what an index may make a reader hold.
const (
	maxIndex     = 256 << 20 // bytes, uncompressed
	indexedDays  = 4         // in memory
	listedAtOnce = 1 << 17   // names that were listed and not read yet
)

// indexed is a manifest in a day's index: its bytes, and what the store listed it as.
type indexed struct {
	Name     string `json:"name"` // behind the day's directory
	Size     int64  `json:"size"`
	Modified int64  `json:"modified"` // ns
	Body     string `json:"manifest"`
}

func (i *indexed) fits(o Info) bool { return i.Size == o.Size && i.Modified == o.Modified.UnixNano() }

// Indexed is a Store that knows the manifests of many days from one object each, so that a reader need not get them one by
// one. What is there is always what the store lists: the index only spares reading again what is listed as it was when it was
// indexed, and a manifest never changes. So late, joined and deleted objects are seen at once, and a missing or damaged index
// costs time alone.
type Indexed struct {
	Store
	prefix string
	check  bool

	mu     sync.Mutex
	listed map[string]Info
	days   map[string]map[string]*indexed
	order  []string // of days, oldest first
	missed map[string]int
}

// NewIndexed reads through the indexes of the archive below prefix. With check set manifests are read all the same and
// held against the index: for who is about to delete, and to tell what the index lacks.
func NewIndexed(s Store, prefix string, check bool) *Indexed {
	return &Indexed{Store: s, prefix: prefix, check: check, listed: map[string]Info{}, days: map[string]map[string]*indexed{}, missed: map[string]int{}}
}

// List implements Store.
func (x *Indexed) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		for i, err := range x.Store.List(ctx, prefix) {
			if err == nil && strings.HasSuffix(i.Key, manifestExt) {
				x.note(i)
			}
			if !yield(i, err) {
				return
			}
		}
	}
}

func (x *Indexed) note(i Info) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.listed) >= listedAtOnce {
		clear(x.listed)
	}
	x.listed[i.Key] = i
}

// Get implements Store.
func (x *Indexed) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	if !strings.HasSuffix(key, manifestExt) {
		return x.Store.Get(ctx, key)
	}
	have := x.find(ctx, key)
	if have != nil && !x.check {
		return io.NopCloser(strings.NewReader(have.Body)), nil
	}
	raw, err := x.Store.Get(ctx, key)
	if err != nil || !x.check {
		x.miss(key, have == nil && err == nil)
		return raw, err
	}
	defer func() { _ = raw.Close() }()
	body, err := io.ReadAll(io.LimitReader(raw, MaxManifest+1))
	if err != nil {
		return nil, err
	}
	x.miss(key, have == nil || have.Body != string(body))
	return io.NopCloser(bytes.NewReader(body)), nil
}

func (x *Indexed) miss(key string, missing bool) {
	if missing {
		x.mu.Lock()
		x.missed[dayOf(key)]++
		x.mu.Unlock()
	}
}

// Missed is how many manifests of a region's day were read that its index lacks.
func (x *Indexed) Missed(region string, t time.Time) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.missed[dayOf(Partition(x.prefix, region, t)+"x")]
}

// dayOf is the directory of the day that a key lies in, without a slash.
func dayOf(key string) string { return path.Dir(path.Dir(key)) }

// find is what an index has of a manifest that was listed so.
func (x *Indexed) find(ctx context.Context, key string) *indexed {
	x.mu.Lock()
	defer x.mu.Unlock()
	listed, ok := x.listed[key]
	delete(x.listed, key)
	day := dayOf(key)
	if !ok || !strings.HasPrefix(day, x.prefix) {
		return nil
	}
	if _, known := x.days[day]; !known {
		if len(x.order) >= indexedDays {
			delete(x.days, x.order[0])
			x.order = x.order[1:]
		}
		entries, err := readIndex(ctx, x.Store, x.prefix, day)
		if err != nil {
			entries = nil // as if there were none
		}
		x.days[day], x.order = entries, append(x.order, day)
	}
	if e := x.days[day][strings.TrimPrefix(key, day+"/")]; e != nil && e.fits(listed) {
		return e
	}
	return nil
}

// indexOf is the directory of a day's indexes. There is one, or for a moment two.
func indexOf(prefix, day string) string {
	return prefix + indexDir + strings.TrimPrefix(day, prefix) + "/"
}

// readIndex reads the last index of a day.
func readIndex(ctx context.Context, s Store, prefix, day string) (map[string]*indexed, error) {
	last := ""
	for i, err := range s.List(ctx, indexOf(prefix, day)) {
		if err != nil {
			return nil, err
		}
		last = i.Key
	}
	if last == "" {
		return nil, nil
	}
	raw, err := s.Get(ctx, last)
	if err != nil {
		return nil, err
	}
	defer func() { _ = raw.Close() }()
	plain, err := decompress(Zstd, raw)
	if err != nil {
		return nil, err
	}
	defer func() { _ = plain.Close() }()
	return parseIndex(io.LimitReader(plain, maxIndex))
}

// parseIndex reads an index: a line for each manifest, then one with the SHA-256 of all before it.
func parseIndex(r io.Reader) (map[string]*indexed, error) {
	in := bufio.NewReader(r)
	sum := sha256.New()
	out := map[string]*indexed{}
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return nil, errors.New("the index is cut off")
		}
		if text := strings.TrimSuffix(string(line), "\n"); len(text) == 2*sha256.Size {
			if text != hex.EncodeToString(sum.Sum(nil)) {
				return nil, errors.New("the index is damaged")
			}
			return out, nil
		}
		sum.Write(line)
		e := new(indexed)
		if err := json.Unmarshal(line, e); err != nil {
			return nil, fmt.Errorf("read the index: %w", err)
		}
		out[e.Name] = e
	}
}

// WriteIndex indexes a region's day as it is now, and deletes what indexed it before. Every manifest is read.
func WriteIndex(ctx context.Context, s Store, prefix, region string, t time.Time) error {
	day := dayOf(Partition(prefix, region, t) + "x")
	var b bytes.Buffer
	for i, err := range s.List(ctx, day+"/") {
		if err != nil {
			return fmt.Errorf("index a day: %w", err)
		}
		if !strings.HasSuffix(i.Key, manifestExt) {
			continue
		}
		if err := appendIndexed(ctx, s, &b, i, day); err != nil {
			return fmt.Errorf("index a day: %w", err)
		}
	}
	sum := sha256.Sum256(b.Bytes())
	b.WriteString(hex.EncodeToString(sum[:]) + "\n")
	if b.Len() > maxIndex {
		return nil // joining its objects comes first
	}
	packed, err := new(packer).pack(Zstd, b.Bytes())
	if err != nil {
		return fmt.Errorf("index a day: %w", err)
	}
	dir := indexOf(prefix, day)
	key := fmt.Sprintf("%s%020d-%s.jsonl.zst", dir, time.Now().UnixMilli(), strings.ToLower(rand.Text()[:8]))
	crash.Before("archive/index")
	_, _, err = s.PutIfAbsent(ctx, key, bytes.NewReader(packed), int64(len(packed)), hex.EncodeToString(sum[:]))
	crash.After("archive/index")
	if err != nil {
		return fmt.Errorf("index a day: %w", err)
	}
	return dropIndex(ctx, s, dir, key)
}

func appendIndexed(ctx context.Context, s Store, b *bytes.Buffer, i Info, day string) error {
	raw, err := s.Get(ctx, i.Key)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = raw.Close() }()
	body, err := io.ReadAll(io.LimitReader(raw, MaxManifest+1))
	if err != nil {
		return err
	}
	if _, err := ParseManifest(i.Key, body); err != nil {
		return nil // who reads it is to find that for himself
	}
	line, err := json.Marshal(indexed{strings.TrimPrefix(i.Key, day+"/"), i.Size, i.Modified.UnixNano(), string(body)})
	if err != nil {
		return err
	}
	b.Write(append(line, '\n'))
	return nil
}

// DropIndex deletes what indexes a region's day.
func DropIndex(ctx context.Context, s Store, prefix, region string, t time.Time) error {
	return dropIndex(ctx, s, indexOf(prefix, dayOf(Partition(prefix, region, t)+"x")), "")
}

func dropIndex(ctx context.Context, s Store, dir, but string) error {
	for i, err := range s.List(ctx, dir) {
		if err != nil {
			return fmt.Errorf("delete an old index: %w", err)
		}
		if i.Key == but {
			continue
		}
		crash.Before("archive/index-old")
		err := s.Delete(ctx, i.Key)
		crash.After("archive/index-old")
		if err != nil {
			return fmt.Errorf("delete an old index: %w", err)
		}
	}
	return nil
}
