package plan

import (
	"fmt"
	"time"

	"sluice/internal/units"
)

// class is a cheaper class of storage that answers at once: replay, and the verification before anything is deleted, read
// objects as they need them, which those that thaw for hours do not allow.
type class struct {
	name  string
	after time.Duration // age from which it pays: what is younger is joined, verified and replayed
	least time.Duration // that S3 charges for
	costs float64       // a month, of what S3 Standard costs: list prices of us-east-1, 0.0125 and 0.004 to 0.023 USD a GB
}

var classes = []class{
	{"STANDARD_IA", 30 * units.Day, 30 * units.Day, 0.54},
	{"GLACIER_IR", 90 * units.Day, 90 * units.Day, 0.17},
}

// worthAdvice is what days must hold for a lifecycle rule to be worth its while.
const worthAdvice = int64(units.GiB)

// classes advises where an archive's days cost less. A lifecycle rule of the bucket moves them; nothing here does.
func (p *planner) classes() (out []string) {
	if !p.inv.Classes {
		return nil
	}
	keep := p.in.Rules.longest(p.inv.Kind).keep
	for n, c := range classes {
		until := time.Duration(0)
		if n+1 < len(classes) && p.pays(&classes[n+1], keep) {
			until = classes[n+1].after
		}
		var bytes int64
		for i := range p.inv.Items {
			if age := p.in.Now.Sub(p.inv.Items[i].To); age >= c.after && (until == 0 || age < until) {
				bytes += p.inv.Items[i].Bytes
			}
		}
		if p.pays(&c, keep) && bytes >= worthAdvice {
			out = append(out, fmt.Sprintf("%s: %s are older than %s; in class %s they cost some %.0f %% of S3 Standard (a lifecycle rule with Days %d; "+
				"reads cost extra). Classes that must thaw first would stop replay and every deletion that is verified before", p.inv.Store, size(bytes),
				units.Duration(c.after), c.name, 100*c.costs, int(c.after/units.Day)))
		}
	}
	return out
}

// pays tells whether objects lie in a class for as long as S3 charges for.
func (p *planner) pays(c *class, keep time.Duration) bool {
	return keep == 0 || keep >= c.after+c.least
}
