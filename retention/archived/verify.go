package archived

import (
	"context"
	"fmt"
	"time"

	"sluice/internal/archive"
	"sluice/retention/apply"
)

// Verify reads every object of the hours that touch [from, to) and tells whether all are what their manifests say. What
// was verified before, and did not change since, is not read again.
func (s *Store) Verify(ctx context.Context, from, to time.Time, seen *apply.Verified) error {
	for h, err := range archive.Hours(ctx, s.store, s.prefix, from, to) {
		if err != nil {
			return err
		}
		if len(h.Broken) > 0 {
			return fmt.Errorf("what a manifest describes is not known: %w", h.Broken[0].Err)
		}
		at := map[string]archive.Info{}
		for _, o := range h.Objects {
			at[o.Key] = o
		}
		for _, m := range h.Manifests {
			o, ok := at[m.Key]
			if !ok {
				return fmt.Errorf("object %s is missing, its manifest is there", m.Key)
			}
			if seen.Has(m.Key, m.SHA256, o.Size, o.Modified) {
				continue
			}
			if err := archive.Verify(ctx, s.store, m); err != nil {
				return err
			}
			if err := seen.Add(m.Key, m.SHA256, o.Size, o.Modified); err != nil {
				return err
			}
		}
	}
	return nil
}
