package sqlite

import (
	"errors"
	"fmt"
	"testing"

	sqlitelib "modernc.org/sqlite/lib"

	"sluice/internal/pipeline"
)

// TestKnownCodes: the codes that an operator must cure, and those that must never stop a start.
func TestKnownCodes(t *testing.T) {
	for code, want := range map[int]pipeline.Action{
		sqlitelib.SQLITE_NOTADB: pipeline.Operator, sqlitelib.SQLITE_CORRUPT: pipeline.Operator, sqlitelib.SQLITE_READONLY: pipeline.Operator,
		sqlitelib.SQLITE_PERM: pipeline.Operator, sqlitelib.SQLITE_FULL: pipeline.Repeat, sqlitelib.SQLITE_IOERR: pipeline.Repeat,
		sqlitelib.SQLITE_BUSY: pipeline.Repeat, 9999: pipeline.Repeat,
	} {
		if got := answers[code].action; got != want {
			t.Errorf("%d: %s, want %s", code, got, want)
		}
	}
	for code, a := range answers {
		if a.name == "" || a.why == "" || a.action != pipeline.Repeat && a.action != pipeline.Operator {
			t.Errorf("%d: %+v", code, a)
		}
	}
	plain := errors.New("x")
	if class, _ := pipeline.Classify(classify(fmt.Errorf("y: %w", plain))); class != pipeline.Retryable {
		t.Error("what nobody knows is not repeated")
	}
}
