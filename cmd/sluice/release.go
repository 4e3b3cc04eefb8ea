package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"sluice/sources/redislist"
)

func releaseCommand(e *environment) *cobra.Command {
	var sink string
	c := &cobra.Command{
		Use:   "release LIST [--sink NAME]",
		Short: "Lets another pump have a list, or drops what a removed sink is still owed",
		Long: `Without --sink: a list whose local sinks (sqlite, csv) lie with a state directory that is lost may be taken over by
any pump. What the lost sinks had is lost with them; what they were still owed goes to the new pump's.

With --sink: what the open claims of the list still owe that sink is dropped. Those records never reach it; the ledger
books them as filtered. Do it for a sink that was removed from the configuration.`,
		Example: "  sluice release analytics-tyk-system-analytics\n  sluice release analytics-tyk-system-analytics --sink old",
		Args:    exactArgs("LIST"),
	}
	c.Flags().StringVar(&sink, "sink", "", "drop what this sink is still owed")
	c.RunE = func(c *cobra.Command, args []string) error { return e.release(c.Context(), args[0], sink) }
	return c
}

func (e *environment) release(ctx context.Context, list, sink string) error {
	sources, err := e.onlookers(ctx)
	if err != nil {
		return err
	}
	sources = slices.DeleteFunc(sources, func(s *redislist.Source) bool { return !slices.Contains(s.Lists(), list) })
	if len(sources) == 0 {
		return usageError{fmt.Errorf("no source has a list %q; sluice audit --output json names them", list)}
	}
	var errs []error
	for _, s := range sources {
		if sink == "" {
			r, err := s.ReleaseHome(ctx, list)
			errs = append(errs, err)
			if err == nil {
				fmt.Fprintf(e.stdout, "source %s: list %s no longer waits for state directory %q; what its local sinks had is not moved\n",
					s.Name(), list, r.Home)
			}
			continue
		}
		r, err := s.ReleaseSink(ctx, list, sink)
		errs = append(errs, err)
		if err == nil {
			fmt.Fprintf(e.stdout, "source %s: %d records of list %s will never reach sink %s; the ledger books them as filtered\n",
				s.Name(), r.Records, list, sink)
		}
	}
	return errors.Join(errs...)
}
