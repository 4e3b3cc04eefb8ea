// Package points finds every durable step in the source of the program, and the crash points around it. It is for tests:
// a step without its two points is a problem, and so is a point around nothing.
package points

import (
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/tools/go/packages"
)

// Step is a durable step with a point before and one after it.
type Step struct {
	Name  string   // of both points
	In    string   // the function, as package.Type.method
	Calls []string // what it does, as package.Type.Method
}

// Found is what the source has.
type Found struct {
	Steps    []Step   // by name
	Problems []string // steps without points, points without steps, exemptions that nothing needs
}

// Points are the names of the two points of every step, as crash.Env takes them.
func (f *Found) Points() []string {
	var out []string
	for _, s := range f.Steps {
		out = append(out, "before "+s.Name, "after "+s.Name)
	}
	return out
}

// Load reads the packages of the module that dir lies in, without their tests.
func Load(dir string, exempt []Exemption, patterns ...string) (*Found, error) {
	const mode = packages.NeedName | packages.NeedFiles | packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo |
		packages.NeedImports | packages.NeedExportFile
	pkgs, err := packages.Load(&packages.Config{Mode: mode, Dir: dir}, patterns...)
	if err != nil {
		return nil, fmt.Errorf("load the source: %w", err)
	}
	s := &scan{exempt: exempt, used: make([]bool, len(exempt)), at: map[string]string{}}
	for _, p := range pkgs {
		for _, e := range p.Errors {
			err = errors.Join(err, e)
		}
		s.pkg(p)
	}
	if err != nil {
		return nil, fmt.Errorf("load the source: %w", err)
	}
	for i, x := range exempt {
		if !s.used[i] {
			s.found.Problems = append(s.found.Problems, fmt.Sprintf("the exemption of %s (%s) is needed by nothing", x.In, x.Why))
		}
	}
	slices.SortFunc(s.found.Steps, func(a, b Step) int { return cmp.Compare(a.Name, b.Name) })
	slices.Sort(s.found.Problems)
	return &s.found, nil
}

// scan goes through packages.
type scan struct {
	exempt []Exemption
	used   []bool
	at     map[string]string // where each name stands
	found  Found

	p  *packages.Package
	in string // the function in hand
}

func (s *scan) pkg(p *packages.Package) {
	s.p = p
	for _, f := range p.Syntax {
		for _, d := range f.Decls {
			s.in = p.PkgPath
			if fn, ok := d.(*ast.FuncDecl); ok {
				s.in = p.PkgPath + "." + receiver(fn) + fn.Name.Name
			}
			s.decl(d)
		}
	}
}

func receiver(fn *ast.FuncDecl) string {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return ""
	}
	t := fn.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.Ident:
			return x.Name + "."
		default:
			return ""
		}
	}
}

func (s *scan) problem(at token.Pos, format string, args ...any) {
	pos := s.p.Fset.Position(at)
	where := fmt.Sprintf("%s/%s:%d: ", s.p.PkgPath, filepath.Base(pos.Filename), pos.Line)
	s.found.Problems = append(s.found.Problems, strings.TrimPrefix(where, "sluice/")+fmt.Sprintf(format, args...))
}

// decl looks at every list of statements of a declaration, and then for durable calls that none of them has points around.
func (s *scan) decl(d ast.Decl) {
	done := map[*ast.CallExpr]bool{} // calls that have their points, and points that have their calls
	ast.Inspect(d, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BlockStmt:
			s.list(n.List, done)
		case *ast.CaseClause:
			s.list(n.Body, done)
		case *ast.CommClause:
			s.list(n.Body, done)
		}
		return true
	})
	called := map[*ast.Ident]bool{}
	ast.Inspect(d, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			called[target(n)] = true
			if !done[n] {
				s.lone(n)
			}
		case *ast.Ident:
			if name := s.function(n); !called[n] && durable[name] && !s.exempted(name) {
				s.problem(n.Pos(), "%s is used as a value: call it where its crash points can stand", name)
			}
		}
		return true
	})
}

// lone says what is wrong with a call that no step was found for.
func (s *scan) lone(call *ast.CallExpr) {
	switch name := s.callee(call); {
	case name == before || name == after:
		s.problem(call.Pos(), "%s stands around no durable step: directly before and directly after the statement that does it", name)
	case s.durable(call, name) && !s.exempted(name):
		s.problem(call.Pos(), "%s has no crash points: put crash.Before and crash.After of one name directly around the statement", name)
	}
}

const (
	before = "sluice/internal/crash.Before"
	after  = "sluice/internal/crash.After"
)

// list finds the steps among the statements of a block: one that stands between two points of one name.
func (s *scan) list(stmts []ast.Stmt, done map[*ast.CallExpr]bool) {
	for i := 1; i+1 < len(stmts); i++ {
		first, last := s.point(stmts[i-1], before), s.point(stmts[i+1], after)
		if first == nil || last == nil {
			continue
		}
		calls := s.calls(stmts[i])
		a, b := s.name(first), s.name(last)
		if len(calls) == 0 || a == "" || a != b {
			continue // said as points without a step
		}
		step := Step{Name: a, In: s.in}
		for _, c := range calls {
			done[c] = true
			if name := s.callee(c); !slices.Contains(step.Calls, name) {
				step.Calls = append(step.Calls, name)
			}
		}
		done[first], done[last] = true, true
		if other, twice := s.at[a]; twice {
			s.problem(first.Pos(), "the name %s is taken: %s", a, other)
		}
		s.at[a] = s.in
		s.found.Steps = append(s.found.Steps, step)
	}
}

// point is the call of Before or After that a statement is.
func (s *scan) point(st ast.Stmt, which string) *ast.CallExpr {
	e, ok := st.(*ast.ExprStmt)
	if !ok {
		return nil
	}
	call, ok := e.X.(*ast.CallExpr)
	if !ok || s.callee(call) != which {
		return nil
	}
	return call
}

// name is a point's name, which must stand there as it is.
func (s *scan) name(call *ast.CallExpr) string {
	if lit, ok := call.Args[0].(*ast.BasicLit); ok {
		if v, err := strconv.Unquote(lit.Value); err == nil && v != "" && !strings.ContainsAny(v, ": \n") {
			return v
		}
	}
	return ""
}

// calls are the durable calls of a statement that does nothing but to call and to assign, and in any case runs on to the
// next one.
func (s *scan) calls(st ast.Stmt) (out []*ast.CallExpr) {
	switch st.(type) {
	case *ast.ExprStmt, *ast.AssignStmt:
	default:
		return nil
	}
	ast.Inspect(st, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.CallExpr:
			if s.durable(n, s.callee(n)) {
				out = append(out, n)
			}
		}
		return true
	})
	return out
}

// target is the name of what is called; nil for what has none.
func target(call *ast.CallExpr) *ast.Ident {
	switch f := ast.Unparen(call.Fun).(type) {
	case *ast.Ident:
		return f
	case *ast.SelectorExpr:
		return f.Sel
	}
	return nil
}

// callee names the function or method that is called; empty for a function value or a conversion.
func (s *scan) callee(call *ast.CallExpr) string { return s.function(target(call)) }

// function names the function or method that an identifier stands for.
func (s *scan) function(id *ast.Ident) string {
	fn, ok := s.p.TypesInfo.Uses[id].(*types.Func)
	if !ok || fn.Pkg() == nil {
		return ""
	}
	recv := fn.Signature().Recv()
	if recv == nil {
		return fn.Pkg().Path() + "." + fn.Name()
	}
	t := recv.Type()
	if p, ok := t.(*types.Pointer); ok {
		t = p.Elem()
	}
	if n, ok := t.(*types.Named); ok {
		return n.Obj().Pkg().Path() + "." + n.Obj().Name() + "." + fn.Name()
	}
	return ""
}

func (s *scan) exempted(call string) bool {
	for i := range s.exempt {
		if s.exempt[i].covers(s.in, call) {
			s.used[i] = true
			return true
		}
	}
	return false
}
