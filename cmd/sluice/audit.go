package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/pipeline"
	"sluice/sources/redislist"
)

// auditTime bounds one reading of the ledger.
const auditTime = 10 * time.Second

// audit is the ledger of all sources. The JSON form is fixed by the contract; what it has beyond is added.
type audit struct {
	Taken    uint64                           `json:"taken"`
	Balanced bool                             `json:"balanced"`
	Sinks    map[string]sinkLedger            `json:"sinks"`
	Sources  map[string][]redislist.ListAudit `json:"sources"`
	Strange  []string                         `json:"strange,omitempty"`
	oldest   map[string]time.Time             // by sink: when the oldest claim it is owed was made
}

// sinkLedger is a sink's columns. What the sink was never owed (claimed before it was configured, or of a kind it does not
// take) is part of filtered, so that every sink's columns make up taken.
type sinkLedger struct {
	pipeline.Counts
	NotOwed uint64 `json:"not_owed"`
}

// readAudit reads the ledger from every source; it needs no lease and disturbs nobody.
func readAudit(ctx context.Context, sources []source) (*audit, error) {
	a := &audit{Balanced: true, Sinks: map[string]sinkLedger{}, Sources: map[string][]redislist.ListAudit{},
		oldest: map[string]time.Time{}}
	owed := map[string]uint64{}
	for _, s := range sources {
		lists, err := s.Audit(ctx)
		if err != nil {
			return nil, fmt.Errorf("audit source %s: %w", s.Name(), err)
		}
		a.Sources[s.Name()] = lists
		for i := range lists {
			a.add(&lists[i], owed)
		}
	}
	a.close(owed)
	return a, nil
}

func (a *audit) add(l *redislist.ListAudit, owed map[string]uint64) {
	a.Taken += l.Taken
	for name, k := range l.Sinks {
		s := a.Sinks[name]
		s.Counts = s.Plus(k.Counts)
		a.Sinks[name] = s
		owed[name] += k.Taken
	}
	for _, c := range l.Claims {
		for _, name := range c.Owes {
			if t, ok := a.oldest[name]; c.Cursors[name] < c.Len && (!ok || c.Time.Before(t)) {
				a.oldest[name] = c.Time
			}
		}
	}
	for _, s := range l.Strange {
		a.Strange = append(a.Strange, l.List+": "+s)
	}
}

func (a *audit) close(owed map[string]uint64) {
	for name, s := range a.Sinks {
		s.NotOwed = a.Taken - min(a.Taken, owed[name])
		s.Filtered += s.NotOwed
		a.Sinks[name] = s
		if s.Total() != a.Taken {
			a.Balanced = false
			a.Strange = append(a.Strange, fmt.Sprintf("sink %s accounts for %d of %d", name, s.Total(), a.Taken))
		}
	}
	if len(a.Strange) > 0 {
		a.Balanced = false
	}
}

// sheds says what was given up for lack of room, a line for each list and sink.
func (a *audit) sheds() (lines []string) {
	for _, source := range sortedKeys(a.Sources) {
		for i := range a.Sources[source] {
			l := &a.Sources[source][i]
			for _, sink := range sortedKeys(l.Sheds) {
				s := l.Sheds[sink]
				lines = append(lines, fmt.Sprintf("sink %s shed %d records of list %s, claimed from %s to %s, between %s and %s", sink, l.Sinks[sink].Shed,
					l.List, s.First.Format(time.RFC3339), s.Last.Format(time.RFC3339), s.From, s.To))
			}
		}
	}
	return lines
}

// waiting is how many records lie in lists, not claimed yet.
func (a *audit) waiting() (n uint64) {
	for _, lists := range a.Sources {
		for i := range lists {
			n += lists[i].Waiting
		}
	}
	return n
}

// suspect says of which lists Redis lost writes, and in which hours, with the commands that cure it.
func (a *audit) suspect() (lines []string) {
	for _, source := range sortedKeys(a.Sources) {
		for _, l := range a.Sources[source] {
			for _, s := range l.Suspect {
				from, to := s.From.UTC().Truncate(time.Hour), s.To.UTC().Truncate(time.Hour).Add(time.Hour)
				lines = append(lines, fmt.Sprintf("history of a list went back: source %s, %s: what came from %s to %s may be lost or counted twice. "+
					"When what came again is drained: sluice replay --from %s --to %s --sink NAME for each mongo-aggregate and sqlite sink, then sluice release %s --suspect",
					source, l.List, s.From.UTC().Format(time.RFC3339), s.To.UTC().Format(time.RFC3339), from.Format(time.RFC3339), to.Format(time.RFC3339), l.List))
			}
		}
	}
	return lines
}

func (a *audit) ledger() pipeline.Ledger {
	l := pipeline.Ledger{Taken: a.Taken, Balanced: a.Balanced, Sinks: map[string]pipeline.Counts{}}
	for name, s := range a.Sinks {
		l.Sinks[name] = s.Counts
	}
	return l
}

// text writes the ledger as a table whose columns add up to what was taken.
func (a *audit) text(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "sink\ttaken\t= effective\t+ duplicates\t+ filtered\t+ dead letters\t+ spooled\t+ pending\t")
	for _, name := range sortedKeys(a.Sinks) {
		s := a.Sinks[name]
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", name, a.Taken, s.Effective, s.Duplicates, s.Filtered,
			s.DeadLetters, s.Spooled, s.Pending)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, s := range a.Strange {
		fmt.Fprintln(w, "strange:", s)
	}
	for _, s := range a.sheds() {
		fmt.Fprintln(w, s)
	}
	for _, line := range a.suspect() {
		fmt.Fprintln(w, "suspect:", line)
	}
	if n := a.waiting(); n > 0 {
		fmt.Fprintf(w, "%d records wait in lists, taken by nobody yet\n", n)
	}
	verdict := "the ledger is balanced"
	if !a.Balanced {
		verdict = "THE LEDGER DOES NOT BALANCE"
	}
	_, err := fmt.Fprintf(w, "%d records taken; %s\n", a.Taken, verdict)
	return err
}

func auditCommand(e *environment) *cobra.Command {
	c := &cobra.Command{
		Use:   "audit",
		Short: "The ledger: taken = effective + duplicates + filtered + dead letters + spooled + pending",
		Long: `Reads the ledger of every list from Redis, where it is kept in the same atomic step as the cursors, so that it is
exact after any crash. That of workers is kept with their consumer group's offsets, partition by partition. It changes
nothing and may run beside any number of pumps. Exits 1 if it does not balance.

With --deep it recounts the stores against the archive, hour by hour, and names what is missing or strange: records by
their ID, counters of aggregates by document, and of the archive itself gaps, overlaps and damage. What rules, expiry,
filters or dead letters explain is no difference; what is not settled on both sides yet is said to be in flight. It may
run beside pumps, changes nothing, and exits 1 when something differs.`,
		Example: `  sluice audit
  sluice audit --output json
  sluice audit --deep --from 2026-11-22 --to 2026-11-23
  sluice audit --deep --sink raw --rate 20000/s`,
		Args: noArgs,
	}
	var deep deepOptions
	deep.flags(c)
	out := outputFlag(c)
	part := roleFlag(c, "whose ledger: of edges (Redis into Kafka), of workers (Kafka into the sinks), or of pumps without Kafka")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := deep.check(c); err != nil {
			return err
		}
		if deep.deep {
			return e.auditDeep(c.Context(), role(*part), &deep, out)
		}
		a, err := e.audit(c.Context(), role(*part))
		if err != nil {
			return err
		}
		if err := out.print(e.stdout, a, a.text); err != nil {
			return err
		}
		if !a.Balanced {
			return silentError{}
		}
		return nil
	}
	return c
}

func (e *environment) audit(ctx context.Context, r role) (*audit, error) {
	sources, err := e.onlookers(ctx, r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, auditTime, errors.New("no answer from Redis or Kafka in time"))
	defer cancel()
	return readAudit(ctx, sources)
}

// onlookers are the configured sources of a role, for commands that look, or that act for an operator.
func (e *environment) onlookers(ctx context.Context, r role) ([]source, error) {
	cfg, log, err := e.load(ctx)
	if err != nil {
		return nil, err
	}
	if cfg, err = r.part(cfg); err != nil {
		return nil, err
	}
	return onlookingSources(cfg, log)
}
