package redislist

import (
	"strings"
	"testing"
)

// A list whose length is refused is not taken for an empty one; a key of another kind has none.
func TestProbeKnowsNoLengthFromNoLength(t *testing.T) {
	b := newBench(t)
	look := func() (probe, error) {
		rs, err := b.c.doMulti(b.ctx(), b.l.probing(b.c)...)
		if err != nil {
			t.Fatal(err)
		}
		return readProbe(rs)
	}
	b.r.push(b.l.name, 0, 3)
	if p, err := look(); err != nil || p.kind != "list" || p.len != 3 {
		t.Errorf("a list: %+v, %v", p, err)
	}
	b.r.do("ACL", "SETUSER", "default", "-llen")
	if p, err := look(); err == nil || !strings.Contains(err.Error(), "LLEN: ") || !denied(err.Error()) {
		t.Errorf("a length that is refused is read as %+v, %v", p, err)
	}
	b.r.do("ACL", "SETUSER", "default", "+llen")
	b.r.do("DEL", b.l.name)
	b.r.do("SET", b.l.name, "x")
	if p, err := look(); err != nil || p.kind != "string" || p.len != 0 {
		t.Errorf("a string: %+v, %v", p, err)
	}
}
