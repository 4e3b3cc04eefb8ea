package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"sluice/internal/config"
	"sluice/internal/importconfig"
)

// imported is the result of import-config.
type imported struct {
	Config   string                  `json:"config"`
	Unmapped []importconfig.Unmapped `json:"unmapped"`
	Secrets  []importconfig.Secret   `json:"secrets"`
}

func importConfigCommand(e *environment) *cobra.Command {
	c := &cobra.Command{
		Use:   "import-config PUMP.CONF",
		Short: "A tyk-pump configuration as a sluice.yaml, with a list of what has no equal",
		Long: `Reads a configuration of tyk-pump and the TYK_PMP_* variables of this environment, which win over it. The sluice.yaml goes to
standard output; what has no equal, or wants a look, stands at its end as comments and on standard error. No password is
written: each becomes a reference to a variable of the environment, and the list says which gets what.`,
		Example: `  sluice import-config pump.conf > sluice.yaml
  sluice check --config sluice.yaml               with the variables set that it names
  sluice import-config pump.conf --output json`,
		Args: exactArgs("PUMP.CONF"),
	}
	out := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		r, err := e.importConfig(c.Context(), args[0])
		if err != nil {
			return err
		}
		for _, s := range r.Secrets {
			fmt.Fprintf(e.stderr, "import-config: set %s to the secret of %s\n", s.Variable, s.From)
		}
		for _, u := range r.Unmapped {
			fmt.Fprintf(e.stderr, "import-config: %s: %s\n", u.Key, u.Reason)
		}
		return out.print(e.stdout, r, func(w io.Writer) error {
			_, err := io.WriteString(w, r.Config)
			return err
		})
	}
	return c
}

func (e *environment) importConfig(ctx context.Context, path string) (*imported, error) {
	data, err := readPumpConf(path)
	if err != nil {
		return nil, usageError{err}
	}
	r, err := importconfig.Convert(data, e.env)
	if err != nil {
		return nil, usageError{fmt.Errorf("%s:%w; name a pump.conf of tyk-pump", path, err)}
	}
	text, err := validated(ctx, r)
	if err != nil {
		return nil, err
	}
	return &imported{Config: text, Unmapped: append([]importconfig.Unmapped{}, r.Unmapped...),
		Secrets: append([]importconfig.Secret{}, r.Secrets...)}, nil
}

// maxPumpConf is far more than a configuration has.
const maxPumpConf = 4 << 20

func readPumpConf(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxPumpConf+1))
	if err == nil && len(data) > maxPumpConf {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxPumpConf)
	}
	return data, err
}

// validated is the sluice.yaml. What check would refuse, with every variable set, is added to the list.
func validated(ctx context.Context, r *importconfig.Result) (string, error) {
	text, err := r.YAML()
	if err != nil {
		return "", err
	}
	var env []string
	for _, s := range r.Secrets {
		env = append(env, s.Variable+"=x")
	}
	var wrong *config.Error
	if _, _, err := config.Parse(ctx, "sluice.yaml", []byte(text), env, nil); !errors.As(err, &wrong) {
		return text, err
	}
	for _, p := range wrong.Problems {
		r.Note("sluice.yaml: "+p.Key, "must be set right before you start: "+p.What+"; "+p.Cure)
	}
	return r.YAML()
}
