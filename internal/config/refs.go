package config

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"unicode"
)

// Resolver fetches what references name outside this machine. Schemes are aws-sm (Secrets Manager) and aws-ssm
// (Parameter Store). Errors hold no values.
type Resolver interface {
	Resolve(ctx context.Context, scheme, name string) (string, error)
}

// maxFileValue bounds what ${file:...} reads: a value, not a data file.
const maxFileValue = 64 << 10

// piece is a part of a scalar: text as it is, or a reference.
type piece struct {
	text   string // literal or resolved
	scheme string // empty for a literal; env, file, aws-sm, aws-ssm
	name   string
	dflt   string
	opt    bool // has a default
}

// pending is a scalar that waits for AWS.
type pending struct {
	path   string
	node   *node
	pieces []piece
}

// references resolves the references of a tree.
type references struct {
	env      []string
	problems []Problem
	waiting  []pending
}

func (r *references) report(n *node, path, what, cure string) {
	n.broken = true
	r.problems = append(r.problems, Problem{Line: n.line, Col: n.col, Key: path, What: what, Cure: cure})
}

// local resolves what needs no network. Values that need AWS are left pending.
func (r *references) local(path string, n *node) {
	if n.kind != textNode || n.from != "" || n.broken || !strings.Contains(n.text, "${") {
		return
	}
	pieces, err := splitReferences(n.text)
	if err != nil {
		r.report(n, path, err.Error(), "write ${NAME}, ${NAME:-default}, ${file:/path}, ${aws-sm:id} or ${aws-ssm:name}; $${ is a plain ${")
		return
	}
	for i, p := range pieces {
		switch p.scheme {
		case "aws-sm", "aws-ssm":
			n.pending = true
			continue
		case "env":
			pieces[i].text, err = r.variable(p)
		case "file":
			pieces[i].text, err = fileValue(p.name)
		}
		if err != nil {
			r.report(n, path, err.Error(), cureReference(p))
			return
		}
	}
	if n.pending {
		n.hidden, n.free = true, true
		r.waiting = append(r.waiting, pending{path, n, pieces})
		return
	}
	n.fill(pieces)
}

// fill puts resolved pieces together. Nothing in them is looked at again.
func (n *node) fill(pieces []piece) {
	n.pending = false
	var b strings.Builder
	for _, p := range pieces {
		b.WriteString(p.text)
		if p.scheme != "" {
			n.hidden, n.free = true, true
			n.parts = append(n.parts, p.text)
		}
	}
	n.text = b.String()
}

func (r *references) variable(p piece) (string, error) {
	if v, ok := lookup(r.env, p.name); ok && (v != "" || !p.opt) {
		return v, nil
	}
	if p.opt {
		return p.dflt, nil
	}
	return "", fmt.Errorf("the environment variable %s is not set", p.name)
}

// fileValue reads a file and trims white space at both ends. It never waits for a pipe's writer.
func fileValue(path string) (string, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a file")
	}
	if err != nil {
		return "", fmt.Errorf("cannot read the file %s: %w", path, cause(err))
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("cannot read the file %s: %w", path, cause(err))
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFileValue+1))
	if err != nil {
		return "", fmt.Errorf("cannot read the file %s: %w", path, cause(err))
	}
	if len(b) > maxFileValue {
		return "", fmt.Errorf("the file %s is larger than %d bytes", path, maxFileValue)
	}
	return strings.TrimSpace(string(b)), nil
}

// cause is an error of the file system without the path, which the message has already.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// remote resolves what waits for AWS, each name once.
func (r *references) remote(ctx context.Context, resolver Resolver) {
	type answer struct {
		value string
		err   error
	}
	answers := map[[2]string]answer{}
	for _, w := range r.waiting {
		failed := false
		for i, p := range w.pieces {
			if p.scheme != "aws-sm" && p.scheme != "aws-ssm" {
				continue
			}
			id := [2]string{p.scheme, p.name}
			a, known := answers[id]
			if !known {
				a.value, a.err = resolve(ctx, resolver, p)
				answers[id] = a
			}
			if a.err != nil {
				r.report(w.node, w.path, fmt.Sprintf("cannot resolve ${%s:%s}: %v", p.scheme, p.name, a.err), cureReference(p))
				failed = true
				break
			}
			w.pieces[i].text = a.value
		}
		if !failed {
			w.node.fill(w.pieces)
		}
	}
}

func resolve(ctx context.Context, resolver Resolver, p piece) (string, error) {
	if resolver == nil {
		return "", errors.New("references to AWS are not resolved here")
	}
	return resolver.Resolve(ctx, p.scheme, p.name)
}

func cureReference(p piece) string {
	switch p.scheme {
	case "env":
		return "set it, or write ${" + p.name + ":-default}"
	case "file":
		return "create it, or name another"
	}
	return "check its name, the region and the rights of this machine's role"
}

// splitReferences cuts a text into literals and references. Errors show names of references, never what is around.
func splitReferences(text string) ([]piece, error) {
	var out []piece
	literal := func(s string) {
		if s != "" {
			out = append(out, piece{text: s})
		}
	}
	for {
		i := strings.Index(text, "${")
		if i < 0 {
			literal(text)
			return out, nil
		}
		if i > 0 && text[i-1] == '$' {
			literal(text[:i-1] + "${")
			text = text[i+2:]
			continue
		}
		literal(text[:i])
		body, rest, closed := strings.Cut(text[i+2:], "}")
		if !closed {
			return nil, errors.New("a reference has no closing }")
		}
		p, err := reference(body)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
		text = rest
	}
}

func reference(body string) (piece, error) {
	if name, dflt, ok := strings.Cut(body, ":-"); ok && variableName(name) {
		return piece{scheme: "env", name: name, dflt: dflt, opt: true}, nil
	}
	if variableName(body) {
		return piece{scheme: "env", name: body}, nil
	}
	scheme, name, _ := strings.Cut(body, ":")
	switch scheme {
	case "file", "aws-sm", "aws-ssm":
		if name == "" {
			return piece{}, fmt.Errorf("the reference ${%s:} names nothing", scheme)
		}
		return piece{scheme: scheme, name: name}, nil
	}
	return piece{}, errors.New("not a reference that is known")
}

func variableName(s string) bool {
	for i, r := range s {
		if r != '_' && (r > unicode.MaxASCII || !unicode.IsLetter(r)) && (i == 0 || !unicode.IsDigit(r)) {
			return false
		}
	}
	return s != ""
}
