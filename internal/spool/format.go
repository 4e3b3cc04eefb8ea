package spool

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"sluice/internal/pipeline"
)

// A batch is, all numbers big-endian:
//
//	magic   8 bytes: "SLUSPL", the layout as a digit, a line end
//	header  length (4), CRC-32C of the JSON (4), JSON of pipeline.SpoolHead
//	element length of the payload (4), true length (8), hash (8), CRC-32C of these 20 bytes and the payload (4), payload
//
// with as many elements as the header's range has positions, and nothing behind them.
const (
	magic       = "SLUSPL1\n"
	layoutAt    = 6 // in magic
	elementHead = 24
	// maxHeader bounds what is read before a checksum was seen: a shape of hundreds of sinks is some 100 kB.
	maxHeader = 16 << 20
	// maxPayload is beyond what a source passes on of an element: a longer one was cut when it was read.
	maxPayload = 64 << 20
	// readAtOnce bounds what is reserved on the word of a length that was not checked yet.
	readAtOnce = 64 << 10
)

// errDamaged says that bytes are not what was written.
var errDamaged = errors.New("the spool is damaged")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encode(b *pipeline.SpoolBatch) ([]byte, error) {
	head, err := json.Marshal(b.SpoolHead)
	if err != nil {
		return nil, fmt.Errorf("encode a spooled batch: %w", err)
	}
	if int(b.To-b.From) != len(b.Elements) {
		return nil, fmt.Errorf("a batch of %d positions has %d elements", b.To-b.From, len(b.Elements))
	}
	size := len(magic) + 8 + len(head)
	for i := range b.Elements {
		size += elementHead + len(b.Elements[i].Payload)
	}
	out := append(make([]byte, 0, size), magic...)
	out = binary.BigEndian.AppendUint32(out, uint32(len(head)))
	out = binary.BigEndian.AppendUint32(out, crc32.Checksum(head, castagnoli))
	out = append(out, head...)
	for i := range b.Elements {
		e, at := &b.Elements[i], len(out)
		out = binary.BigEndian.AppendUint32(out, uint32(len(e.Payload)))
		out = binary.BigEndian.AppendUint64(out, uint64(e.Len))
		out = binary.BigEndian.AppendUint64(out, e.Hash)
		sum := crc32.Update(crc32.Checksum(out[at:], castagnoli), castagnoli, e.Payload)
		out = binary.BigEndian.AppendUint32(out, sum)
		out = append(out, e.Payload...)
	}
	return out, nil
}

// reader reads a batch from its beginning.
type reader struct {
	head  pipeline.SpoolHead
	body  io.ReadCloser
	buf   *bufio.Reader
	frame [elementHead]byte // of the element in hand
}

// newReader reads the header. It closes nothing.
func newReader(body io.ReadCloser) (*reader, error) {
	r := &reader{body: body, buf: bufio.NewReaderSize(body, readAtOnce)}
	var fixed [len(magic) + 8]byte
	if err := r.full(fixed[:]); err != nil {
		return nil, err
	}
	if l := fixed[layoutAt]; string(fixed[:layoutAt]) == magic[:layoutAt] && l > magic[layoutAt] && l <= '9' && fixed[layoutAt+1] == '\n' {
		return nil, fmt.Errorf("%w: the batch has layout %c, this program knows layout %c", pipeline.ErrNewer, l, magic[layoutAt])
	}
	if string(fixed[:len(magic)]) != magic {
		return nil, fmt.Errorf("%w: it is no batch", errDamaged)
	}
	size, sum := binary.BigEndian.Uint32(fixed[len(magic):]), binary.BigEndian.Uint32(fixed[len(magic)+4:])
	if size > maxHeader {
		return nil, fmt.Errorf("%w: a header of %d bytes", errDamaged, size)
	}
	head, err := r.bytes(int(size))
	if err != nil {
		return nil, err
	}
	if crc32.Checksum(head, castagnoli) != sum {
		return nil, fmt.Errorf("%w: the header's checksum is wrong", errDamaged)
	}
	if err := json.Unmarshal(head, &r.head); err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	if h := &r.head; h.From >= h.To || h.To > h.ClaimLen {
		return nil, fmt.Errorf("%w: the range [%d, %d) of %d is none", errDamaged, h.From, h.To, h.ClaimLen)
	}
	return r, nil
}

// full reads all of b.
func (r *reader) full(b []byte) error {
	_, err := io.ReadFull(r.buf, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends early", errDamaged)
	}
	return err
}

// bytes reads n bytes, of which no more is reserved than came.
func (r *reader) bytes(n int) ([]byte, error) {
	out := make([]byte, 0, min(n, readAtOnce))
	for len(out) < n {
		at := len(out)
		out = append(out, make([]byte, min(n-at, max(readAtOnce, at)))...)
		if err := r.full(out[at:]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// next reads the beginning of the next element and returns the size of its payload.
func (r *reader) next() (int, error) {
	if err := r.full(r.frame[:]); err != nil {
		return 0, err
	}
	n := binary.BigEndian.Uint32(r.frame[:])
	if n > maxPayload {
		return 0, fmt.Errorf("%w: an element of %d bytes", errDamaged, n)
	}
	return int(n), nil
}

// payload reads the rest of the element in hand and checks it.
func (r *reader) payload() (e pipeline.Element, err error) {
	n := int(binary.BigEndian.Uint32(r.frame[:]))
	e.Len, e.Hash = int64(binary.BigEndian.Uint64(r.frame[4:])), binary.BigEndian.Uint64(r.frame[12:])
	if e.Payload, err = r.bytes(n); err != nil {
		return e, err
	}
	sum := crc32.Update(crc32.Checksum(r.frame[:20], castagnoli), castagnoli, e.Payload)
	if sum != binary.BigEndian.Uint32(r.frame[20:]) {
		return e, fmt.Errorf("%w: an element's checksum is wrong", errDamaged)
	}
	return e, nil
}

func (r *reader) element() (pipeline.Element, error) {
	if _, err := r.next(); err != nil {
		return pipeline.Element{}, err
	}
	return r.payload()
}

// skip passes over an element. Its payload is not checked: nobody gets it.
func (r *reader) skip() error {
	n, err := r.next()
	if err != nil {
		return err
	}
	_, err = r.buf.Discard(n)
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: it ends early", errDamaged)
	}
	return err
}

// Close implements io.Closer.
func (r *reader) Close() error { return r.body.Close() }
