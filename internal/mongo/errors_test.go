package mongo

import (
	"context"
	"errors"
	"fmt"
	"testing"

	driver "go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/description"
	xdriver "go.mongodb.org/mongo-driver/x/mongo/driver"
	"go.mongodb.org/mongo-driver/x/mongo/driver/topology"

	"sluice/internal/pipeline"
)

func TestClassify(t *testing.T) {
	denied := xdriver.Error{Code: 18, Message: "Authentication failed."}
	selection := topology.ServerSelectionError{
		Wrapped: topology.ErrServerSelectionTimeout,
		Desc:    description.Topology{Servers: []description.Server{{LastError: topology.ConnectionError{Wrapped: denied}}}},
	}
	for name, tt := range map[string]struct {
		err  error
		want pipeline.Class
	}{
		"not primary":          {driver.CommandError{Code: 10107}, pipeline.Retryable},
		"stepped down":         {driver.CommandError{Code: 189}, pipeline.Retryable},
		"shutdown":             {driver.CommandError{Code: 91}, pipeline.Retryable},
		"write conflict":       {driver.CommandError{Code: 112}, pipeline.Retryable},
		"unknown code":         {driver.CommandError{Code: 424242}, pipeline.Retryable},
		"option not known":     {driver.CommandError{Code: 9}, pipeline.Retryable},
		"write concern":        {driver.WriteException{WriteConcernError: &driver.WriteConcernError{Code: 64}}, pipeline.Retryable},
		"network":              {topology.ConnectionError{Wrapped: errors.New("reset")}, pipeline.Retryable},
		"deadline":             {fmt.Errorf("x: %w", context.DeadlineExceeded), pipeline.Retryable},
		"no server":            {topology.ServerSelectionError{Wrapped: topology.ErrServerSelectionTimeout}, pipeline.Retryable},
		"unauthorized":         {fmt.Errorf("insert: %w", driver.CommandError{Code: 13}), pipeline.FatalError},
		"authentication":       {topology.ConnectionError{Wrapped: denied}, pipeline.FatalError},
		"selection for a lack": {selection, pipeline.FatalError},
		"too large, client":    {xdriver.ErrDocumentTooLarge, pipeline.PermanentBatch},
		"too large, server":    {driver.CommandError{Code: 10334}, pipeline.PermanentBatch},
	} {
		got := Classify(tt.err)
		if class, _ := pipeline.Classify(got); class != tt.want {
			t.Errorf("%s: class %d, want %d", name, class, tt.want)
		}
		if got.Error() != tt.err.Error() {
			t.Errorf("%s: the error itself is lost: %v", name, got)
		}
	}
	if Classify(nil) != nil {
		t.Error("no error became one")
	}
}

func TestHopelessIsSure(t *testing.T) {
	for _, code := range []int{0, 6, 7, 64, 89, 91, 112, 189, 262, 10107, 11600, 13435, CodeDuplicateKey} {
		if Hopeless(code) {
			t.Errorf("%d may pass", code)
		}
	}
	if !Hopeless(CodeInvalidNamespace) || !Hopeless(121) {
		t.Error("an invalid namespace or a refused validation never passes")
	}
}
