package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/deadletter"
	"sluice/internal/pipeline"
)

func deadLettersCommand(e *environment) *cobra.Command {
	c := &cobra.Command{
		Use:   "deadletters",
		Short: "What could not be delivered, why, and the bytes",
		Long: `Records that can never be delivered are kept in the state directory, with their reason and their bytes: payloads
that do not decode, times outside the accepted window, records that a store refuses for good.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(lettersList(e), lettersShow(e), lettersExport(e), lettersRetry(e))
	return c
}

// letters reads the dead letters of the configured state directory.
func (e *environment) letters(c *cobra.Command) ([]pipeline.Letter, error) {
	cfg, log, err := e.load(c.Context())
	if err != nil {
		return nil, err
	}
	return readLetters(c.Context(), cfg, log)
}

func lettersList(e *environment) *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "All dead letters, oldest first", Args: noArgs}
	out := outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		letters, err := e.letters(c)
		if err != nil {
			return err
		}
		if letters == nil {
			letters = []pipeline.Letter{}
		}
		return out.print(e.stdout, letters, func(w io.Writer) error { return lettersTable(w, letters) })
	}
	return c
}

func lettersTable(w io.Writer, letters []pipeline.Letter) error {
	if len(letters) == 0 {
		_, err := fmt.Fprintln(w, "no dead letters")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ID\tSINK\tTIME\tLIST\tBYTES\tREASON")
	for i := range letters {
		l := &letters[i]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\n", l.ID, l.Sink, l.Time.Format(time.RFC3339), l.List, l.Length, printable(l.Reason))
	}
	return t.Flush()
}

// printable keeps what a store or a caller wrote from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '\uFFFD'
		}
		return r
	}, s)
}

func lettersShow(e *environment) *cobra.Command {
	c := &cobra.Command{Use: "show ID", Short: "One dead letter with its bytes", Args: exactArgs("ID"),
		Example: "  sluice deadletters show 6923f0a2\n  sluice deadletters show 6923f0a2 --output json"}
	out := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		letters, err := e.letters(c)
		if err != nil {
			return err
		}
		found, err := deadletter.Find(letters, args[0])
		if err != nil {
			return err
		}
		return out.print(e.stdout, found, func(w io.Writer) error {
			for i := range found {
				if err := showLetter(w, &found[i]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return c
}

func showLetter(w io.Writer, l *pipeline.Letter) error {
	_, err := fmt.Fprintf(w, "id        %s\nsink      %s\nreason    %s\ntime      %s\nsource    %s\nlist      %s\nposition  %s\nformat    %s, %s\nbytes     %d of %d\n%s\n",
		l.ID, l.Sink, printable(l.Reason), l.Time.Format(time.RFC3339Nano), l.Source, l.List, l.Position, l.Kind, l.Format,
		len(l.Bytes), l.Length, hexDump(l.Bytes))
	return err
}

func lettersExport(e *environment) *cobra.Command {
	c := &cobra.Command{Use: "export", Short: "All dead letters as JSON lines, their bytes in base64", Args: noArgs,
		Example: "  sluice deadletters export > letters.jsonl"}
	c.RunE = func(c *cobra.Command, _ []string) error {
		letters, err := e.letters(c)
		if err != nil {
			return err
		}
		enc := json.NewEncoder(e.stdout)
		enc.SetEscapeHTML(false)
		for i := range letters {
			if err := enc.Encode(&letters[i]); err != nil {
				return err
			}
		}
		return nil
	}
	return c
}

func lettersRetry(e *environment) *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "retry [ID...]",
		Short: "Puts dead letters back, into a list of their own",
		Long: `A letter goes back into Redis, into a list of its own, and is drained from there to the sink that refused it (or to
all, when it did not decode). It is listed no more; if it fails again it becomes a new dead letter.`,
		Example: "  sluice deadletters retry 6923f0a2\n  sluice deadletters retry --all",
	}
	c.Flags().BoolVar(&all, "all", false, "every dead letter")
	out := outputFlag(c)
	c.RunE = func(c *cobra.Command, ids []string) error {
		if all == (len(ids) > 0) {
			return usageError{errors.New("name the letters to retry, or give --all: one of the two")}
		}
		return e.retryLetters(c.Context(), ids, out)
	}
	return c
}
