package points

import (
	"go/ast"
	"strconv"
	"strings"
)

// durable tells whether a call changes what outlives the process.
func (s *scan) durable(call *ast.CallExpr, name string) bool {
	if cmd, ok := strings.CutPrefix(name, builder+"."); ok {
		return !reading[cmd] && cmd != "Arbitrary" // which is how control.eval calls scripts
	}
	if !durable[name] {
		return false
	}
	switch {
	case strings.HasSuffix(name, ".RunCommand"):
		return !asking[firstKey(call)]
	case strings.HasPrefix(name, "sluice/sinks/opensearch."):
		return !s.gets(call)
	}
	return true
}

// firstKey is the name of a command of MongoDB that is written out in the call.
func firstKey(call *ast.CallExpr) string {
	key := ""
	ast.Inspect(call.Args[1], func(n ast.Node) bool {
		kv, ok := n.(*ast.KeyValueExpr)
		if id, is := ident(kv); ok && is && id == "Key" && key == "" {
			if lit, ok := kv.Value.(*ast.BasicLit); ok {
				key, _ = strconv.Unquote(lit.Value)
			}
		}
		return key == ""
	})
	return key
}

func ident(kv *ast.KeyValueExpr) (string, bool) {
	if kv == nil {
		return "", false
	}
	id, ok := kv.Key.(*ast.Ident)
	if !ok {
		return "", false
	}
	return id.Name, true
}

// gets tells whether a request's method, its second argument, is GET or HEAD.
func (s *scan) gets(call *ast.CallExpr) bool {
	if len(call.Args) < 2 {
		return false
	}
	v := s.p.TypesInfo.Types[call.Args[1]].Value
	return v != nil && (v.ExactString() == `"GET"` || v.ExactString() == `"HEAD"`)
}
