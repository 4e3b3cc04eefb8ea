package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// environment is what commands get from outside.
type environment struct {
	env            []string
	stdout, stderr io.Writer
	config         string              // --config
	clean          func(string) string // takes the secrets of the configuration that was loaded out of a text
}

func newRoot(e *environment) *cobra.Command {
	root := &cobra.Command{
		Use:   "sluice",
		Short: "Moves Tyk API analytics from Redis to MongoDB, OpenSearch and an S3 archive, each record exactly once",
		Long: `Sluice drains the API analytics that Tyk gateways leave in Redis and fans them out to MongoDB (aggregates for the
Tyk Dashboard and a raw collection), OpenSearch and CSV archives on S3. Every record takes effect exactly once in
every sink, whatever is killed, cut off, slow or full on the way.`,
		Example: `  sluice demo                          the whole pipeline on this machine, with made-up traffic
  sluice check --connect               is the configuration right, and everything reachable
  sluice run                           the daemon
  sluice run --once                    drain what is there, then end
  sluice audit                         the ledger: nothing lost, nothing twice`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noArgs,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.PersistentFlags().StringVar(&e.config, "config", "",
		"configuration file (default: SLUICE_CONFIG, ./sluice.yaml, /etc/sluice/sluice.yaml)")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see %s --help", err, c.CommandPath())}
	})
	root.AddCommand(demoCommand(e), runCommand(e), checkCommand(e), auditCommand(e), deadLettersCommand(e),
		archiveCommand(e), replayCommand(e), releaseCommand(e), retainCommand(e), generateCommand(e), configCommand(e), importConfigCommand(e), versionCommand(e))
	return root
}

// strictCompletion makes the command for shells refuse one that it does not know, in place of showing its help. The root's output must
// be set.
func strictCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			c.Args, c.RunE = noArgs, func(c *cobra.Command, _ []string) error { return c.Help() }
		}
	}
}

// noArgs refuses arguments with the exit code of a usage error.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unknown command or argument %q; see %s --help", args[0], c.CommandPath())}
	}
	return nil
}

// exactArgs wants as many arguments as names.
func exactArgs(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return usageError{fmt.Errorf("%s takes %s; see %s --help", c.Name(), strings.Join(names, " "), c.CommandPath())}
		}
		return nil
	}
}

// output is the form of a command's result.
type output string

func outputFlag(c *cobra.Command) *output {
	o := output("text")
	c.Flags().Var(&o, "output", "form of the result: text or json")
	return &o
}

// String, Set and Type make output a flag.
func (o *output) String() string { return string(*o) }

// Set implements pflag.Value.
func (o *output) Set(s string) error {
	if s != "text" && s != "json" {
		return fmt.Errorf("%q is neither text nor json", s)
	}
	*o = output(s)
	return nil
}

// Type implements pflag.Value.
func (o *output) Type() string { return "form" }

// print writes a result: as JSON, or as text writes it.
func (o *output) print(w io.Writer, v any, text func(io.Writer) error) error {
	if *o == "text" {
		return text(w)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
