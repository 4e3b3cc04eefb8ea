package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"time"

	format "sluice/internal/archive"
	"sluice/internal/crash"
)

// followDir lies beside the partitions; Athena and Hive pass over names that begin with an underscore.
const followDir = "_sluice/follow/"

// notebook keeps a follower's progress, and is its lease. Objects never change, so it is a row of numbered ones, of which the
// last counts: who makes the next number, by a conditional write, follows. Who stands by takes over when no number came for a
// whole lease, by a clock of its own; no two clocks need to agree. An owner that was frozen meets a number that is taken, or
// one that is not the last.
type notebook struct {
	store format.Store
	dir   string
	owner string
	last  uint64 // number of the last one seen
}

// errTaken says that another follower has the archive.
var errTaken = errors.New("another follower has the archive")

// keptNotes is how many old ones stay: a frozen owner must be as far behind to write a number that was taken and is free again.
const keptNotes = 4

// maxNote bounds what is read of one.
const maxNote = 64 << 20

func (n *notebook) key(number uint64) string { return fmt.Sprintf("%s%020d.json", n.dir, number) }

// numbers are those that are there, ascending.
func (n *notebook) numbers(ctx context.Context) (out []uint64, err error) {
	for info, err := range n.store.List(ctx, n.dir) {
		if err != nil {
			return nil, fmt.Errorf("look how far the archive was followed: %w", err)
		}
		name := path.Base(info.Key)
		number, bad := strconv.ParseUint(name[:max(0, len(name)-len(".json"))], 10, 64)
		if bad != nil {
			return nil, fmt.Errorf("look how far the archive was followed: %s does not belong there", info.Key)
		}
		out = append(out, number)
	}
	return out, nil
}

// read reads the last one. Without any the progress is that of a beginning.
func (n *notebook) read(ctx context.Context) (uint64, *progress, error) {
	for {
		numbers, err := n.numbers(ctx)
		if err != nil || len(numbers) == 0 {
			return 0, newProgress(), err
		}
		last := numbers[len(numbers)-1]
		data, err := n.get(ctx, last)
		if errors.Is(err, format.ErrNotFound) && ctx.Err() == nil {
			continue // there are later ones by now
		}
		if err != nil {
			return 0, nil, err
		}
		p, err := decodeProgress(data)
		return last, p, err
	}
}

func (n *notebook) get(ctx context.Context, number uint64) ([]byte, error) {
	body, err := n.store.Get(ctx, n.key(number))
	if err != nil {
		return nil, fmt.Errorf("read how far the archive was followed: %w", err)
	}
	defer func() { _ = body.Close() }() // it was only read from
	data, err := io.ReadAll(io.LimitReader(body, maxNote))
	if err != nil {
		return nil, fmt.Errorf("read how far the archive was followed: %w", err)
	}
	return data, nil
}

// write makes p the next one. errTaken says that another was faster: nothing of p counts.
func (n *notebook) write(ctx context.Context, p *progress) error {
	data, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("keep how far the archive was followed: %w", err)
	}
	sum := sha256.Sum256(data)
	crash.Before("follow/progress")
	_, made, err := n.store.PutIfAbsent(ctx, n.key(n.last+1), bytes.NewReader(data), int64(len(data)), hex.EncodeToString(sum[:]))
	crash.After("follow/progress")
	if err != nil {
		return fmt.Errorf("keep how far the archive was followed: %w", err)
	}
	if !made { // ours, if the answer was lost
		there, err := n.get(ctx, n.last+1)
		if errors.Is(err, format.ErrNotFound) || err == nil && !bytes.Equal(there, data) {
			return errTaken
		}
		if err != nil {
			return err
		}
	}
	n.last++
	return n.tidy(ctx)
}

// tidy removes old ones, and finds out whether ours is the last.
func (n *notebook) tidy(ctx context.Context) error {
	numbers, err := n.numbers(ctx)
	if err != nil {
		return err
	}
	for _, number := range numbers {
		if number > n.last {
			return errTaken
		}
		if number+keptNotes > n.last {
			continue
		}
		crash.Before("follow/progress-old")
		err := n.store.Delete(ctx, n.key(number))
		crash.After("follow/progress-old")
		if err != nil {
			return fmt.Errorf("keep how far the archive was followed: %w", err)
		}
	}
	return nil
}

// take waits until the archive is ours, and returns how far it was followed. standing is told who has it meanwhile, and whether
// that one gave a sign since.
func (n *notebook) take(ctx context.Context, lease time.Duration, standing func(owner string, alive bool)) (*progress, error) {
	var first, seen uint64
	var since time.Time
	for {
		number, p, err := n.read(ctx)
		if err != nil {
			return nil, err
		}
		if since.IsZero() {
			first = number
		}
		if number != seen || since.IsZero() {
			seen, since = number, time.Now()
		}
		if p.Owner == "" || p.Owner == n.owner || time.Since(since) >= lease {
			n.last = number
			p.Owner, p.Written = n.owner, time.Now().UTC()
			err := n.write(ctx, p)
			if !errors.Is(err, errTaken) {
				return p, err
			}
			since = time.Time{}
			continue
		}
		standing(p.Owner, number != first)
		if err := pause(ctx, lease/8); err != nil {
			return nil, err
		}
	}
}
