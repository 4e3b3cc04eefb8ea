package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"sluice/internal/units"
	"sluice/retention/plan"
)

func (r *retainer) print(report *retainReport) error {
	return r.out.print(r.env.stdout, report, func(w io.Writer) error { return writePlan(w, report) })
}

// writePlan writes a plan for people: what is done, what is held back and by what, where the stores are heading.
func writePlan(w io.Writer, r *retainReport) error {
	var due, held []plan.Action
	for _, a := range r.Actions {
		if a.Held() {
			held = append(held, a)
		} else {
			due = append(due, a)
		}
	}
	if len(due) == 0 {
		fmt.Fprintln(w, "nothing to do")
	} else if err := writeActions(w, fmt.Sprintf("to do: %d", len(due)), due); err != nil {
		return err
	}
	if len(held) > 0 {
		fmt.Fprintln(w)
		if err := writeActions(w, fmt.Sprintf("held back: %d", len(held)), held); err != nil {
			return err
		}
	}
	if err := writeForecasts(w, r.Forecasts); err != nil {
		return err
	}
	for _, x := range r.Warnings {
		fmt.Fprintln(w, "warning:", printable(x))
	}
	for _, x := range r.Advice {
		fmt.Fprintln(w, "advice:", printable(x))
	}
	for _, n := range r.Notes {
		fmt.Fprintln(w, "note:", n)
	}
	for _, p := range r.Problems {
		fmt.Fprintln(w, "problem:", printable(p))
	}
	return writeOutcome(w, r)
}

func writeActions(w io.Writer, title string, actions []plan.Action) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%s\nACTION\tSTORE\tTARGET\tRECORDS\tFREES\tREASON\n", title)
	for _, a := range actions {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\n", what(&a), a.Store, printable(target(&a)), a.Records, bytesText(a.Bytes), printable(a.Reason))
		if a.Locks != "" {
			fmt.Fprintf(t, "  takes\t\t%s\t\t\t\n", printable(a.Locks))
		}
		for _, h := range a.HeldBy {
			fmt.Fprintf(t, "  held by\t\t%s\t\t\t\n", printable(h))
		}
	}
	return t.Flush()
}

// what is an action in words.
func what(a *plan.Action) string {
	s := string(a.Verb)
	switch {
	case a.Objects > 0:
		s = strings.Replace(s, "objects", fmt.Sprintf("%d files", a.Objects), 1)
		if a.Verb == plan.Compact {
			s += fmt.Sprintf(" %d objects", a.Objects)
		}
	case a.Verb == plan.RollUp:
		s += " " + a.Width + " to " + a.Into
	case a.Verb == plan.ResizeCapped, a.Verb == plan.ConvertCapped:
		s += " to " + units.Size(a.Size).String()
	case a.Emptied:
		s += " (emptied, " + a.Width + ")"
	case a.Width != "":
		s += " (" + a.Width + ")"
	}
	return s
}

const maxOrgsShown = 3

// target is where it is, whose, and of when.
func target(a *plan.Action) string {
	s := a.Target
	if n := len(a.Orgs); n > 0 && a.Verb != plan.DeleteIndex {
		s += " of " + strings.Join(a.Orgs[:min(n, maxOrgsShown)], ", ")
		if n > maxOrgsShown {
			s += fmt.Sprintf(" and %d more", n-maxOrgsShown)
		}
	}
	if a.Verb == plan.DeleteDocuments || a.Verb == plan.RollUp {
		s += " from " + a.From.UTC().Format(time.DateOnly) + " to " + a.To.UTC().Format(time.DateOnly)
	}
	return s
}

func writeForecasts(w io.Writer, fs []plan.Forecast) error {
	if len(fs) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nSTORE\tRECORDS\tSIZE\tOLDEST\tNEWEST\tFULL\tWHY")
	for _, f := range fs {
		full := "-"
		if !f.Full.IsZero() {
			full = f.Full.Format(time.DateOnly)
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\t%s\n", f.Store, f.Items, bytesText(f.Bytes), dateText(f.Oldest), dateText(f.Newest.Add(-time.Nanosecond)), full, f.Why)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}

func dateText(t time.Time) string {
	if t.Year() < 1970 { // none
		return "-"
	}
	return t.UTC().Format(time.DateOnly)
}

func writeOutcome(w io.Writer, r *retainReport) error {
	if r.Applied == nil {
		return nil
	}
	good := 0
	for _, o := range r.Applied {
		if o.Err != "" {
			fmt.Fprintf(w, "failed: %s %s: %s\n", o.Verb, o.Target, printable(o.Err))
			continue
		}
		good++
	}
	_, err := fmt.Fprintf(w, "done: %d of %d actions\n", good, len(r.Due()))
	return err
}

// bytesText is a size with three digits.
func bytesText(n int64) string {
	for _, u := range []struct {
		of   units.Size
		name string
	}{{units.GiB, "GiB"}, {units.MiB, "MiB"}, {units.KiB, "KiB"}} {
		if n >= int64(u.of) {
			return fmt.Sprintf("%.3g %s", float64(n)/float64(u.of), u.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}
