package aggregate

import (
	"slices"
	"strconv"
)

// Counter is what requests add up to. Times are milliseconds, moments Unix milliseconds.
type Counter struct {
	Hits, Success, Errors                                 int64
	RequestTime, Latency, Upstream                        int64       // sums
	MaxLatency, MaxUpstream                               int64       // mean something when Hits > 0
	MinLatency, MinUpstream                               int64       // mean something when Hits > Errors: a failed request is no minimum
	LastTime                                              int64       // means something when Hits > 0
	OpenConnections, ClosedConnections, BytesIn, BytesOut int64       // of TCP reports
	Codes                                                 []CodeCount // response codes from 400 up, in no order, each once
}

// CodeCount is how often a response code came.
type CodeCount struct {
	Code  int32
	Count int64
}

// OtherCode stands for the codes that a document had no room for.
const OtherCode int32 = -1

// String is the code as the documents name it.
func (c CodeCount) String() string {
	if c.Code == OtherCode {
		return Other
	}
	return strconv.Itoa(int(c.Code))
}

// Served tells whether there was a request that did not fail, so that the minima mean something.
func (c *Counter) Served() bool { return c.Hits > c.Errors }

// Merge adds what another counter counted.
func (c *Counter) Merge(o *Counter) {
	if o.Hits > 0 {
		if c.Hits == 0 {
			c.MaxLatency, c.MaxUpstream, c.LastTime = o.MaxLatency, o.MaxUpstream, o.LastTime
		}
		c.MaxLatency = max(c.MaxLatency, o.MaxLatency)
		c.MaxUpstream = max(c.MaxUpstream, o.MaxUpstream)
		c.LastTime = max(c.LastTime, o.LastTime)
	}
	if o.Served() {
		if !c.Served() {
			c.MinLatency, c.MinUpstream = o.MinLatency, o.MinUpstream
		}
		c.MinLatency = min(c.MinLatency, o.MinLatency)
		c.MinUpstream = min(c.MinUpstream, o.MinUpstream)
	}
	c.Hits += o.Hits
	c.Success += o.Success
	c.Errors += o.Errors
	c.RequestTime += o.RequestTime
	c.Latency += o.Latency
	c.Upstream += o.Upstream
	c.addNetwork(o)
	for _, k := range o.Codes {
		c.addCode(k.Code, k.Count)
	}
}

func (c *Counter) addNetwork(o *Counter) {
	c.OpenConnections += o.OpenConnections
	c.ClosedConnections += o.ClosedConnections
	c.BytesIn += o.BytesIn
	c.BytesOut += o.BytesOut
}

func (c *Counter) addCode(code int32, n int64) {
	for i := range c.Codes {
		if c.Codes[i].Code == code {
			c.Codes[i].Count += n
			return
		}
	}
	c.Codes = append(c.Codes, CodeCount{code, n})
}

// one adds a single request: o is what counterOf made of it. It is Merge for the hot path.
func (c *Counter) one(o *Counter, code int32) {
	if c.Hits == 0 {
		c.MaxLatency, c.MaxUpstream, c.LastTime = o.MaxLatency, o.MaxUpstream, o.LastTime
	} else {
		c.MaxLatency = max(c.MaxLatency, o.MaxLatency)
		c.MaxUpstream = max(c.MaxUpstream, o.MaxUpstream)
		c.LastTime = max(c.LastTime, o.LastTime)
	}
	if o.Errors == 0 {
		if c.Hits == c.Errors {
			c.MinLatency, c.MinUpstream = o.MinLatency, o.MinUpstream
		} else {
			c.MinLatency = min(c.MinLatency, o.MinLatency)
			c.MinUpstream = min(c.MinUpstream, o.MinUpstream)
		}
	} else {
		c.addCode(code, 1)
	}
	c.Hits++
	c.Success += o.Success
	c.Errors += o.Errors
	c.RequestTime += o.RequestTime
	c.Latency += o.Latency
	c.Upstream += o.Upstream
}

// ErrorList is the codes sorted as text, as the documents list them.
func (c *Counter) ErrorList() []CodeCount {
	out := slices.Clone(c.Codes)
	slices.SortFunc(out, func(a, b CodeCount) int {
		as, bs := a.String(), b.String()
		switch {
		case as < bs:
			return -1
		case as > bs:
			return 1
		}
		return 0
	})
	return out
}

// Averages are the sums of the three times divided by the hits, zero without hits.
func (c *Counter) Averages() (requestTime, latency, upstream float64) {
	if c.Hits == 0 {
		return 0, 0, 0
	}
	n := float64(c.Hits)
	return float64(c.RequestTime) / n, float64(c.Latency) / n, float64(c.Upstream) / n
}
