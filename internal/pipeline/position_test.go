package pipeline

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// positionText is the form of a position, written down once more.
func positionText(p Position) string {
	return fmt.Sprintf("%012x%08x-%010d-%010d", p.Claim.Epoch.Ms, p.Claim.Epoch.Rand, p.Claim.Number, p.Index)
}

func TestPositionsAreTextThatSorts(t *testing.T) {
	some := rapid.Custom(func(t *rapid.T) Position {
		return Position{ClaimID{Epoch{rapid.Uint64Range(0, 1<<48-1).Draw(t, "ms"), rapid.Uint32().Draw(t, "rand")},
			rapid.Uint32().Draw(t, "number")}, rapid.Uint32().Draw(t, "index")}
	})
	rapid.Check(t, func(t *rapid.T) {
		p, q := some.Draw(t, "p"), some.Draw(t, "q")
		if p.String() != positionText(p) {
			t.Fatalf("%+v is %s", p, p)
		}
		if back, err := ParsePosition(p.String()); err != nil || back != p {
			t.Fatalf("%s is read as %+v, %v", p, back, err)
		}
		if (p.String() < q.String()) != (p.Compare(q) < 0) {
			t.Fatalf("%s and %s do not sort as they compare", p, q)
		}
	})
}

func FuzzParsePosition(f *testing.F) {
	good := Position{ClaimID{Epoch{1, 2}, 3}, 4}.String()
	for _, s := range []string{good, "", good[1:] + "0", good[:41] + "x", "A" + good[1:], good[:32] + "9999999999", good[:20] + "+" + good[21:]} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := ParsePosition(s); err == nil && p.String() != s {
			t.Fatalf("%q is read as %s", s, p)
		}
	})
}
