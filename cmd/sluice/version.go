package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker; a plain go build shows the module's version and commit instead.
var version = ""

type build struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
}

func thisBuild() build {
	b := build{Version: version, Commit: "unknown", Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.Commit = s.Value
		}
	}
	return b
}

func versionCommand(e *environment) *cobra.Command {
	c := &cobra.Command{Use: "version", Short: "Version, commit and Go", Args: noArgs}
	out := outputFlag(c)
	c.RunE = func(*cobra.Command, []string) error {
		b := thisBuild()
		return out.print(e.stdout, b, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "sluice %s, commit %s, %s\n", b.Version, b.Commit, b.Go)
			return err
		})
	}
	return c
}
