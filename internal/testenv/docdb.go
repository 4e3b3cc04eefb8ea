package testenv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/bson"
)

// DocumentDB is the shared MongoDB behind a relay that answers as Amazon
// DocumentDB does where the two differ and Sluice is concerned: it refuses what
// DocumentDB lacks, with its codes, and says less. It is for one test; other
// tests use the same server, as with Mongo.
type DocumentDB struct {
	URI string

	mu      sync.Mutex
	refused []string
}

// Refused returns what was refused so far, one line each.
func (d *DocumentDB) Refused() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.refused...)
}

// NewDocumentDB starts the relay; it ends with the test.
func NewDocumentDB(t testing.TB) *DocumentDB {
	t.Helper()
	host := strings.TrimPrefix(Mongo(t), "mongodb://")
	host, _, _ = strings.Cut(host, "/")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	// A direct connection, since the members' names in hello lead past the relay.
	d := &DocumentDB{URI: "mongodb://" + l.Addr().String() + "/?directConnection=true"}
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	closed := false
	track := func(c net.Conn) bool {
		mu.Lock()
		defer mu.Unlock()
		open[c] = true
		return !closed
	}
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", host)
			if err != nil {
				_ = client.Close()
				continue
			}
			wg.Go(func() {
				defer client.Close()
				defer server.Close()
				if track(client) && track(server) {
					d.relay(client, server)
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		closed = true
		for c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return d
}

const (
	opMsg        = 2013
	moreToCome   = 2
	messageLimit = 64 << 20
	headerBytes  = 16
	flagBytes    = 4
)

// relay passes requests on and answers back, one after the other, as drivers
// send them on one connection.
func (d *DocumentDB) relay(client, server net.Conn) {
	for {
		request, err := message(client)
		if err != nil {
			return
		}
		if code, why := lacks(body(request), request); code != 0 {
			d.mu.Lock()
			d.refused = append(d.refused, why)
			d.mu.Unlock()
			if _, err := client.Write(failure(request, code, why)); err != nil {
				return
			}
			continue
		}
		if _, err := server.Write(request); err != nil {
			return
		}
		for more := true; more; {
			answer, err := message(server)
			if err != nil {
				return
			}
			more = isMsg(answer) && binary.LittleEndian.Uint32(answer[headerBytes:])&moreToCome != 0
			if _, err := client.Write(terse(answer)); err != nil {
				return
			}
		}
	}
}

func message(c net.Conn) ([]byte, error) {
	head := make([]byte, headerBytes)
	if _, err := io.ReadFull(c, head); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(head)
	if n < headerBytes+flagBytes || n > messageLimit {
		return nil, errors.New("no message of MongoDB's protocol")
	}
	m := make([]byte, n)
	copy(m, head)
	_, err := io.ReadFull(c, m[headerBytes:])
	return m, err
}

func isMsg(m []byte) bool { return binary.LittleEndian.Uint32(m[12:]) == opMsg }

// body is the command or answer of a message; nil for those of other kinds.
func body(m []byte) bson.Raw {
	if !isMsg(m) || m[headerBytes+flagBytes] != 0 {
		return nil
	}
	raw := bson.Raw(m[headerBytes+flagBytes+1:])
	n := int(binary.LittleEndian.Uint32(raw))
	if n > len(raw) {
		return nil
	}
	return raw[:n]
}

// lacks tells what of a command DocumentDB refuses, with its code
// (docs.aws.amazon.com/documentdb, functional differences and supported APIs).
func lacks(command bson.Raw, request []byte) (code int32, why string) {
	if command == nil {
		return 0, ""
	}
	es, err := command.Elements()
	if err != nil || len(es) == 0 {
		return 0, ""
	}
	has := func(keys ...string) bool { _, err := command.LookupErr(keys...); return err == nil }
	switch name := es[0].Key(); {
	case has("txnNumber") && !has("autocommit"):
		return 301, "Retryable writes are not supported"
	case name == "create" && has("capped"):
		return 303, "Feature not supported: capped collections"
	case name == "connectionStatus" && has("showPrivileges"), name == "collMod" && has("cappedSize"), name == "bulkWrite":
		return 303, "Feature not supported: " + name
	case name == "find" && has("hint"):
		return 303, "Feature not supported: hint"
	case name == "listCollections" && strings.Contains(command.Lookup("filter").String(), "$reg"):
		return 303, "Feature not supported: $regex in listCollections"
	}
	for _, operator := range []string{"$where", "$function", "$jsonSchema", "$expr", "partialFilterExpression", "collation", "$merge"} {
		if bytes.Contains(request, []byte(operator+"\x00")) {
			return 303, "Feature not supported: " + operator
		}
	}
	for _, update := range sequence(request, len(command)) {
		if update.Lookup("u").Type == bson.TypeArray {
			return 303, "Feature not supported: updates by pipeline"
		}
	}
	return 0, ""
}

// sequence are the documents that stand behind a command, of its one sequence.
func sequence(request []byte, command int) (out []bson.Raw) {
	rest := request[headerBytes+flagBytes+1+command:]
	if len(rest) < 5 || rest[0] != 1 {
		return nil
	}
	name := bytes.IndexByte(rest[5:], 0)
	for docs := rest[5+name+1:]; len(docs) > 4; {
		n := int(binary.LittleEndian.Uint32(docs))
		if n < 5 || n > len(docs) {
			return out
		}
		out, docs = append(out, docs[:n]), docs[n:]
	}
	return out
}

// failure is the answer to a request that is refused.
func failure(request []byte, code int32, why string) []byte {
	doc, err := bson.Marshal(bson.D{{Key: "ok", Value: 0.0}, {Key: "errmsg", Value: why}, {Key: "code", Value: code}})
	if err != nil {
		return nil
	}
	return reply(request[4:8], doc)
}

func reply(to, doc []byte) []byte {
	m := make([]byte, headerBytes+flagBytes+1, headerBytes+flagBytes+1+len(doc))
	binary.LittleEndian.PutUint32(m, uint32(cap(m)))
	copy(m[8:12], to)
	binary.LittleEndian.PutUint32(m[12:], opMsg)
	return append(m, doc...)
}

// terse takes out of the errors of single writes what DocumentDB does not say:
// which key clashed.
func terse(answer []byte) []byte {
	doc := body(answer)
	if doc == nil {
		return answer
	}
	if _, err := doc.LookupErr("writeErrors"); err != nil {
		return answer
	}
	var d bson.D
	if bson.Unmarshal(doc, &d) != nil {
		return answer
	}
	for _, e := range d {
		list, ok := e.Value.(bson.A)
		if e.Key != "writeErrors" || !ok {
			continue
		}
		for i, item := range list {
			w, ok := item.(bson.D)
			if !ok {
				continue
			}
			var kept bson.D
			for _, f := range w {
				if f.Key != "keyPattern" && f.Key != "keyValue" {
					kept = append(kept, f)
				}
			}
			list[i] = kept
		}
	}
	out, err := bson.Marshal(d)
	if err != nil {
		return answer
	}
	return reply(answer[8:12], out)
}
