package mongoagg

import (
	"bytes"
	"math"
	"strings"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/x/bsonx/bsoncore"
)

// doctree is a document that updates are applied to here instead of in the server. It keeps the order of its fields. A field
// is a *doctree or a bson.RawValue.
type doctree struct {
	names  []string
	fields map[string]any
}

func newTree() *doctree { return &doctree{fields: map[string]any{}} }

// treeOf takes a document apart, but for the named fields of its top.
func treeOf(raw bson.Raw, without ...string) (*doctree, error) {
	t := newTree()
	es, err := raw.Elements()
	if err != nil {
		return nil, err
	}
next:
	for _, e := range es {
		for _, w := range without {
			if e.Key() == w {
				continue next
			}
		}
		v, err := fieldOf(e.Value())
		if err != nil {
			return nil, err
		}
		t.put(e.Key(), v)
	}
	return t, nil
}

// fieldOf takes a value apart if it is a document.
func fieldOf(v bson.RawValue) (any, error) {
	if sub, ok := v.DocumentOK(); ok {
		return treeOf(sub)
	}
	return v, nil
}

func (t *doctree) put(name string, v any) {
	if _, ok := t.fields[name]; !ok {
		t.names = append(t.names, name)
	}
	t.fields[name] = v
}

func (t *doctree) drop(name string) {
	if _, ok := t.fields[name]; !ok {
		return
	}
	delete(t.fields, name)
	for i, n := range t.names {
		if n == name {
			t.names = append(t.names[:i:i], t.names[i+1:]...)
			return
		}
	}
}

// place finds the tree that a dotted path's last name lies in, making what is not there.
func (t *doctree) place(path string) (*doctree, string) {
	for {
		name, rest, more := strings.Cut(path, ".")
		if !more {
			return t, name
		}
		sub, ok := t.fields[name].(*doctree)
		if !ok {
			sub = newTree()
			t.put(name, sub)
		}
		t, path = sub, rest
	}
}

// set sets a field that is named by its path.
func (t *doctree) set(path string, v bson.RawValue) error {
	field, err := fieldOf(v)
	if err != nil {
		return err
	}
	in, name := t.place(path)
	in.put(name, field)
	return nil
}

// setAll sets fields that are named by their paths.
func (t *doctree) setAll(fields bson.Raw) error {
	es, err := fields.Elements()
	for _, e := range es {
		if err := t.set(e.Key(), e.Value()); err != nil {
			return err
		}
	}
	return err
}

// apply does what the server does with an update of $inc, $max, $min and $set.
func (t *doctree) apply(update bson.Raw) error {
	ops, err := update.Elements()
	if err != nil {
		return err
	}
	for _, op := range ops {
		es, err := op.Value().Document().Elements()
		if err != nil {
			return err
		}
		for _, e := range es {
			in, name := t.place(e.Key())
			v := e.Value()
			if old, there := in.fields[name].(bson.RawValue); there {
				v = combine(op.Key(), old, v)
			}
			if err := t.set(e.Key(), v); err != nil {
				return err
			}
		}
	}
	return nil
}

// combine is what an operator makes of a field that is there.
func combine(op string, old, v bson.RawValue) bson.RawValue {
	switch op {
	case "$inc":
		return sum(old, v)
	case "$max":
		if number(old) >= number(v) {
			return old
		}
	case "$min":
		if number(old) <= number(v) {
			return old
		}
	}
	return v
}

// number makes counters and moments comparable: both are far below the 2^53 that a double holds exactly.
func number(v bson.RawValue) float64 {
	if ms, ok := v.DateTimeOK(); ok {
		return float64(ms)
	}
	if v.Type == bson.TypeDouble {
		return v.Double()
	}
	return float64(integer(v))
}

// sum adds numbers as the server does: the wider type stays, and what outgrows 32 bits becomes 64.
func sum(a, b bson.RawValue) bson.RawValue {
	switch {
	case a.Type == bson.TypeDouble || b.Type == bson.TypeDouble:
		return bson.RawValue{Type: bson.TypeDouble, Value: bsoncore.AppendDouble(nil, number(a)+number(b))}
	case a.Type == bson.TypeInt64 || b.Type == bson.TypeInt64:
		return long(integer(a) + integer(b))
	}
	n := integer(a) + integer(b)
	if n > math.MaxInt32 || n < math.MinInt32 {
		return long(n)
	}
	return bson.RawValue{Type: bson.TypeInt32, Value: bsoncore.AppendInt32(nil, int32(n))}
}

func long(n int64) bson.RawValue {
	return bson.RawValue{Type: bson.TypeInt64, Value: bsoncore.AppendInt64(nil, n)}
}

func text(s string) bson.RawValue {
	return bson.RawValue{Type: bson.TypeString, Value: bsoncore.AppendString(nil, s)}
}

// encode puts the document together.
func (t *doctree) encode() bson.Raw { return t.append(nil) }

func (t *doctree) append(dst []byte) []byte {
	at, dst := bsoncore.AppendDocumentStart(dst)
	for _, name := range t.names {
		switch v := t.fields[name].(type) {
		case *doctree:
			dst = bsoncore.AppendHeader(dst, bson.TypeEmbeddedDocument, name)
			dst = v.append(dst)
		case bson.RawValue:
			dst = bsoncore.AppendHeader(dst, v.Type, name)
			dst = append(dst, v.Value...)
		}
	}
	dst, _ = bsoncore.AppendDocumentEnd(dst, at)
	return dst
}

// equal tells whether two documents hold the same, in whatever order.
func (t *doctree) equal(o *doctree) bool {
	if len(t.fields) != len(o.fields) {
		return false
	}
	for name, v := range t.fields {
		w, ok := o.fields[name]
		if !ok {
			return false
		}
		switch v := v.(type) {
		case *doctree:
			sub, ok := w.(*doctree)
			if !ok || !v.equal(sub) {
				return false
			}
		case bson.RawValue:
			x, ok := w.(bson.RawValue)
			if !ok || x.Type != v.Type || !bytes.Equal(x.Value, v.Value) {
				return false
			}
		}
	}
	return true
}
