package redislist

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"

	"sluice/internal/pipeline"
	"sluice/internal/record"
)

const (
	respBuffer = 64 << 10 // also the longest line that is taken
	// cutTo is what is kept of an element that is longer than the bound: enough to see what it was.
	cutTo = 64 << 10
	// blockSize is what payloads are cut from: one allocation for many records, which alias it, so that none is reused.
	blockSize = 256 << 10
)

var errProtocol = errors.New("the server answered against its protocol")

// respReader reads replies of Redis (RESP2) as they come, so that the length of an element is known before it is read.
// Whatever comes, it holds no more than a buffer of 64 KiB and what it was asked to keep.
type respReader struct {
	br     *bufio.Reader
	hasher *record.Hasher
	cut    int64           // elements above it are cut
	block  []byte          // rest of the block that payloads are cut from
	arena  *pipeline.Arena // what they are cut from in its place while it is set
}

func newRespReader(r io.Reader, cut int64) *respReader {
	return &respReader{br: bufio.NewReaderSize(r, respBuffer), hasher: record.NewHasher(), cut: cut}
}

// replyError is an error that the server answered.
type replyError string

func (e replyError) Error() string { return string(e) }

// elsewhere tells whether the server is not, or not now, the one to read from.
func (e replyError) elsewhere() bool { return answerTo(string(e)).breaks }

// head reads the first line of a reply: its type and the rest, which is valid until the next read.
func (r *respReader) head() (kind byte, rest []byte, err error) {
	line, err := r.br.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return 0, nil, fmt.Errorf("%w: an endless line", errProtocol)
	}
	if err != nil {
		return 0, nil, err
	}
	if len(line) < 3 || line[len(line)-2] != '\r' {
		return 0, nil, fmt.Errorf("%w: a line without end", errProtocol)
	}
	return line[0], line[1 : len(line)-2], nil
}

// expect reads a reply's first line, which must be of the given type. An error reply comes as replyError.
func (r *respReader) expect(kind byte) ([]byte, error) {
	k, rest, err := r.head()
	switch {
	case err != nil:
		return nil, err
	case k == '-':
		return nil, replyError(rest)
	case k != kind:
		return nil, fmt.Errorf("%w: a reply of type %q in place of %q", errProtocol, k, kind)
	}
	return rest, nil
}

// status reads a simple string that must be want.
func (r *respReader) status(want string) error {
	s, err := r.expect('+')
	if err == nil && string(s) != want {
		err = fmt.Errorf("%w: %.40q in place of %q", errProtocol, s, want)
	}
	return err
}

// size reads the first line of an array or bulk string; -1 is nil.
func (r *respReader) size(kind byte) (int64, error) {
	s, err := r.expect(kind)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(string(s), 10, 64)
	if err != nil || n < -1 {
		return 0, fmt.Errorf("%w: the length %.40q", errProtocol, s)
	}
	return n, nil
}

// number reads a bulk string that is a decimal number; ok is false when there is none.
func (r *respReader) number() (n uint64, ok bool, err error) {
	size, err := r.size('$')
	if err != nil || size < 0 {
		return 0, false, err
	}
	if size > 20 {
		return 0, false, fmt.Errorf("%w: a number of %d characters", errProtocol, size)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(r.br, b); err != nil {
		return 0, false, err
	}
	if err := r.end(); err != nil {
		return 0, false, err
	}
	n, err = strconv.ParseUint(string(b), 10, 64)
	if err != nil {
		return 0, false, fmt.Errorf("%w: the number %q", errProtocol, b)
	}
	return n, true, nil
}

// Bounds of an array of strings: SENTINEL MASTER has some 50.
const (
	maxStrings = 1 << 10
	maxString  = 4 << 10
)

// strings reads an array of bulk strings; nil is empty.
func (r *respReader) strings() ([]string, error) {
	n, err := r.size('*')
	if err != nil {
		return nil, err
	}
	if n > maxStrings {
		return nil, fmt.Errorf("%w: an array of %d strings", errProtocol, n)
	}
	var out []string
	for ; n > 0; n-- {
		size, err := r.size('$')
		if err != nil {
			return nil, err
		}
		if size < 0 || size > maxString {
			return nil, fmt.Errorf("%w: a string of %d bytes", errProtocol, size)
		}
		b := make([]byte, size)
		if _, err := io.ReadFull(r.br, b); err != nil {
			return nil, err
		}
		if err := r.end(); err != nil {
			return nil, err
		}
		out = append(out, string(b))
	}
	return out, nil
}

// end reads what closes a bulk string.
func (r *respReader) end() error {
	b, err := r.br.Peek(2)
	if err != nil {
		return err
	}
	if b[0] != '\r' || b[1] != '\n' {
		return fmt.Errorf("%w: a string without end", errProtocol)
	}
	_, err = r.br.Discard(2)
	return err
}

// kept is how much of an element of this length is kept.
func (r *respReader) kept(length int64) int64 {
	if length > r.cut {
		return min(length, cutTo)
	}
	return length
}

// payload reads a bulk string of this length, keeps what is to be kept of it and returns the hash of all of it. more is the
// number of elements that may follow, to size the next block.
func (r *respReader) payload(length int64, more uint32) (kept []byte, hash uint64, err error) {
	keep := r.kept(length)
	if kept, err = r.keep(keep, more); err != nil {
		return nil, 0, err
	}
	if keep == length {
		return kept, record.HashPayload(kept), r.end()
	}
	r.hasher.Reset()
	_, _ = r.hasher.Write(kept)
	if err := r.hashRest(length - keep); err != nil {
		return nil, 0, err
	}
	return kept, r.hasher.Sum64(), r.end()
}

// keep reads n bytes into memory of their own. A long one is read in steps that double, so that a length alone makes
// nobody allocate.
func (r *respReader) keep(n int64, more uint32) ([]byte, error) {
	if n <= blockSize {
		b := r.cutBlock(int(n), more)
		_, err := io.ReadFull(r.br, b)
		return b, err
	}
	b := make([]byte, 0, blockSize)
	for int64(len(b)) < n {
		have := len(b)
		want := int(min(n, int64(2*max(have, blockSize/2))))
		if cap(b) < want {
			b = append(make([]byte, 0, want), b...)
		}
		b = b[:want]
		if _, err := io.ReadFull(r.br, b[have:]); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// cutBlock returns n bytes that nobody else has.
func (r *respReader) cutBlock(n int, more uint32) []byte {
	if r.arena != nil {
		return r.arena.Cut(n)
	}
	if n > len(r.block) {
		r.block = make([]byte, max(n, min(int(min(more, blockSize))*n+n, blockSize)))
	}
	b := r.block[:n:n]
	r.block = r.block[n:]
	return b
}

// hash reads a bulk string of this length and returns its hash.
func (r *respReader) hash(length int64) (uint64, error) {
	r.hasher.Reset()
	if err := r.hashRest(length); err != nil {
		return 0, err
	}
	return r.hasher.Sum64(), r.end()
}

func (r *respReader) hashRest(n int64) error {
	for n > 0 {
		b, err := r.br.Peek(int(min(n, respBuffer, int64(max(1, r.br.Buffered())))))
		if err != nil {
			return err
		}
		_, _ = r.hasher.Write(b)
		_, _ = r.br.Discard(len(b))
		n -= int64(len(b))
	}
	return nil
}

// skip reads n bulk strings and drops them.
func (r *respReader) skip(n int64) error {
	for ; n > 0; n-- {
		size, err := r.size('$')
		if err != nil {
			return err
		}
		for size > 0 { // Discard takes an int, and 32 bits are not enough for one
			d, err := r.br.Discard(int(min(size, 1<<20)))
			if err != nil {
				return err
			}
			size -= int64(d)
		}
		if err := r.end(); err != nil {
			return err
		}
	}
	return nil
}
