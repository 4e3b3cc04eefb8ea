package opensearch

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"sluice/internal/crash"
	"sluice/internal/pipeline"
	"sluice/schemas"
)

// managedBy marks templates that are ours to replace.
const managedBy = "sluice"

// indexTemplate is what is looked at of an installed template.
type indexTemplate struct {
	Name     string `json:"name"`
	Template struct {
		Patterns []string `json:"index_patterns"`
		Priority int64    `json:"priority"`
		Meta     struct {
			ManagedBy string `json:"managed_by"`
			Version   int    `json:"version"`
		} `json:"_meta"`
	} `json:"index_template"`
}

// installTemplate installs the template of our indices unless ours is there, as new or newer. A template of that name
// that somebody else made is left alone.
func (s *Sink) installTemplate(ctx context.Context, c *client) error {
	all, err := listTemplates(ctx, c)
	if err != nil {
		return err
	}
	name, wildcard := s.pattern.templateName(), s.pattern.wildcard()
	body, priority, err := renderTemplate(wildcard)
	if err != nil {
		return pipeline.Fatal(err)
	}
	for _, t := range all {
		switch {
		case t.Name == name && t.Template.Meta.ManagedBy != managedBy:
			s.log.Warn("an index template with our name is not ours and is left as it is", "template", name)
			return nil
		case t.Name == name && t.Template.Meta.Version >= schemas.OpenSearchTemplateVersion:
			return nil
		case t.Name != name && t.Template.Priority > priority && overlaps(t.Template.Patterns, wildcard):
			s.log.Warn("another index template wins over ours, its mappings hold", "template", t.Name,
				"index_patterns", t.Template.Patterns, "priority", t.Template.Priority, "ours", name)
		}
	}
	crash.Before("opensearch/template")
	res, err := c.doJSON(ctx, http.MethodPut, "/_index_template/"+name, body)
	crash.After("opensearch/template")
	switch {
	case err != nil:
		return fmt.Errorf("install index template %s: %w", name, err)
	case res.status < 300:
		s.log.Info("index template installed", "template", name, "version", schemas.OpenSearchTemplateVersion)
		return nil
	case res.denied():
		return pipeline.Fatal(fmt.Errorf("%w; give the right, or install it yourself and set template: false",
			res.err("install index template "+name)))
	case res.status == http.StatusBadRequest:
		return pipeline.Fatal(fmt.Errorf("%w; change the other template's priority or patterns, or set template: false",
			res.err("install index template "+name)))
	}
	return res.err("install index template " + name)
}

func listTemplates(ctx context.Context, c *client) ([]indexTemplate, error) {
	res, err := c.doJSON(ctx, http.MethodGet, "/_index_template", nil)
	switch {
	case err != nil:
		return nil, fmt.Errorf("reach OpenSearch: %w", err)
	case res.denied():
		return nil, pipeline.Fatal(res.err("read index templates"))
	case res.status == http.StatusNotFound: // none
		return nil, nil
	case res.status >= 300:
		return nil, res.err("read index templates")
	}
	var list struct {
		Templates []indexTemplate `json:"index_templates"`
	}
	if err := json.Unmarshal(res.body, &list); err != nil {
		return nil, fmt.Errorf("read index templates: %w", err)
	}
	return list.Templates, nil
}

// renderTemplate is the embedded template for our indices, and its priority.
func renderTemplate(wildcard string) (body []byte, priority int64, err error) {
	var t map[string]json.RawMessage
	if err := json.Unmarshal([]byte(schemas.OpenSearchTemplate()), &t); err != nil {
		return nil, 0, fmt.Errorf("read the embedded index template: %w", err)
	}
	if err := json.Unmarshal(t["priority"], &priority); err != nil {
		return nil, 0, fmt.Errorf("read the embedded index template's priority: %w", err)
	}
	if t["index_patterns"], err = json.Marshal([]string{wildcard}); err != nil {
		return nil, 0, fmt.Errorf("write the index template: %w", err)
	}
	if body, err = json.Marshal(t); err != nil {
		return nil, 0, fmt.Errorf("write the index template: %w", err)
	}
	return body, priority, nil
}

// overlaps tells whether an index can match one of the patterns and the wildcard, going by what stands before the first
// star of each: enough for a warning.
func overlaps(patterns []string, wildcard string) bool {
	ours, _, _ := strings.Cut(wildcard, "*")
	for _, p := range patterns {
		theirs, _, star := strings.Cut(p, "*")
		if strings.HasPrefix(ours, theirs) && star || strings.HasPrefix(theirs, ours) {
			return true
		}
	}
	return false
}
