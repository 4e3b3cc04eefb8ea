package mongo

import (
	"errors"
	"testing"

	driver "go.mongodb.org/mongo-driver/mongo"

	"sluice/internal/pipeline"
)

// TestEveryRowDecides holds the table against what callers get of it.
func TestEveryRowDecides(t *testing.T) {
	for code, a := range answers {
		class, _ := pipeline.Classify(Classify(driver.CommandError{Code: int32(code)}))
		if want, _ := pipeline.Classify(a.command.Mark(errors.New("x"), 0)); class != want {
			t.Errorf("%d of a command: class %d, want %d", code, class, want)
		}
		if Hopeless(code) != (a.write == pipeline.DeadRecord) || Passing(code) && (a.command != pipeline.Repeat || Hopeless(code)) {
			t.Errorf("%d: hopeless %v, passing %v", code, Hopeless(code), Passing(code))
		}
		if a.name == "" || a.why == "" || a.command == pipeline.DeadRecord || a.write == pipeline.Split {
			t.Errorf("%d: %+v", code, a)
		}
		if wrapped := Classify(driver.WriteException{WriteErrors: driver.WriteErrors{{Code: code}}}); !errors.As(wrapped, new(driver.WriteException)) {
			t.Errorf("%d of a document is not to be decided as a whole: %v", code, wrapped)
		}
	}
	// Mistakes here would cost records, or block all of them.
	for code, want := range map[int]bool{121: true, 17419: true, 2: true, 13: false, 64: false, 112: false, 11000: false, 0: false} {
		if Hopeless(code) != want {
			t.Errorf("%d: hopeless is %v", code, !want)
		}
	}
}
