package archive

import (
	"strings"
	"testing"
)

// plain looks at eight bytes at once: each byte is told apart at each place among ordinary ones, and beside its likes.
func TestPlainTellsEveryByteAtEveryPlace(t *testing.T) {
	for c := range 256 {
		want := c >= 0x20 && c < 0x7f && c != '"' && c != ',' && c != '\\'
		for n := 1; n < 20; n++ {
			for at := range n {
				for _, fill := range []byte{'a', ' ', '~', '#', '!'} {
					b := []byte(strings.Repeat(string(fill), n))
					b[at] = byte(c)
					if got := plain(string(b)); got != want {
						t.Fatalf("%q: %v", b, got)
					}
				}
			}
		}
	}
	if !plain("") {
		t.Error("the empty text is plain")
	}
}

func BenchmarkPlain(b *testing.B) {
	s := strings.Repeat("QUJDK09/", 100)
	b.SetBytes(int64(len(s)))
	for b.Loop() {
		if !plain(s) {
			b.Fatal()
		}
	}
}
