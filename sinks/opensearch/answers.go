package opensearch

import (
	"net/http"
	"strconv"

	"sluice/internal/pipeline"
)

// rule is what is done about an answer with this status, error type and words in its reason. The first that fits counts.
type rule struct {
	status int
	kind   string // error type; empty: any, also no error
	says   string // in the reason of the error or of what caused it; empty: whatever it says
	action pipeline.Action
	why    string
}

type rules []rule

// find is the rule for an answer; the zero rule, which repeats, where there is none.
func (rs rules) find(status int, c *cause) rule {
	for _, r := range rs {
		if r.status == status && (r.kind == "" || c != nil && c.Type == r.kind) && (r.says == "" || c.mentions(r.says)) {
			return r
		}
	}
	return rule{}
}

const (
	typeNoIndex  = "index_not_found_exception"
	typeBlocked  = "cluster_block_exception"
	typeArgument = "illegal_argument_exception"
	writeBlock   = "index write (api)" // the block that index.blocks.write sets

	ofIndex     = "it lies in the index or the cluster: it would make dead letters of all records"
	ofRecord    = "the document does not parse, or does not fit the mapping"
	ofBulk      = "something in the request cannot be read"
	readOnly    = "an index is read-only, or the disk is full: after 10 s"
	sealedIndex = "an index that retention made read-only is opened at once for late records; a block of another's: after 10 s"
	noRights    = "wrong credentials, or a right is missing"
	lessLoad    = "the cluster asks for less load"
)

// itemAnswers decide about one document of a bulk request. A type that nobody knows is repeated: only what speaks of the
// document, and of nothing else, makes a dead letter.
var itemAnswers = rules{
	{status: http.StatusOK, action: pipeline.Done, why: "stored"},
	{status: http.StatusCreated, action: pipeline.Done, why: "stored"},
	{status: http.StatusConflict, action: pipeline.Done, why: "delivered before"},
	{status: http.StatusNotFound, kind: typeNoIndex, why: "the index is made again first"},
	{status: http.StatusRequestEntityTooLarge, action: pipeline.DeadRecord, why: "the document is too large"},
	{status: http.StatusBadRequest, kind: typeArgument, says: "Document ID is not supported", action: pipeline.Operator, why: needsIDs},
	{status: http.StatusBadRequest, kind: "validation_exception", says: "Document ID is not supported", action: pipeline.Operator, why: needsIDs},
	{status: http.StatusBadRequest, kind: typeArgument, says: "no write index is defined", why: ofIndex},
	{status: http.StatusBadRequest, kind: typeArgument, says: "pipeline with id", why: ofIndex},
	{status: http.StatusBadRequest, kind: typeArgument, says: "maximum shards open", why: ofIndex},
	{status: http.StatusBadRequest, kind: typeArgument, says: "maximum normal shards open", why: ofIndex},
	{status: http.StatusBadRequest, kind: "validation_exception", why: ofIndex},
	{status: http.StatusBadRequest, kind: typeArgument, action: pipeline.DeadRecord, why: ofRecord},
	{status: http.StatusBadRequest, kind: "date_time_parse_exception", action: pipeline.DeadRecord, why: ofRecord},
	{status: http.StatusBadRequest, kind: "document_parsing_exception", action: pipeline.DeadRecord, why: ofRecord},
	{status: http.StatusBadRequest, kind: "illegal_state_exception", action: pipeline.DeadRecord, why: ofRecord},
	{status: http.StatusBadRequest, kind: "input_coercion_exception", action: pipeline.DeadRecord, why: ofRecord},
	{status: http.StatusBadRequest, kind: "json_parse_exception", action: pipeline.DeadRecord, why: ofRecord},
	{status: http.StatusBadRequest, kind: "mapper_parsing_exception", action: pipeline.DeadRecord, why: ofRecord},
	{status: http.StatusBadRequest, kind: "number_format_exception", action: pipeline.DeadRecord, why: ofRecord},
	{status: http.StatusBadRequest, kind: "parse_exception", action: pipeline.DeadRecord, why: ofRecord},
	{status: http.StatusBadRequest, kind: "parsing_exception", action: pipeline.DeadRecord, why: ofRecord},
	{status: http.StatusBadRequest, kind: "stream_constraints_exception", action: pipeline.DeadRecord, why: ofRecord},
	{status: http.StatusBadRequest, kind: "strict_dynamic_mapping_exception", action: pipeline.DeadRecord, why: ofRecord},
	{status: http.StatusBadRequest, kind: "x_content_parse_exception", action: pipeline.DeadRecord, why: ofRecord},
	{status: http.StatusForbidden, kind: typeBlocked, says: writeBlock, action: pipeline.RepeatSlow, why: sealedIndex},
	{status: http.StatusForbidden, kind: typeBlocked, action: pipeline.RepeatSlow, why: readOnly},
	{status: http.StatusTooManyRequests, kind: typeBlocked, action: pipeline.RepeatSlow, why: readOnly},
	{status: http.StatusTooManyRequests, why: lessLoad},
	{status: http.StatusServiceUnavailable, why: "a shard is on its way"},
}

const needsIDs = "exactly once needs a document ID, so give it a collection of type search"

// requestAnswers decide about a whole request. A 400 without an error of OpenSearch's own may as well come from a proxy and
// says nothing about records.
var requestAnswers = rules{
	{status: http.StatusUnauthorized, action: pipeline.Operator, why: noRights},
	{status: http.StatusForbidden, kind: typeBlocked, action: pipeline.RepeatSlow, why: readOnly},
	{status: http.StatusForbidden, action: pipeline.Operator, why: noRights},
	{status: http.StatusRequestEntityTooLarge, action: pipeline.Split, why: "the request is too large for the cluster, or a proxy before it"},
	{status: http.StatusBadRequest, kind: typeArgument, says: "explicit index", why: "a setting of the cluster that concerns every record"},
	{status: http.StatusBadRequest, kind: typeArgument, action: pipeline.Split, why: ofBulk},
	{status: http.StatusBadRequest, kind: "action_request_validation_exception", action: pipeline.Split, why: ofBulk},
	{status: http.StatusBadRequest, kind: "json_e_o_f_exception", action: pipeline.Split, why: ofBulk},
	{status: http.StatusBadRequest, kind: "json_parse_exception", action: pipeline.Split, why: ofBulk},
	{status: http.StatusBadRequest, kind: "mapper_parsing_exception", action: pipeline.Split, why: ofBulk},
	{status: http.StatusBadRequest, kind: "not_x_content_exception", action: pipeline.Split, why: ofBulk},
	{status: http.StatusBadRequest, kind: "parse_exception", action: pipeline.Split, why: ofBulk},
	{status: http.StatusBadRequest, kind: "parsing_exception", action: pipeline.Split, why: ofBulk},
	{status: http.StatusBadRequest, kind: "stream_constraints_exception", action: pipeline.Split, why: ofBulk},
	{status: http.StatusBadRequest, kind: "x_content_parse_exception", action: pipeline.Split, why: ofBulk},
	{status: http.StatusBadRequest, kind: "invalid_index_name_exception", action: pipeline.DeadRecord, why: "the record's time makes no index name"},
	{status: http.StatusBadRequest, why: "it may come from a proxy"},
	{status: http.StatusPaymentRequired, why: "OpenSearch Serverless adds capacity"},
	{status: http.StatusTooManyRequests, kind: typeBlocked, action: pipeline.RepeatSlow, why: readOnly},
	{status: http.StatusTooManyRequests, action: pipeline.RepeatSlow, why: lessLoad + ": as Retry-After says"},
	{status: http.StatusServiceUnavailable, action: pipeline.RepeatSlow, why: lessLoad + ": as Retry-After says"},
}

// Answers are the rows of the documentation.
func Answers() (rows []pipeline.Answer) {
	for _, t := range []struct {
		of    string
		rules rules
	}{{"request", requestAnswers}, {"document", itemAnswers}} {
		for _, r := range t.rules {
			text := strconv.Itoa(r.status)
			if r.kind != "" {
				text += " " + r.kind
			}
			if r.says != "" {
				text += ", \"" + r.says + "\""
			}
			rows = append(rows, pipeline.Answer{Of: t.of, Answer: text, Action: r.action, Why: r.why})
		}
	}
	return rows
}
