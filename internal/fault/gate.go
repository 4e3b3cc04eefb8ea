package fault

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// HTTPRule is what a Gate does to requests. The zero value lets all of them pass.
type HTTPRule struct {
	Chance     float64       // share of the requests that are hit; 0: none
	Status     int           // the answer; 0: none, the connection is reset
	After      bool          // the server carries the request out first, and its answer is thrown away
	Half       bool          // the server's own answer, cut off in its middle
	RetryAfter time.Duration // a header of that name, in whole seconds; 0: none
	MaxBody    int           // only requests with longer bodies are hit
	Answer     string        // the body of the answer, as JSON; empty: the words of the status, as a proxy writes them
	Method     string        // only requests with this method are hit; empty: all
	Suffix     string        // only requests whose path ends so are hit
	Only       int           // so many requests are hit, then none until Set; 0: without limit
	Met        func()        // called for each request that is hit, while it waits: before it is passed on, or after it if After
	Pass       bool          // a request that is hit goes its way nonetheless, once Met has returned
}

// Gate is an HTTP proxy in front of one server. Requests keep their Host, so that signatures stay valid. Its methods may
// be called concurrently.
type Gate struct {
	target    string // host:port
	ln        net.Listener
	server    *http.Server
	transport *http.Transport
	served    chan error
	hits      atomic.Int64

	mu    sync.Mutex
	rule  HTTPRule
	left  int // requests that may be hit yet, if the rule has a limit
	words map[string]int64
	rnd   *rand.Rand
}

// NewGate listens on a free port of 127.0.0.1 for HTTP requests to target, which is host:port. Which requests are hit
// follows from the seed and their order.
func NewGate(target string, seed uint64) (*Gate, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the gate of %s: %w", target, err)
	}
	g := &Gate{target: target, ln: ln, served: make(chan error, 1), rnd: rand.New(rand.NewPCG(seed, 0x6a7e)),
		transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 16}}
	g.server = &http.Server{Handler: g, ReadHeaderTimeout: time.Minute}
	go func() { g.served <- g.server.Serve(ln) }()
	return g, nil
}

// Addr is host:port to connect to.
func (g *Gate) Addr() string { return g.ln.Addr().String() }

// Hits is how many requests were hit so far.
func (g *Gate) Hits() int64 { return g.hits.Load() }

// Set replaces the rule.
func (g *Gate) Set(r HTTPRule) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.rule, g.left = r, r.Only
}

// Watch counts the answers of the server that hold the words from now on.
func (g *Gate) Watch(words string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.words == nil {
		g.words = map[string]int64{}
	}
	g.words[words] += 0
}

// Seen is how many answers held words that are watched.
func (g *Gate) Seen(words string) int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.words[words]
}

func (g *Gate) look(answer *http.Response, content []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.words) > 0 && answer != nil && answer.Header.Get("Content-Encoding") == "gzip" {
		if z, err := gzip.NewReader(bytes.NewReader(content)); err == nil {
			content, _ = io.ReadAll(z) // what can be read of it is looked at
		}
	}
	for w := range g.words {
		if bytes.Contains(content, []byte(w)) {
			g.words[w]++
		}
	}
}

// Close ends all connections and waits until the server has ended.
func (g *Gate) Close() error {
	err := g.server.Close()
	g.transport.CloseIdleConnections()
	if e := <-g.served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// forwardTime bounds what a server may take for a request.
const forwardTime = time.Minute

// hit tells whether and how a request is hit.
func (g *Gate) hit(q *http.Request, body int) (HTTPRule, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.rule
	switch {
	case r.Chance == 0, body <= r.MaxBody && r.MaxBody > 0, r.Method != "" && q.Method != r.Method,
		!strings.HasSuffix(q.URL.Path, r.Suffix), r.Only > 0 && g.left == 0, g.rnd.Float64() >= r.Chance:
		return r, false
	}
	g.left--
	g.hits.Add(1)
	return r, true
}

// ServeHTTP implements http.Handler.
func (g *Gate) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	rule, hit := g.hit(q, len(body))
	if hit && rule.Met != nil && !rule.After {
		rule.Met()
	}
	if hit && !rule.After && !rule.Half && !rule.Pass {
		refuse(w, rule)
		return
	}
	answer, content, err := g.forward(q, body)
	g.look(answer, content)
	if hit && rule.Met != nil && rule.After {
		rule.Met()
	}
	switch {
	case err != nil:
		panic(http.ErrAbortHandler) // what a client sees of a server that went away
	case hit && rule.Half:
		send(w, answer, content[:len(content)/2])
		_ = http.NewResponseController(w).Flush() // a connection that is gone is cut already
		panic(http.ErrAbortHandler)
	case hit && !rule.Pass:
		refuse(w, rule)
	default:
		send(w, answer, content)
	}
}

func (g *Gate) forward(q *http.Request, body []byte) (*http.Response, []byte, error) {
	// A request that has arrived is carried out, also when its client has gone.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(q.Context()), forwardTime)
	defer cancel()
	out := q.Clone(ctx)
	out.RequestURI, out.URL.Scheme, out.URL.Host, out.Host = "", "http", g.target, q.Host
	out.Header.Del("Expect")
	out.Header.Del("Connection")
	out.Body, out.ContentLength, out.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	if len(body) == 0 {
		out.Body = http.NoBody
	}
	answer, err := g.transport.RoundTrip(out)
	if err != nil {
		return nil, nil, err
	}
	content, err := io.ReadAll(answer.Body)
	return answer, content, errors.Join(err, answer.Body.Close())
}

// send writes an answer; its length is that of the whole one, whatever part of the content follows.
func send(w http.ResponseWriter, answer *http.Response, content []byte) {
	for k, v := range answer.Header {
		w.Header()[k] = v
	}
	if answer.ContentLength >= 0 {
		w.Header().Set("Content-Length", strconv.FormatInt(answer.ContentLength, 10))
	}
	w.WriteHeader(answer.StatusCode)
	_, _ = w.Write(content) // a client that is gone needs no answer
}

// refuse answers as a proxy between the two would: its body is none of the server's.
func refuse(w http.ResponseWriter, r HTTPRule) {
	if r.Status == 0 {
		panic(http.ErrAbortHandler)
	}
	if r.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(r.RetryAfter/time.Second)))
	}
	if r.Answer == "" {
		http.Error(w, http.StatusText(r.Status), r.Status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(r.Status)
	_, _ = io.WriteString(w, r.Answer) // a client that is gone needs no answer
}
