package redislist

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"sluice/internal/crash"
	"sluice/internal/pipeline"
	"sluice/internal/record"
)

// releaseBatch bounds the claims that one script works on, since a script stops the server for its time.
const releaseBatch = 100

// Released tells what an operator's release did.
type Released struct {
	Records uint64 // positions that the sink will not get
	Home    string // state directory that the list waited for
}

// find returns a list by name.
func (s *Source) find(name string) (list, error) {
	i := slices.IndexFunc(s.lists, func(l list) bool { return l.name == name })
	if i < 0 {
		return list{}, fmt.Errorf("source %s has no list %q", s.name, name)
	}
	return s.lists[i], nil
}

// ReleaseSink drops what the open claims of a list still owe a sink, and what lies in its spool. It is booked as filtered,
// and counted as released beside. A pump that works on the list meanwhile reads the registry again.
func (s *Source) ReleaseSink(ctx context.Context, listName, sink string) (Released, error) {
	return s.release(ctx, listName, func(c *control, l list) (r Released, err error) {
		v, err := readList(ctx, c, l)
		if err != nil {
			return r, err
		}
		if v.reg == nil {
			return r, errors.New("there is no registry")
		}
		var ids []pipeline.ClaimID
		for _, e := range v.reg.Claims {
			if slices.Contains(e.Sinks, sink) {
				ids = append(ids, e.ID)
			}
		}
		if _, ok := v.reg.Spools[sink]; ok && len(ids) == 0 {
			r.Records, err = dropSink(ctx, c, l, sink, nil)
			return r, err
		}
		for batch := range slices.Chunk(ids, releaseBatch) {
			n, err := dropSink(ctx, c, l, sink, batch)
			if err != nil {
				return r, err
			}
			r.Records += n
		}
		return r, nil
	})
}

// dropSink takes a sink out of what claims owe and returns how many positions it will not get.
func dropSink(ctx context.Context, e evaluator, l list, sink string, ids []pipeline.ClaimID) (uint64, error) {
	keys, args := []string{l.registry()}, []string{sink, strconv.Itoa(record.Span)}
	for _, id := range ids {
		keys, args = append(keys, l.claim(id)), append(args, id.String())
	}
	crash.Before("redis/drop-sink")
	r, _, err := e.eval(ctx, dropSinkScript, keys, args)
	crash.After("redis/drop-sink")
	if err == nil && r.word() != "ok" {
		err = refusal(dropSinkScript, l.name, r)
	}
	return uint64(r.int(1)), err
}

// ReleaseHome lets any pump have a list that waits for the state directory whose local sinks it is owed to.
func (s *Source) ReleaseHome(ctx context.Context, listName string) (Released, error) {
	return s.release(ctx, listName, func(c *control, l list) (Released, error) {
		crash.Before("redis/drop-home")
		r, _, err := c.eval(ctx, dropHomeScript, []string{l.registry()}, nil)
		crash.After("redis/drop-home")
		if err == nil && r.word() != "ok" {
			err = refusal(dropHomeScript, l.name, r)
		}
		return Released{Home: r.str(1)}, err
	})
}

func (s *Source) release(ctx context.Context, listName string, f func(*control, list) (Released, error)) (Released, error) {
	l, err := s.find(listName)
	if err != nil {
		return Released{}, err
	}
	at, err := s.reach(ctx)
	if err != nil {
		return Released{}, err
	}
	defer at.close()
	var r Released
	err = at.on(ctx, l, func(c *control) (err error) {
		more, err := f(c, l)
		r.Records += more.Records
		r.Home = cmp.Or(r.Home, more.Home)
		return err
	})
	if err != nil {
		err = fmt.Errorf("release list %s: %w", listName, err)
	}
	return r, err
}
