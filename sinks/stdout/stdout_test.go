package stdout

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"sluice/internal/archive"
	"sluice/internal/pipeline"
	"sluice/internal/record"
	"sluice/sinks/sinktest"
)

func TestContract(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Harness {
		var mu sync.Mutex
		var out bytes.Buffer
		w := writer(func(p []byte) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			return out.Write(p)
		})
		return sinktest.Harness{
			Open: func(t testing.TB) pipeline.Sink { return sinkTo(t, w) },
			Effects: func(t testing.TB) map[string]int {
				rows := map[string]int{}
				for line := range strings.Lines(out.String()) {
					var m map[string]any
					if err := json.Unmarshal([]byte(line), &m); err != nil {
						t.Fatalf("%v: %s", err, line)
					}
					if len(m) != len(archive.Columns()) {
						t.Fatalf("%d fields", len(m))
					}
					// it keeps no state: a repeat is printed again
					rows[m["lineage"].(string)+" "+m["position"].(string)] = 1
				}
				return rows
			},
			Key: sinktest.PositionKey,
		}
	})
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

func sinkTo(t testing.TB, w writer) *Sink {
	t.Helper()
	s, err := New("console", Defaults(), w, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestReaderGone(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	s := sinkTo(t, w.Write)
	l := sinktest.NewList("l")
	l.Add(sinktest.Captured(t, record.Msgpack)[:3])
	_, err = s.Write(t.Context(), sinktest.Batch(s, l, &l.Claims[0], 0, 3))
	if class, _ := pipeline.Classify(err); class != pipeline.FatalError || !errors.Is(err, syscall.EPIPE) {
		t.Errorf("class %v of %v", class, err)
	}
}
