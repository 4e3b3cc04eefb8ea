package main

import (
	"bufio"
	"bytes"
	"context"
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

// eachLetter reads the dead letters of the configured state directory, one at a time.
func (e *environment) eachLetter(c *cobra.Command, f func(*pipeline.Letter) error) error {
	cfg, log, err := e.load(c.Context())
	if err != nil {
		return err
	}
	read, closes, err := readsLetters(c.Context(), cfg, log)
	if err != nil {
		return err
	}
	defer closes()
	return read(c.Context(), f)
}

// letterChoice says which letters a list shows.
type letterChoice struct {
	sink        string
	skip, limit int
}

// over reads the letters of the choice. It ends with errMoreLetters where there are more.
func (o letterChoice) over(each letterReader) letterReader {
	return func(ctx context.Context, f func(*pipeline.Letter) error) error {
		seen := 0
		return each(ctx, func(l *pipeline.Letter) error {
			if o.sink != "" && l.Sink != o.sink {
				return nil
			}
			switch seen++; {
			case seen <= o.skip:
				return nil
			case o.limit > 0 && seen > o.skip+o.limit:
				return errMoreLetters
			}
			return f(l)
		})
	}
}

// errMoreLetters says that a list was cut at its limit.
var errMoreLetters = errors.New("there are more")

func lettersList(e *environment) *cobra.Command {
	var o letterChoice
	c := &cobra.Command{Use: "list", Short: "All dead letters, oldest first", Args: noArgs,
		Example: "  sluice deadletters list --limit 50\n  sluice deadletters list --sink search --skip 50 --limit 50"}
	c.Flags().StringVar(&o.sink, "sink", "", "only those of this sink; * are those of every sink")
	c.Flags().IntVar(&o.limit, "limit", 0, "at most so many; 0 means all")
	c.Flags().IntVar(&o.skip, "skip", 0, "leave out so many of the oldest")
	out := outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if o.limit < 0 || o.skip < 0 {
			return usageError{errors.New("--limit and --skip are not below 0; leave them out for all")}
		}
		read := o.over(func(_ context.Context, f func(*pipeline.Letter) error) error { return e.eachLetter(c, f) })
		if *out == "json" {
			return lettersJSON(c.Context(), e.stdout, read)
		}
		return lettersTable(c.Context(), e.stdout, read)
	}
	return c
}

// lettersJSON writes an array, a letter at a time.
func lettersJSON(ctx context.Context, w io.Writer, read letterReader) error {
	b := bufio.NewWriter(w)
	begin := "["
	err := read(ctx, func(l *pipeline.Letter) error {
		if _, err := b.WriteString(begin); err != nil {
			return err
		}
		begin = ",\n"
		line, err := marshal(l)
		if err == nil {
			_, err = b.Write(line)
		}
		return err
	})
	if err != nil && !errors.Is(err, errMoreLetters) {
		if begin == "[" {
			return err // nothing was written
		}
		return errors.Join(err, b.Flush())
	}
	if begin == "[" {
		_, _ = b.WriteString(begin)
	}
	_, _ = b.WriteString("]\n")
	return b.Flush()
}

// marshal writes a letter as JSON, with its reason as it is.
func marshal(l *pipeline.Letter) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(l)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// tableRows is how many rows a table is laid out by: its columns may shift behind them.
const tableRows = 1000

func lettersTable(ctx context.Context, w io.Writer, read letterReader) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	rows := 0
	err := read(ctx, func(l *pipeline.Letter) error {
		if rows == 0 {
			fmt.Fprintln(t, "ID\tSINK\tTIME\tLIST\tBYTES\tREASON")
		}
		rows++
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\n", l.ID, l.Sink, l.Time.Format(time.RFC3339), l.List, l.Length, printable(l.Reason))
		if rows%tableRows == 0 {
			return t.Flush()
		}
		return nil
	})
	if err := t.Flush(); err != nil {
		return err
	}
	switch {
	case errors.Is(err, errMoreLetters):
		_, err = fmt.Fprintln(w, "there are more: see --skip")
	case err == nil && rows == 0:
		_, err = fmt.Fprintln(w, "no dead letters")
	}
	return err
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
		found, err := deadletter.Find(c.Context(), func(_ context.Context, f func(*pipeline.Letter) error) error { return e.eachLetter(c, f) }, args[0])
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
		b := bufio.NewWriter(e.stdout)
		enc := json.NewEncoder(b)
		enc.SetEscapeHTML(false)
		return errors.Join(e.eachLetter(c, func(l *pipeline.Letter) error { return enc.Encode(l) }), b.Flush())
	}
	return c
}

func lettersRetry(e *environment) *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "retry [ID...]",
		Short: "Puts dead letters back, into a list of their own",
		Long: `A letter goes back into Redis, into a list of its own (a worker's: into a topic of its own), and is drained from
there to the sink that refused it (or to all, when it did not decode). It is listed no more; if it fails again it becomes a
new dead letter.`,
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
