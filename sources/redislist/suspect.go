package redislist

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/internal/crash"
)

// Suspect is a stretch of a list's history of which Redis lost writes: records that were claimed in it may be gone, or come
// again at other positions. It is kept in Redis beside the list until somebody clears it.
type Suspect struct {
	ID      string    `json:"id"`
	From    time.Time `json:"from"`    // server time at which the earliest record concerned may have come
	To      time.Time `json:"to"`      // server time at which it was noticed
	Claims  int       `json:"claims"`  // that are gone, or whose cursors went back
	Lineage string    `json:"lineage"` // of the registry that was before
}

// Hours are the whole hours, in UTC, that the stretch touches: those whose aggregates are to be rebuilt.
func (s Suspect) Hours() (hours []time.Time) {
	for h := s.From.UTC().Truncate(time.Hour); !h.After(s.To); h = h.Add(time.Hour) {
		hours = append(hours, h)
	}
	return hours
}

// suspects is the key of a list's suspect stretches. It is a key of its own: a Redis that came back empty has no registry,
// and programs that know nothing of it leave it alone.
func (l list) suspects() string { return l.registry() + ":suspect" }

// record keeps that a list's history went back.
func (w WentBack) record(ctx context.Context, e evaluator, l list) error {
	crash.Before("redis/suspect")
	r, _, err := e.eval(ctx, suspectScript, []string{l.suspects()}, []string{w.ID, strconv.FormatInt(w.From.UnixMilli(), 10),
		strconv.FormatInt(w.To.UnixMilli(), 10), strconv.Itoa(w.Undone), w.Lineage})
	crash.After("redis/suspect")
	if err == nil && r.word() != "ok" {
		err = refusal(suspectScript, l.name, r)
	}
	return err
}

// parseSuspects reads the hash of a list's suspect stretches; in the order of their beginnings.
func parseSuspects(fields map[string]string) (out []Suspect, err error) {
	for id, v := range fields {
		w := strings.Split(v, " ")
		if len(w) != 4 {
			return nil, fmt.Errorf("a suspect stretch is recorded as %q", v)
		}
		from, err1 := strconv.ParseInt(w[0], 10, 64)
		to, err2 := strconv.ParseInt(w[1], 10, 64)
		n, err3 := strconv.Atoi(w[2])
		if errors.Join(err1, err2, err3) != nil {
			return nil, fmt.Errorf("a suspect stretch is recorded as %q", v)
		}
		out = append(out, Suspect{ID: id, From: time.UnixMilli(from).UTC(), To: time.UnixMilli(to).UTC(), Claims: n, Lineage: w[3]})
	}
	slices.SortFunc(out, func(a, b Suspect) int { return cmp.Or(a.From.Compare(b.From), cmp.Compare(a.ID, b.ID)) })
	return out, nil
}

// Suspects returns the stretches of every list that Redis lost writes of, by list.
func (s *Source) Suspects(ctx context.Context) (map[string][]Suspect, error) {
	lists, err := s.Audit(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string][]Suspect{}
	for i := range lists {
		if len(lists[i].Suspect) > 0 {
			out[lists[i].List] = lists[i].Suspect
		}
	}
	return out, nil
}

// ClearSuspect forgets stretches of a list by their IDs, all of them without any, and returns how many there were: what is
// to be done about them is done, such as a rebuild of their hours.
func (s *Source) ClearSuspect(ctx context.Context, listName string, ids ...string) (int, error) {
	l, err := s.find(listName)
	if err != nil {
		return 0, err
	}
	at, err := s.reach(ctx)
	if err != nil {
		return 0, err
	}
	defer at.close()
	n := 0
	err = at.on(ctx, l, func(c *control) error {
		gone, err := clearSuspect(ctx, c, l, ids)
		n += gone
		return err
	})
	if err != nil {
		err = fmt.Errorf("clear what is suspect of list %s: %w", listName, err)
	}
	return n, err
}

func clearSuspect(ctx context.Context, c *control, l list, ids []string) (int, error) {
	v, err := readList(ctx, c, l)
	if err != nil {
		return 0, err
	}
	var fields []string
	for _, s := range v.suspects {
		if len(ids) == 0 || slices.Contains(ids, s.ID) {
			fields = append(fields, s.ID)
		}
	}
	if len(fields) == 0 {
		return 0, nil
	}
	crash.Before("redis/clear-suspect")
	_, err = c.do(ctx, c.conn.B().Hdel().Key(l.suspects()).Field(fields...).Build())
	crash.After("redis/clear-suspect")
	return len(fields), err
}
