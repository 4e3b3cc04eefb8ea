package config

import (
	"errors"
	"io/fs"
	"os"
	"strings"
)

// Find is the path of the configuration file: the flag's if it is given, then SLUICE_CONFIG, then ./sluice.yaml, then
// /etc/sluice/sluice.yaml. A path that was asked for is returned whether or not it exists; if nothing was asked for and
// neither file exists, the error says where was looked.
func Find(flag string, env []string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	if p, ok := lookup(env, "SLUICE_CONFIG"); ok && p != "" {
		return p, nil
	}
	places := []string{"./sluice.yaml", "/etc/sluice/sluice.yaml"}
	for _, p := range places {
		if _, err := os.Stat(p); !errors.Is(err, fs.ErrNotExist) {
			return p, nil // also when it cannot be read: reading says why
		}
	}
	return "", &Error{Problems: []Problem{{
		What: "no configuration file: neither " + strings.Join(places, " nor ") + " exists",
		Cure: "name one with --config or SLUICE_CONFIG",
	}}}
}

// lookup finds a variable in an environment as os.Environ gives it; the last one counts.
func lookup(env []string, name string) (value string, ok bool) {
	for _, e := range env {
		if k, v, found := strings.Cut(e, "="); found && k == name {
			value, ok = v, true
		}
	}
	return value, ok
}
