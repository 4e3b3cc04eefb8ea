package schemas

import _ "embed"

//go:embed opensearch/template.json
var openSearchTemplate string

// OpenSearchTemplateVersion is the version of OpenSearchTemplate, as its _meta says. It goes up with every change of the
// template: an installed one that is older is replaced.
const OpenSearchTemplateVersion = 1

// OpenSearchTemplate is the composable index template of the documents in OpenSearch, in JSON. Its index_patterns stand
// for the default pattern; who installs it puts in their own.
//
// Nothing that a caller of an API can send makes a document fail: keywords have ignore_above (Lucene refuses a term
// above 32,766 bytes, 8,191 characters never reach that), malformed values are ignored, other fields are not mapped.
// Each keyword also has the name with .keyword, which dashboards use that were built on dynamic mappings.
func OpenSearchTemplate() string { return openSearchTemplate }
