package opensearch

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"

	"sluice/internal/record"
)

// payload is the body of a bulk request, built in memory that is used again.
type payload struct {
	gz   *gzip.Writer // nil: not compressed
	out  bytes.Buffer // what goes over the wire
	line []byte       // one document on its way
	raw  int          // bytes before compression
	docs int
	open atomic.Int32 // readers that are not closed
}

// payloads are for reuse. One goes back only when every reader of it is closed: a transport may still read a request's
// body when the request has long failed.
var payloads = sync.Pool{New: func() any { return new(payload) }}

// keepPayload is the largest buffer that is kept.
const keepPayload = 16 << 20

func newPayload(compress bool) *payload {
	p := payloads.Get().(*payload)
	p.out.Reset()
	p.raw, p.docs = 0, 0
	switch {
	case !compress:
		p.gz = nil
	case p.gz == nil:
		// The level is one the package knows, so that there is no error.
		p.gz, _ = gzip.NewWriterLevel(&p.out, gzip.BestSpeed)
	default:
		p.gz.Reset(&p.out)
	}
	return p
}

func (p *payload) free() {
	if p.open.Load() == 0 && p.out.Cap() <= keepPayload && cap(p.line) <= keepPayload {
		payloads.Put(p)
	}
}

// add appends one document, unless it would make the payload larger than limit; the first always goes in.
func (p *payload) add(index string, id record.ID, r *record.Record, extended bool, limit int) (bool, error) {
	p.line = append(p.line[:0], `{"create":{"_index":`...)
	p.line = appendString(p.line, index)
	p.line = append(p.line, `,"_id":"`...)
	for _, c := range id {
		p.line = append(p.line, hexDigits[c>>4], hexDigits[c&0xf])
	}
	p.line = append(p.line, "\"}}\n"...)
	p.line = appendDocument(p.line, r, extended)
	p.line = append(p.line, '\n')
	if p.docs > 0 && p.raw+len(p.line) > limit {
		return false, nil
	}
	p.docs++
	p.raw += len(p.line)
	if p.gz == nil {
		p.out.Write(p.line)
		return true, nil
	}
	_, err := p.gz.Write(p.line)
	return true, err
}

// finish ends the payload; nothing is added after it.
func (p *payload) finish() error {
	if p.gz == nil {
		return nil
	}
	return p.gz.Close()
}

// reader reads the payload from its beginning.
func (p *payload) reader() *payloadReader {
	p.open.Add(1)
	return &payloadReader{of: p, r: bytes.NewReader(p.out.Bytes())}
}

// payloadReader is a request's body. After Close it reads nothing, so that the payload can be used again.
type payloadReader struct {
	of *payload
	mu sync.Mutex
	r  *bytes.Reader
}

var errClosed = errors.New("the body is closed")

// Read implements io.Reader.
func (r *payloadReader) Read(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.r == nil {
		return 0, errClosed
	}
	return r.r.Read(b)
}

// Close implements io.Closer; it may be called again.
func (r *payloadReader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.r != nil {
		r.r = nil
		r.of.open.Add(-1)
	}
	return nil
}

var _ io.ReadCloser = (*payloadReader)(nil)
