package dirstore

import (
	"fmt"
	"os"
	"syscall"
	"testing"

	"sluice/internal/pipeline"
)

func TestEveryErrnoDecides(t *testing.T) {
	for _, a := range answers {
		err := fmt.Errorf("open: %w", &os.PathError{Op: "open", Path: "x", Err: a.errno})
		if class, _ := pipeline.Classify(Classify(err)); (class == pipeline.FatalError) != (a.action == pipeline.Operator) {
			t.Errorf("%s: class %d", a.name, class)
		}
	}
	if class, _ := pipeline.Classify(Classify(syscall.EINTR)); class != pipeline.Retryable || Classify(nil) != nil {
		t.Error("what nobody knows is not repeated")
	}
}
