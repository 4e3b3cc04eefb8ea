package install

import (
	"context"
	"os/exec"
	"strings"
)

// CCompiler makes sure of the C compiler that Go's race detector needs.
func (in *Installer) CCompiler(ctx context.Context) error {
	find := func() (string, error) {
		out, err := exec.CommandContext(ctx, "go", "env", "CC").Output()
		name := "gcc"
		if fields := strings.Fields(string(out)); err == nil && len(fields) > 0 {
			name = fields[0]
		}
		return onPath("a C compiler ("+name+")", aptCure("gcc libc6-dev"), name)
	}
	_, err := in.orApt(ctx, find, "gcc", "libc6-dev")
	return err
}
