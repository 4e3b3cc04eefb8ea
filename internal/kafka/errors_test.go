package kafka

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	kgo "github.com/segmentio/kafka-go"

	"sluice/internal/pipeline"
)

// Each row of the table is what is done, also when others wrapped the error; what no row has is repeated.
func TestAnswersDecide(t *testing.T) {
	seen := map[kgo.Error]bool{}
	for _, a := range answers {
		if seen[a.code] || a.why == "" || a.code.Title() == "" {
			t.Errorf("row %d: %+v", int(a.code), a)
		}
		seen[a.code] = true
		err := Classify(fmt.Errorf("topic: %w", a.code))
		class, _ := pipeline.Classify(err)
		if fatal := class == pipeline.FatalError; fatal != (a.action == pipeline.Operator) || !errors.Is(err, a.code) {
			t.Errorf("%s: %v", a.code, err)
		}
		if a.action == pipeline.Operator && (a.cure == "" || !strings.HasSuffix(err.Error(), a.cure)) {
			t.Errorf("%s names no cure: %v", a.code, err)
		}
		if Splits(err) != (a.action == pipeline.Split) {
			t.Errorf("%s splits: %t", a.code, Splits(err))
		}
	}
	for _, err := range []error{kgo.Unknown, kgo.InvalidMessage, io.ErrUnexpectedEOF, errors.New("x")} {
		if class, _ := pipeline.Classify(Classify(err)); class == pipeline.FatalError || Splits(err) {
			t.Errorf("%v is not repeated", err)
		}
	}
	if Classify(nil) != nil || len(Answers()) != len(answers)+2 {
		t.Error("nothing is an error, or a row is missing")
	}
}
