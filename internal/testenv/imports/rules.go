package main

import (
	"fmt"
	"slices"
	"strings"
)

const module = "sluice"

// layers are the parts of the module from the bottom to the top. A package may
// import its own layer and the ones below it. A part covers what lies in its
// directory.
var layers = [][]string{
	{"schemas", "internal/record", "internal/units"},
	{"internal/pipeline", "aggregate", "internal/archive", "internal/traffic", "internal/deadletter"},
	{"sources", "sinks", "retention"},
	{"internal/config"},
	{"internal/console", "cmd"},
}

// helperLayer is the highest layer that the small shared packages may import:
// those under internal that are no layer of their own. All may import them.
const helperLayer = 1

// forTests are the parts that only tests and each other may import: they hold
// servers, faults and the slow second opinions that tests compare with.
var forTests = []string{
	"internal/testenv", "internal/fault", "internal/record/reference",
	"aggregate/recount", "sinks/sinktest", "benchmarks",
}

// pure are the parts that do no I/O, so that they can be replayed and fuzzed.
var pure = []string{"aggregate", "internal/record"}

// withIO are the packages of the standard library that reach outside the
// process. A path ending with a slash covers what is below it.
var withIO = []string{
	"database/", "io/ioutil", "log/syslog", "net", "net/http", "net/http/", "net/rpc", "net/rpc/",
	"net/smtp", "os", "os/", "plugin", "syscall", "testing", "testing/",
}

// pureLibraries are the libraries that do no I/O. One that is not listed is
// taken for one that does.
var pureLibraries = []string{
	"github.com/cespare/xxhash", "github.com/minio/highwayhash",
	"github.com/vmihailenco/msgpack", "google.golang.org/protobuf",
}

// check returns one line for every import that breaks a rule, in order.
func check(packages []pkg) []string {
	var out []string
	for _, p := range packages {
		from := local(p.ImportPath)
		for _, path := range p.Imports {
			for _, rule := range []func(string, string) string{direction, production, ioFree} {
				out = appendBroken(out, from, path, rule(from, path))
			}
		}
		tests := slices.Concat(p.Imports, p.TestImports, p.XTestImports)
		slices.Sort(tests)
		for _, path := range slices.Compact(tests) {
			out = appendBroken(out, from, path, siblings(from, path))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func appendBroken(out []string, from, path, rule string) []string {
	if rule == "" {
		return out
	}
	return append(out, fmt.Sprintf("%s imports %s: %s", from, local(path), rule))
}

// direction holds the order of the layers.
func direction(from, path string) string {
	if !isLocal(path) || in(from, forTests) || in(local(path), forTests) {
		return "" // the latter is the business of production
	}
	f, t := layer(from), layer(local(path))
	switch {
	case f < 0 && t > helperLayer:
		return "a shared helper imports only " + upTo(helperLayer)
	case f < 0 || t <= f:
		return ""
	case in(from, []string{"internal/pipeline"}) && in(local(path), []string{"sources", "sinks"}):
		return "the pipeline knows no concrete source and no sink"
	}
	return "it imports only " + upTo(f)
}

// production holds that nothing made for tests is in the program.
func production(from, path string) string {
	switch {
	case in(from, forTests):
		return ""
	case isLocal(path) && in(local(path), forTests):
		return "that is made for tests only"
	case path == "testing":
		return "production code does not use the testing package"
	}
	return ""
}

// siblings holds that every source and every sink stands alone, in tests too.
// All tests may use the contract suite.
func siblings(from, path string) string {
	for _, family := range []string{"sources", "sinks"} {
		f, t := member(family, from), member(family, local(path))
		if f != "" && t != "" && f != t && t != "sinktest" {
			return family + " never import each other"
		}
	}
	return ""
}

// ioFree holds that the pure parts stay pure.
func ioFree(from, path string) string {
	if !in(from, pure) || in(from, forTests) || isLocal(path) {
		return ""
	}
	if isStandard(path) {
		if slices.ContainsFunc(withIO, func(io string) bool {
			return path == io || strings.HasSuffix(io, "/") && strings.HasPrefix(path, io)
		}) {
			return "this package does no I/O"
		}
		return ""
	}
	if !in(path, pureLibraries) {
		return "this package does no I/O, and that library is not listed as doing none"
	}
	return ""
}

// layer returns the index of the layer of a local path, and -1 for a helper.
func layer(path string) int {
	for i, parts := range layers {
		if in(path, parts) {
			return i
		}
	}
	if strings.HasPrefix(path, "internal/") {
		return -1
	}
	return len(layers) // a new directory at the top may import everything
}

// upTo names the layers up to i.
func upTo(i int) string {
	return strings.Join(slices.Concat(layers[:min(i, len(layers)-1)+1]...), ", ") + " and helpers"
}

// member returns the name of the source or sink that a local path belongs to.
func member(family, path string) string {
	rest, ok := strings.CutPrefix(path, family+"/")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}

// in says whether path is one of the parts or lies below one.
func in(path string, parts []string) bool {
	return slices.ContainsFunc(parts, func(part string) bool {
		return path == part || strings.HasPrefix(path, part+"/")
	})
}

func isLocal(path string) bool { return path == module || strings.HasPrefix(path, module+"/") }

// local returns a path of this module as seen from its root, and another path
// as it is.
func local(path string) string { return strings.TrimPrefix(path, module+"/") }

// isStandard tells the standard library by its first element, which has no dot.
func isStandard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}
