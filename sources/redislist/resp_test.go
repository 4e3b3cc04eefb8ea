package redislist

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"sluice/internal/record"
)

func TestRespReader(t *testing.T) {
	in := "+OK\r\n$-1\r\n$2\r\n42\r\n*3\r\n$3\r\nabc\r\n$0\r\n\r\n$6\r\n\r\n\r\n\r\n\r\n-ERR no\r\n"
	r := newRespReader(strings.NewReader(in), 5)
	if err := r.status("OK"); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := r.number(); ok || err != nil {
		t.Fatal(ok, err)
	}
	if n, ok, err := r.number(); n != 42 || !ok || err != nil {
		t.Fatal(n, ok, err)
	}
	n, err := r.size('*')
	if n != 3 || err != nil {
		t.Fatal(n, err)
	}
	for _, want := range []string{"abc", "", "\r\n\r\n\r\n"} {
		size, err := r.size('$')
		if err != nil || size != int64(len(want)) {
			t.Fatal(size, err)
		}
		p, h, err := r.payload(size, 2)
		if err != nil || string(p) != want || h != record.HashPayload([]byte(want)) {
			t.Fatalf("%q %x %v", p, h, err)
		}
	}
	var re replyError
	if _, err := r.size('*'); !errors.As(err, &re) || re != "ERR no" {
		t.Fatal(err)
	}
	if _, _, err := r.head(); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
}

// A length alone makes nobody allocate.
func TestLengthIsNotBelieved(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 20 {
		r := newRespReader(strings.NewReader("$33554432\r\nabc"), 32<<20)
		size, err := r.size('$')
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.payload(size, 1000); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 20<<20 {
		t.Fatalf("%d bytes were allocated", got)
	}
}

// FuzzRespReader feeds any bytes as an answer to a read. It must end, without more memory than it was allowed, and what it
// returns must lie in the input.
func FuzzRespReader(f *testing.F) {
	f.Add([]byte("$1\r\n0\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\n0\r\n"))
	f.Add([]byte("$1\r\n5\r\n*2\r\n$1\r\na\r\n$-1\r\n$1\r\n0\r\n"))
	f.Add([]byte("$1\r\n0\r\n*1\r\n$300000\r\nabc"))
	f.Add([]byte("-NOAUTH Authentication required.\r\n"))
	f.Add([]byte("$1\r\n0\r\n*9223372036854775807\r\n$9223372036854775807\r\n"))
	f.Add([]byte("*-1\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		c := &readConn{net: nopConn{}, r: newRespReader(bytes.NewReader(in), 1000)}
		rd := &reading{index: 1, end: 10, limit: 5000, ord: &record.Ordinals{}}
		for range 3 {
			if _, err := c.chunk(rd, 10-rd.pos); err != nil || rd.pos >= 10 || rd.full {
				break
			}
		}
		var size int64
		for i, e := range rd.out {
			if !bytes.Contains(in, e.Payload) || int64(len(e.Payload)) > e.Len || len(e.Payload) > cutTo {
				t.Fatalf("%d: %q", i, e.Payload)
			}
			size += int64(len(e.Payload))
		}
		if len(rd.out) > 1 && size > rd.limit || len(rd.out) > 9 {
			t.Fatalf("%d elements of %d bytes", len(rd.out), size)
		}
	})
}

// FuzzSentinelView feeds any bytes as a Sentinel's answers: an address, or an error.
func FuzzSentinelView(f *testing.F) {
	f.Add([]byte("*2\r\n$9\r\n127.0.0.1\r\n$4\r\n6379\r\n*4\r\n$4\r\nname\r\n$3\r\ntyk\r\n$12\r\nconfig-epoch\r\n$1\r\n7\r\n"))
	f.Add([]byte("*-1\r\n-ERR No such master with that name\r\n"))
	f.Add([]byte("-ERR unknown command 'SENTINEL'\r\n"))
	f.Add([]byte("*1024\r\n$4096\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		v, err := newRespReader(bytes.NewReader(in), 0).sentinelView()
		if err == nil && (v.addr == "" || !strings.Contains(v.addr, ":")) {
			t.Fatalf("%+v", v)
		}
	})
}
