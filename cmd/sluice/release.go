package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sluice/sources/redislist"
)

func releaseCommand(e *environment) *cobra.Command {
	var sink string
	var part *string
	var suspect bool
	c := &cobra.Command{
		Use:   "release LIST [--sink NAME | --suspect]",
		Short: "Lets another pump have a list, or drops what a removed sink is still owed",
		Long: `Without --sink: a list whose local sinks (sqlite, csv) lie with a state directory that is lost may be taken over by
any pump. What the lost sinks had is lost with them; what they were still owed goes to the new pump's.

With --sink: what the open claims of the list still owe that sink is dropped, and what lies in its spool is given up. Those
records never reach it; the ledger books them as filtered. Do it for a sink that was removed from the configuration, or
whose spool is lost.

With --role worker LIST is a partition, as TOPIC/PARTITION, that is held because messages in it are missing. They are given
up and counted as lost; no worker may run meanwhile.

With --suspect: the hours in which Redis lost writes of the list (see sluice audit) are dealt with, by a rebuild say, and
need no alarm any more. Nothing but the alarm goes.`,
		Example: "  sluice release analytics-tyk-system-analytics\n  sluice release analytics-tyk-system-analytics --sink old",
		Args:    exactArgs("LIST"),
	}
	c.Flags().StringVar(&sink, "sink", "", "drop what this sink is still owed")
	c.Flags().BoolVar(&suspect, "suspect", false, "forget the hours in which Redis lost writes of the list")
	c.MarkFlagsMutuallyExclusive("sink", "suspect")
	out := outputFlag(c)
	part = roleFlag(c, "whose list: worker for the partition of a topic, as TOPIC/PARTITION")
	c.RunE = func(c *cobra.Command, args []string) error {
		done, err := e.release(c.Context(), role(*part), args[0], sink, suspect)
		return errors.Join(err, out.print(e.stdout, done, func(w io.Writer) error { return writeReleased(w, done) }))
	}
	return c
}

// released is what a release did at one source.
type released struct {
	Source  string `json:"source"`
	List    string `json:"list"`
	Sink    string `json:"sink,omitempty"`
	Records uint64 `json:"records"`           // that will never reach the sink
	Lost    uint64 `json:"lost,omitempty"`    // messages of a partition that are missing and were given up
	Home    string `json:"home,omitempty"`    // the state directory that the list waited for
	Suspect *int   `json:"suspect,omitempty"` // stretches that are no longer suspect
}

func (e *environment) release(ctx context.Context, r role, list, sink string, suspect bool) ([]released, error) {
	all, err := e.onlookers(ctx, r)
	if err != nil {
		return nil, err
	}
	if r == roleWorker {
		return releasePartition(ctx, all, list, sink)
	}
	sources := ofRedis(all)
	sources = slices.DeleteFunc(sources, func(s *redislist.Source) bool { return !slices.Contains(s.Lists(), list) })
	if len(sources) == 0 {
		return nil, usageError{fmt.Errorf("no source has a list %q; sluice audit --output json names them", list)}
	}
	done := []released{}
	var errs []error
	for _, s := range sources {
		var r redislist.Released
		var cleared *int
		switch {
		case suspect:
			var n int
			n, err = s.ClearSuspect(ctx, list)
			cleared = &n
		case sink == "":
			r, err = s.ReleaseHome(ctx, list)
		default:
			r, err = s.ReleaseSink(ctx, list, sink)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		done = append(done, released{Source: s.Name(), List: list, Sink: sink, Records: r.Records, Home: r.Home, Suspect: cleared})
	}
	return done, errors.Join(errs...)
}

// releasePartition lets a partition go on behind what is missing in it.
func releasePartition(ctx context.Context, sources []source, list, sink string) ([]released, error) {
	if sink != "" {
		return nil, usageError{errors.New("--sink does not go with --role worker: a partition is held for all sinks")}
	}
	done := []released{}
	var errs []error
	for _, s := range sources {
		k, ok := s.(topicSource)
		if !ok || !k.has(list) {
			continue
		}
		r, err := k.Release(ctx, list)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		done = append(done, released{Source: s.Name(), List: list, Lost: r.Lost})
	}
	if len(done)+len(errs) == 0 {
		return nil, usageError{fmt.Errorf("no source reads a partition %q; write it as TOPIC/PARTITION", list)}
	}
	return done, errors.Join(errs...)
}

func writeReleased(w io.Writer, done []released) (err error) {
	for _, r := range done {
		switch {
		case r.Suspect != nil:
			_, err = fmt.Fprintf(w, "source %s: %d stretches of list %s are no longer suspect\n", r.Source, *r.Suspect, r.List)
		case r.Lost > 0:
			_, err = fmt.Fprintf(w, "source %s: %d messages of %s are given up; what follows them is taken next\n", r.Source, r.Lost, r.List)
		case r.Sink == "" && r.Home == "" && strings.Contains(r.List, "/"):
			_, err = fmt.Fprintf(w, "source %s: nothing is missing in %s; nothing was changed\n", r.Source, r.List)
		case r.Sink == "" && r.Home == "":
			_, err = fmt.Fprintf(w, "source %s: list %s waits for no state directory; nothing was changed\n", r.Source, r.List)
		case r.Sink != "" && r.Records == 0:
			_, err = fmt.Fprintf(w, "source %s: list %s owes sink %s nothing; nothing was dropped\n", r.Source, r.List, r.Sink)
		case r.Sink == "":
			_, err = fmt.Fprintf(w, "source %s: list %s no longer waits for state directory %q; what its local sinks had is not moved\n",
				r.Source, r.List, r.Home)
		default:
			_, err = fmt.Fprintf(w, "source %s: %d records of list %s will never reach sink %s; the ledger books them as filtered\n",
				r.Source, r.Records, r.List, r.Sink)
		}
	}
	return err
}
