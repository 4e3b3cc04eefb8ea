//go:build measured

package main

import (
	"encoding/json"
	"os"
	"runtime"
	"runtime/pprof"
)

// measured is for benchmarks/e2e, which builds the program with this tag. At the end it writes what the process allocated
// into the file that BENCH_MEASURED names, and a profile of its CPU time into that of BENCH_PROFILE.
func measured() (ended func()) {
	endProfile := func() error { return nil }
	if name := os.Getenv("BENCH_PROFILE"); name != "" {
		endProfile = profile(name)
	}
	return func() {
		err := endProfile()
		if name := os.Getenv("BENCH_MEASURED"); err == nil && name != "" {
			err = writeAllocations(name)
		}
		if err != nil {
			os.Stderr.WriteString("measured: " + err.Error() + "\n")
		}
	}
}

func profile(name string) (end func() error) {
	f, err := os.Create(name)
	if err == nil {
		err = pprof.StartCPUProfile(f)
	}
	return func() error {
		if err != nil {
			return err
		}
		pprof.StopCPUProfile()
		return f.Close()
	}
}

func writeAllocations(name string) error {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b, err := json.Marshal(map[string]uint64{"mallocs": m.Mallocs, "bytes": m.TotalAlloc})
	if err != nil {
		return err
	}
	return os.WriteFile(name, b, 0o600)
}
