package config

import (
	"maps"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sluice/internal/record"
	"sluice/internal/units"
)

var (
	nameForm   = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
	regionForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	spoolForm  = regexp.MustCompile(`^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?$`)
)

// validator finds values that are wrong, alone or together. Problems that follow from one reported already are left
// out.
type validator struct {
	cfg      *Config
	places   map[string]place
	problems []Problem
}

func (v *validator) add(key, what, cure string) {
	p, exact := nearestPlace(v.places, key)
	if exact && p.node.from != "" {
		p.line, p.col, what = 0, 0, what+" (from "+p.node.from+")"
	}
	v.problems = append(v.problems, Problem{Line: p.line, Col: p.col, Key: key, What: what, Cure: cure})
}

// sound tells whether all that the file says at and below the keys could be decoded.
func (v *validator) sound(keys ...string) bool {
	for _, key := range keys {
		if p, ok := v.places[key]; ok && brokenBelow(p.node) {
			return false
		}
	}
	return true
}

func brokenBelow(n *node) bool {
	return n.broken || slices.ContainsFunc(n.items, brokenBelow) ||
		slices.ContainsFunc(n.entries, func(e entry) bool { return brokenBelow(e.value) })
}

// unreported are the problems about keys of which nothing was reported before.
func (v *validator) unreported(before []Problem) []Problem {
	return slices.DeleteFunc(v.problems, func(p Problem) bool {
		return slices.ContainsFunc(before, func(b Problem) bool { return b.Key != "" && covers(b.Key, p.Key) })
	})
}

// covers tells whether a key is another, or holds it.
func covers(outer, inner string) bool {
	rest, ok := strings.CutPrefix(inner, outer)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

func (v *validator) all() {
	v.region()
	v.sources()
	v.sinks()
	v.pipeline()
	v.state()
	v.retention()
	v.admin()
}

func (v *validator) region() {
	switch r := v.cfg.Region; {
	case r == "":
		v.add("region", "is missing", "name the region, for example region: eu-west-1")
	case !regionForm.MatchString(r):
		v.add("region", "has characters that cannot stand in an archive path", "use up to 63 letters, digits, . _ and -")
	}
}

func (v *validator) name(path, name, what string) {
	if !nameForm.MatchString(name) {
		v.add(path, "cannot be the name of a "+what, "use up to 63 lower-case letters, digits, _ and -, beginning with a letter or digit")
	}
}

func (v *validator) sources() {
	if len(v.cfg.Sources) == 0 {
		v.add("sources", "there is no source", "add one, for example sources: {main: {type: redis, addrs: [\"127.0.0.1:6379\"]}}")
	}
	t := targets{v: v, what: "drain the same lists", cure: "remove one of them, or give it another key_prefix"}
	for _, name := range slices.Sorted(maps.Keys(v.cfg.Sources)) {
		path := join("sources", name)
		v.name(path, name, "source")
		t.entry(path, "", v.cfg.Sources[name].Settings)
	}
}

func (v *validator) sinks() {
	if len(v.cfg.Sinks) == 0 {
		v.add("sinks", "there is no sink", "add one, for example sinks: {console: {type: stdout}}")
	}
	t := targets{v: v, what: "write to the same store", cure: "remove one of them, or give it a store of its own"}
	for _, name := range slices.Sorted(maps.Keys(v.cfg.Sinks)) {
		path, s := join("sinks", name), v.cfg.Sinks[name]
		v.name(path, name, "sink")
		t.entry(path, s.Type, s.Settings)
		if s.Settings != nil {
			v.sink(path, s)
		}
	}
}

// sink checks what every sink has.
func (v *validator) sink(path string, s Sink) {
	st := v.cfg.State
	if s.OnFull == "spool" && !st.Durable && st.Spool == "" && v.sound("state") {
		v.add(join(path, "on_full"), "spool has nowhere to go: state.durable is false and state.spool is not set",
			"set state.spool to an S3 prefix, or write on_full: wait")
	}
	if s.Shed == Oldest && (s.Type == "s3-csv" || s.Type == "csv") {
		v.add(join(path, "shed"), "an archive gives nothing up: other sinks are rebuilt from it, position by position",
			"write shed: never")
	}
	if s.Timeout <= 0 {
		v.add(join(path, "timeout"), "is not above 0", "write it like 30s")
	}
	retry := join(path, "retry")
	if s.Retry.Min <= 0 {
		v.add(join(retry, "min"), "is not above 0", "write it like 200ms")
	}
	if s.Retry.Max < s.Retry.Min && v.sound(retry) {
		v.add(join(retry, "max"), "is less than retry.min", "write it like 30s")
	}
	for _, f := range []struct {
		key    string
		values []string
	}{{"org_ids", s.Filters.OrgIDs}, {"api_ids", s.Filters.APIIDs}, {"skip_org_ids", s.Filters.SkipOrgIDs}, {"skip_api_ids", s.Filters.SkipAPIIDs}} {
		if i := slices.Index(f.values, ""); i >= 0 {
			v.add(path+".filters."+f.key+"["+strconv.Itoa(i)+"]", "is empty", "write an ID, or remove it")
		}
	}
}

// targets validates typed settings and finds two entries that mean the same store.
type targets struct {
	v          *validator
	what, cure string
	seen       map[string]string // target to path
}

func (t *targets) entry(path, kind string, s any) {
	typed, ok := s.(settings)
	if !ok {
		return
	}
	problems := typed.Validate()
	for _, p := range problems {
		t.v.add(path+"."+p.Key, p.What, p.Cure)
	}
	target := typed.Target()
	if target == "" || len(problems) > 0 || !t.v.sound(path) {
		return
	}
	if t.seen == nil {
		t.seen = map[string]string{}
	}
	key := kind + "\x00" + target
	if other, dup := t.seen[key]; dup {
		// Reported at the later of the two in the file.
		if t.v.places[other].line > t.v.places[path].line {
			other, path = path, other
		}
		t.v.add(path, "this and "+other+" "+t.what, t.cure)
		return
	}
	t.seen[key] = path
}

func (v *validator) pipeline() {
	p := v.cfg.Pipeline
	if p.Memory < minMemory {
		v.add("pipeline.memory", p.Memory.String()+" is too little", "give at least "+minMemory.String())
	} else if most := p.Memory / batchShare; p.Batch.Bytes > most && v.sound("pipeline.memory") {
		v.add("pipeline.batch.bytes", p.Batch.Bytes.String()+" is more than an eighth of pipeline.memory",
			"give at most "+most.String()+", or more memory")
	}
	if p.Batch.Bytes < units.KiB {
		v.add("pipeline.batch.bytes", p.Batch.Bytes.String()+" is too little", "give at least 1KiB; 8MiB is the default")
	}
	if p.Batch.Records < 1 || p.Batch.Records > maxBatchRecords {
		v.add("pipeline.batch.records", strconv.Itoa(p.Batch.Records)+" is not between 1 and "+strconv.Itoa(maxBatchRecords),
			"5000 is the default")
	}
	if p.ShutdownTimeout <= 0 {
		v.add("pipeline.shutdown_timeout", "is not above 0", "write it like 30s")
	}
	if p.Accept.Past <= 0 {
		v.add("pipeline.accept.past", "is not above 0, so that every record would be a dead letter", "write it like 1095d")
	}
	if p.Accept.Future <= 0 {
		v.add("pipeline.accept.future", "is not above 0; clocks differ by a little everywhere", "write it like 1d")
	}
	v.masks(p.Mask)
}

func (v *validator) masks(masks []Mask) {
	seen := map[string]bool{}
	for i, m := range masks {
		at := "pipeline.mask[" + strconv.Itoa(i) + "]"
		_, err := record.NewMasker([]record.MaskRule{{Field: m.Field, Action: m.Action}})
		switch {
		case err != nil && m.Field != "" && m.Action != "" && v.sound(at):
			// mask of "field": what; cure
			_, text, _ := strings.Cut(err.Error(), ": ")
			what, cure, _ := strings.Cut(text, "; ")
			key := at + ".field"
			if strings.Contains(what, "action") {
				key = at + ".action"
			}
			v.add(key, what, cure)
		case err != nil && v.sound(at):
			v.add(at, "names no field or no action", "write it like {field: ip_address, action: truncate}")
		case seen[m.Field]:
			v.add(at+".field", m.Field+" is masked twice", "keep one of them")
		}
		seen[m.Field] = true
	}
}

func (v *validator) state() {
	s := v.cfg.State
	switch strings.TrimRight(s.Dir, "/") {
	case "", ".", "..":
		v.add("state.dir", strconv.Quote(s.Dir)+" is not a directory of its own", "name one that nothing else uses, for example ./state")
	}
	if s.Spool != "" && !spoolForm.MatchString(s.Spool) {
		v.add("state.spool", "is not an S3 prefix", "write it like s3://bucket/spool/")
	}
}

func (v *validator) admin() {
	_, port, err := net.SplitHostPort(v.cfg.Admin.Listen)
	if n, nerr := strconv.ParseUint(port, 10, 16); err != nil || nerr != nil || n > 65535 {
		v.add("admin.listen", strconv.Quote(v.cfg.Admin.Listen)+" is not host:port", "write it like 127.0.0.1:8181")
	}
}
