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
)

// fate sorts what a bulk request says of a document. What nobody knows is repeated.
func (r itemResult) fate() fate {
	switch r.Status {
	case http.StatusOK, http.StatusCreated, http.StatusConflict: // a conflict: it was delivered before
		return stored
	case http.StatusNotFound:
		if r.Error != nil && r.Error.Type == "index_not_found_exception" {
			return noIndex
		}
	case http.StatusRequestEntityTooLarge:
		return hopeless
	case http.StatusBadRequest:
		if r.Error != nil && !r.aboutIndex() {
			return hopeless
		}
	}
	return again
}

// aboutIndex tells whether a 400 lies in the state of the index or the cluster, not in the document: it would make dead
// letters of all records until somebody cures it.
func (r itemResult) aboutIndex() bool {
	switch r.Error.Type {
	case "illegal_argument_exception":
		return r.refusesIDs() || r.Error.mentions("no write index is defined") || r.Error.mentions("pipeline with id") ||
			r.Error.mentions("maximum shards open") || r.Error.mentions("maximum normal shards open")
	case "mapper_parsing_exception", "document_parsing_exception", "strict_dynamic_mapping_exception", "parse_exception",
		"x_content_parse_exception", "json_parse_exception", "parsing_exception", "stream_constraints_exception",
		"number_format_exception", "date_time_parse_exception", "illegal_state_exception", "input_coercion_exception":
		return false
	}
	return true // validation_exception (too many shards), and what nobody knows
}

// refusesIDs tells whether the index takes no document IDs of ours: time-series and vector collections of OpenSearch
// Serverless.
func (r itemResult) refusesIDs() bool {
	return r.Error != nil && r.Error.mentions("Document ID is not supported")
}

// err is why a document is to be repeated.
func (r itemResult) err(index string) error {
	err := fmt.Errorf("index %s: status %d: %s", index, r.Status, r.Error)
	switch {
	case r.refusesIDs():
		return pipeline.Fatal(fmt.Errorf("%w: exactly once needs a document ID, so give it a collection of type search", err))
	case blocked(r.Status, r.Error):
		return pipeline.RetryAfter(err, blockedWait)
	}
	return err
}
