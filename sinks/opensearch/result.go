package opensearch

import (
	"encoding/json"
	"fmt"
	"net/http"

	"sluice/internal/pipeline"
)

// itemResult is what a bulk request says of one document.
type itemResult struct {
	Status int    `json:"status"`
	Error  *cause `json:"error"`
}

// parseBulk reads the answer to a bulk request of n documents. An answer that does not speak of each is an error:
// silence is not success.
func parseBulk(body []byte, n int) ([]itemResult, error) {
	var answer struct {
		Items []struct {
			Create *itemResult `json:"create"`
		} `json:"items"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("read the answer to a bulk request: %w", err)
	}
	if len(answer.Items) != n {
		return nil, fmt.Errorf("the answer to a bulk request speaks of %d documents, not of %d", len(answer.Items), n)
	}
	results := make([]itemResult, n)
	for i, item := range answer.Items {
		if item.Create == nil || item.Create.Status == 0 {
			return nil, fmt.Errorf("the answer to a bulk request says nothing of document %d", i)
		}
		results[i] = *item.Create
	}
	return results, nil
}

// fate is what is to be done about a document.
type fate uint8

const (
	stored fate = iota
	again
	hopeless
	noIndex // again, once the index has been made
	blocked // again, once the index is open for writing
)

// fate sorts what a bulk request says of a document. What nobody knows is repeated.
func (r itemResult) fate() fate {
	switch itemAnswers.find(r.Status, r.Error).action {
	case pipeline.Done:
		return stored
	case pipeline.DeadRecord:
		return hopeless
	}
	if r.Status == http.StatusNotFound && r.Error != nil && r.Error.Type == typeNoIndex {
		return noIndex
	}
	if r.Status == http.StatusForbidden && r.Error != nil && r.Error.Type == typeBlocked && r.Error.mentions(writeBlock) {
		return blocked
	}
	return again
}

// err is why a document is to be repeated.
func (r itemResult) err(index string) error {
	err := fmt.Errorf("index %s: status %d: %s", index, r.Status, r.Error)
	a := itemAnswers.find(r.Status, r.Error)
	if a.action == pipeline.Operator {
		err = fmt.Errorf("%w: %s", err, a.why)
	}
	return a.action.Mark(err, blockedWait)
}
