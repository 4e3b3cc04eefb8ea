// Command imports checks that the packages of this module import each other in
// one direction only. It prints every import that does not, with the rule that
// it breaks, and exits with 1 if there is one.
//
//	go run ./internal/testenv/imports
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

func main() {
	packages, err := list()
	if err != nil {
		fmt.Fprintf(os.Stderr, "imports: %v\n", err)
		os.Exit(2)
	}
	violations := check(packages)
	for _, v := range violations {
		fmt.Fprintln(os.Stderr, v)
	}
	if len(violations) > 0 {
		fmt.Fprintf(os.Stderr, "imports: %d imports against the rules of internal/testenv/imports\n", len(violations))
		os.Exit(1)
	}
	fmt.Printf("imports: %d packages import in the right direction\n", len(packages))
}

// pkg is what `go list -json` says of a package.
type pkg struct {
	ImportPath   string
	Imports      []string
	TestImports  []string // of the package's own tests
	XTestImports []string // of the tests in package x_test
}

func list() ([]pkg, error) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", module+"/...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list packages: %w", err)
	}
	var packages []pkg
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the list of packages: %w", err)
		}
		packages = append(packages, p)
	}
}
