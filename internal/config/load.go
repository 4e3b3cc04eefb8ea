package config

import (
	"context"
	"io"
	"os"
	"reflect"
	"strconv"
)

// Load reads the file at path, with overrides from env (as os.Environ gives it) and references resolved. resolver may
// be nil where AWS cannot be asked. ctx bounds the calls to AWS. Everything wrong is in one *Error; warnings are also
// given beside an error. Nothing connects to a source or sink.
func Load(ctx context.Context, path string, env []string, resolver Resolver) (*Config, []Warning, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, nil, &Error{File: path, Problems: []Problem{{
			What: "cannot read the file: " + cause(err).Error(), Cure: "name another with --config or SLUICE_CONFIG"}}}
	}
	return Parse(ctx, path, data, env, resolver)
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile+2))
}

// Parse is Load for a file that was read already; name is what messages call it.
func Parse(ctx context.Context, name string, data []byte, env []string, resolver Resolver) (*Config, []Warning, error) {
	l := loader{file: name, kinds: allKinds(), env: env}
	c, err := l.load(ctx, data, resolver)
	return c, l.warnings, err
}

// loader goes through the steps; see the package comment.
type loader struct {
	file     string
	kinds    kinds
	env      []string
	root     *node
	problems []Problem
	warnings []Warning
}

func (l *loader) load(ctx context.Context, data []byte, resolver Resolver) (*Config, error) {
	root, problems := parse(data)
	l.problems = problems
	if root == nil || root.kind != mapNode {
		return nil, l.fail(nil)
	}
	l.root = root
	o := overrides{root: root, kinds: l.kinds, env: l.env}
	o.apply()
	l.problems, l.warnings = append(l.problems, o.problems...), o.warnings

	r := references{env: l.env}
	root.each("", r.local)
	l.problems = append(l.problems, r.problems...)

	c := l.decode()
	if len(r.waiting) > 0 {
		if len(l.problems) > 0 { // what AWS holds changes nothing about these
			return nil, l.fail(c)
		}
		r.problems = nil
		r.remote(ctx, resolver)
		if l.problems = r.problems; len(l.problems) > 0 {
			return nil, l.fail(c)
		}
		c = l.decode()
	}
	v := validator{cfg: c, places: placesOf(root)}
	v.all()
	l.problems = append(l.problems, v.unreported(l.problems)...)
	if len(l.problems) > 0 {
		return nil, l.fail(c)
	}
	c.secrets = cleaned(c, root, l.env)
	return c, nil
}

// decode fills a configuration from the tree; hidden paths are those that references reach.
func (l *loader) decode() *Config {
	c := Defaults()
	d := decoder{kinds: l.kinds}
	d.value(l.root, reflect.ValueOf(c).Elem(), "", field{})
	l.problems = append(l.problems, d.problems...)
	c.inherit(l.root)
	c.file = l.file
	c.hidden = map[string]bool{}
	l.root.each("", func(path string, n *node) {
		if n.hidden {
			c.hidden[path] = true
		}
	})
	return c
}

// maxProblems bounds a message; nobody reads more at a time.
const maxProblems = 100

// fail makes the error, with every secret that is known taken out of its texts.
func (l *loader) fail(c *Config) *Error {
	s := newScrubber(c, l.root)
	ps := sortProblems(l.problems)
	if more := len(ps) - maxProblems; more > 0 {
		last := ps[maxProblems-1]
		ps = append(ps[:maxProblems], Problem{Line: last.Line, Col: last.Col,
			What: strconv.Itoa(more) + " more problems", Cure: "cure those above first"})
	}
	for i := range ps {
		ps[i].What, ps[i].Cure = s.clean(ps[i].What), s.clean(ps[i].Cure)
	}
	return &Error{File: l.file, Problems: ps}
}
