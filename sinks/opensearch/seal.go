package opensearch

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"

	"sluice/internal/crash"
)

// sealed marks an index, in the _meta of its mapping, that retention made read-only. The block on writing itself has no
// room for a word of who set it, and one that an operator set is not ours to lift.
const sealed = "sluice_sealed"

// Seal makes an index read-only for writing. To do it again changes nothing.
func (a *Admin) Seal(ctx context.Context, index string) error {
	meta, err := a.client.meta(ctx, index)
	if err != nil {
		return err
	}
	if meta[sealed] != true {
		all := map[string]any{sealed: true} // what else stands in it must be sent along, or it is lost
		maps.Copy(all, meta)
		all[sealed] = true
		b, err := json.Marshal(map[string]any{"_meta": all})
		if err != nil {
			return fmt.Errorf("encode the mark of index %s: %w", index, err)
		}
		crash.Before("retention/seal-mark")
		res, err := a.client.doJSON(ctx, http.MethodPut, "/"+index+"/_mapping", b)
		crash.After("retention/seal-mark")
		if err := res.failed("mark index "+index+" as read-only", err); err != nil {
			return err
		}
	}
	crash.Before("retention/seal")
	res, err := a.client.doJSON(ctx, http.MethodPut, "/"+index+"/_settings", []byte(`{"index":{"blocks":{"write":true}}}`))
	crash.After("retention/seal")
	return res.failed("make index "+index+" read-only", err)
}

// Unseal lets an index be written to again that Seal made read-only; opened is false for one that somebody else did.
func (a *Admin) Unseal(ctx context.Context, index string) (opened bool, err error) {
	return a.client.unseal(ctx, index)
}

func (c *client) unseal(ctx context.Context, index string) (opened bool, err error) {
	meta, err := c.meta(ctx, index)
	if err != nil || meta[sealed] != true {
		return false, err
	}
	crash.Before("retention/unseal")
	res, err := c.doJSON(ctx, http.MethodPut, "/"+index+"/_settings", []byte(`{"index":{"blocks":{"write":null}}}`))
	crash.After("retention/unseal")
	err = res.failed("let index "+index+" be written to again", err)
	return err == nil, err
}

// meta is the _meta of an index's mapping; of an alias, that of any of its indices.
func (c *client) meta(ctx context.Context, index string) (map[string]any, error) {
	res, err := c.doJSON(ctx, http.MethodGet, "/"+index+"/_mapping?filter_path=*.mappings._meta", nil)
	if err := res.failed("read the mapping of index "+index, err); err != nil {
		return nil, err
	}
	var found map[string]struct {
		Mappings struct {
			Meta map[string]any `json:"_meta"`
		} `json:"mappings"`
	}
	if err := json.Unmarshal(res.body, &found); err != nil {
		return nil, fmt.Errorf("read the mapping of index %s: %w", index, err)
	}
	for _, f := range found {
		return f.Mappings.Meta, nil
	}
	return nil, nil
}

// failed is the error of a request that was sent, or not.
func (r response) failed(what string, err error) error {
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", what, err)
	case r.status >= http.StatusMultipleChoices:
		return r.err(what)
	}
	return nil
}
