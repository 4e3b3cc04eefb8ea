package config

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

const (
	// maxFile bounds the file, in bytes: five hundred sinks take some 150 kB.
	maxFile = 512 << 10
	// maxTokens bounds the file in words and signs, since the parser's time grows with their square; a sink takes some 40.
	maxTokens = 20_000
	// maxDepth bounds nesting; the file's own shape needs 6.
	maxDepth = 32
)

// parse reads the one document of a file into a tree. Problems with the file as a whole give no tree.
func parse(data []byte) (*node, []Problem) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return nil, []Problem{{Line: 1, Col: 1, What: "the file is empty", Cure: "write region, sources and sinks; sluice config reference lists every key"}}
	case len(data) > maxFile:
		return nil, []Problem{{Line: 1, Col: 1, What: fmt.Sprintf("the file is larger than %d bytes", maxFile), Cure: "name the configuration file, not a data file"}}
	case !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0:
		return nil, []Problem{{Line: 1, Col: 1, What: "the file is not text in UTF-8", Cure: "save it as UTF-8, without NUL bytes"}}
	}
	file, p := parseYAML(data)
	if p != nil {
		return nil, []Problem{*p}
	}
	return oneDocument(file)
}

// parseYAML runs the YAML parser. A panic of the parser on input nobody thought of is a syntax error like others.
func parseYAML(data []byte) (file *ast.File, p *Problem) {
	defer func() {
		if recover() != nil {
			file, p = nil, &Problem{Line: 1, Col: 1, What: "the file is not YAML", Cure: "check indentation, quotes and brackets"}
		}
	}()
	tokens := lexer.Tokenize(string(data))
	if len(tokens) > maxTokens {
		return nil, &Problem{Line: 1, Col: 1, What: fmt.Sprintf("the file has more than %d words and signs", maxTokens),
			Cure: "name the configuration file, not a data file"}
	}
	if p := tooDeep(tokens); p != nil {
		return nil, p
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, syntaxProblem(err, data)
	}
	return file, nil
}

// tooDeep finds nesting that would exhaust the stack of a recursive parser: brackets, and runs of "- - -" or "? ? ?".
// Nesting by indentation costs the square of its depth in bytes, so that the file's size bounds it.
func tooDeep(tokens token.Tokens) *Problem {
	flow, run, line := 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != line {
			line, run = t.Position.Line, 0
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType, token.TagType, token.AnchorType:
			run++
		case token.CollectEntryType:
			run = 0
		}
		if flow > maxDepth || run > maxDepth {
			return &Problem{Line: t.Position.Line, Col: t.Position.Column,
				What: "values are nested too deeply", Cure: "the deepest key has six levels"}
		}
	}
	return nil
}

// syntaxProblem keeps the parser's message and position, not its excerpt of the source, which may hold a secret.
func syntaxProblem(err error, data []byte) *Problem {
	p := &Problem{Line: 1, Col: 1, What: "the file is not YAML", Cure: "check indentation, quotes and brackets"}
	var ye yaml.Error
	if !errors.As(err, &ye) {
		return p
	}
	p.What += ": " + ye.GetMessage()
	if t := ye.GetToken(); t != nil && t.Position != nil {
		p.Line, p.Col = t.Position.Line, t.Position.Column
		lines := strings.Split(string(data), "\n")
		if p.Line > 0 && p.Line <= len(lines) && strings.Contains(lines[p.Line-1], "${") {
			p.Cure = `inside [ ] and { } a reference needs quotes: ["${NAME}"]`
		}
	}
	return p
}

func oneDocument(file *ast.File) (*node, []Problem) {
	var body ast.Node
	for _, d := range file.Docs {
		switch {
		case d.Body == nil || d.Body.Type() == ast.DirectiveType || d.Body.Type() == ast.CommentType:
		case body != nil:
			line, col := position(d.Body)
			return nil, []Problem{{Line: line, Col: col, What: "the file has more than one YAML document",
				Cure: "keep one and remove the --- line"}}
		default:
			body = d.Body
		}
	}
	if body == nil {
		return nil, []Problem{{Line: 1, Col: 1, What: "the file is empty but for comments", Cure: "write region, sources and sinks; sluice config reference lists every key"}}
	}
	c := converter{anchors: map[string]*node{}}
	root := c.convert(body, "", 0)
	if c.full {
		return nil, c.problems // half a tree would seem to lack keys
	}
	if len(c.problems) == 0 && root.kind != mapNode {
		c.report(root, "", "the file holds "+root.kind.String()+", not keys and values", "write keys like region: eu-west-1")
	}
	return root, c.problems
}

func position(n ast.Node) (line, col int) {
	switch n := n.(type) {
	case *ast.MappingNode:
		if len(n.Values) > 0 && !n.IsFlowStyle {
			return position(n.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return position(n.Key)
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line, t.Position.Column
	}
	return 0, 0
}
