package opensearch

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"sluice/internal/crash"
	"sluice/internal/pipeline"
)

// maxIndices bounds what is remembered. Forgetting costs one request an index.
const maxIndices = 1024

// indices remembers which indices are there.
type indices struct {
	mu   sync.Mutex
	seen map[string]struct{}
}

func (x *indices) has(name string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	_, ok := x.seen[name]
	return ok
}

func (x *indices) add(name string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.seen == nil || len(x.seen) >= maxIndices {
		x.seen = map[string]struct{}{}
	}
	x.seen[name] = struct{}{}
}

func (x *indices) forget(name string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.seen, name)
}

// ensureIndex makes an index that is not known to be there. Automatic creation may be off, and with it an index that
// retention deleted would come back without anybody having decided so.
func (s *Sink) ensureIndex(ctx context.Context, c *client, name string) error {
	if s.indices.has(name) {
		return nil
	}
	what := "make index " + name
	crash.Before("opensearch/index")
	res, err := c.doJSON(ctx, http.MethodPut, "/"+name, nil)
	crash.After("opensearch/index")
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if res.status >= 300 && !isThere(res) {
		if res.answer().action == pipeline.DeadRecord {
			return pipeline.Permanent(res.err(what))
		}
		return res.err(what)
	}
	s.indices.add(name)
	return nil
}

// isThere tells whether an index could not be made because it is there, or an alias stands in its place.
func isThere(res response) bool {
	if res.status != http.StatusBadRequest {
		return false
	}
	why := res.failure()
	return why.Type == "resource_already_exists_exception" || why.mentions("already exists as alias")
}
