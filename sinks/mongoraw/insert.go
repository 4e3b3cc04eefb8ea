package mongoraw

import (
	"context"
	"errors"
	"fmt"
	"sync"

	types "go.mongodb.org/mongo-driver/bson"
	driver "go.mongodb.org/mongo-driver/mongo"
	bson "go.mongodb.org/mongo-driver/x/bsonx/bsoncore"

	"sluice/internal/crash"
	"sluice/internal/mongo"
	"sluice/internal/pipeline"
	"sluice/internal/tally"
)

// Bounds of one insert command. The server takes 100,000 documents and a command of 16 MiB and a little; 4 MiB already
// cost no more per record, and several commands may be in memory at once. A larger document goes alone.
const (
	maxCommandBytes = 4 << 20
	maxCommandDocs  = 100_000
)

// keepBuffer is the largest buffer that is kept for the next command.
const keepBuffer = 2 * maxCommandBytes

// inserter writes the items of a batch that go to one collection.
type inserter struct {
	db    *driver.Database
	batch *pipeline.Batch
	to    collection
	tally *tally.Tally
}

// buffers are for building commands. The driver copies a command into its own message before it sends it, so that a
// buffer is free when the call has returned, also when its context ended first.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// insert writes the items in as many commands as their size asks for.
func (in *inserter) insert(ctx context.Context, items []int) {
	buf := buffers.Get().(*[]byte)
	defer func() {
		if cap(*buf) <= keepBuffer {
			buffers.Put(buf)
		}
	}()
	for len(items) > 0 {
		if err := ctx.Err(); err != nil {
			in.tally.Retry(items, err)
			return
		}
		cmd, sent, rest := in.build((*buf)[:0], items)
		*buf, items = cmd, rest
		if len(sent) > 0 {
			in.send(ctx, cmd, sent)
		}
	}
}

// build makes the command for as many of the items as it holds, at least one, and returns those in it and those behind.
// An item too large for any document is tallied dead and in neither.
func (in *inserter) build(buf []byte, items []int) (cmd []byte, sent, rest []int) {
	start, buf := bson.AppendDocumentStart(buf)
	buf = bson.AppendStringElement(buf, "insert", in.to.name)
	buf = bson.AppendBooleanElement(buf, "ordered", false)
	concern, buf := bson.AppendDocumentElementStart(buf, "writeConcern")
	buf = bson.AppendStringElement(buf, "w", "majority")
	buf = bson.AppendInt64Element(buf, "wtimeout", in.db.WriteConcern().WTimeout.Milliseconds())
	buf = closeDocument(buf, concern)
	documents, buf := bson.AppendArrayElementStart(buf, "documents")

	sent = make([]int, 0, len(items))
	n := 0
	for ; n < len(items) && len(sent) < maxCommandDocs; n++ {
		before := len(buf)
		buf = appendIndexHeader(buf, types.TypeEmbeddedDocument, len(sent))
		from := len(buf)
		buf = in.appendItem(buf, items[n])
		if size := len(buf) - from; size > maxDocument {
			buf = buf[:before]
			in.tally.Dead(items[n], fmt.Sprintf("the document has %d bytes without its bodies, MongoDB takes %d", size, maxDocument))
			continue
		}
		if len(buf) > maxCommandBytes && len(sent) > 0 {
			buf = buf[:before]
			break
		}
		sent = append(sent, items[n])
	}
	buf = closeDocument(buf, documents)
	return closeDocument(buf, start), sent, items[n:]
}

func (in *inserter) appendItem(buf []byte, i int) []byte {
	item := &in.batch.Items[i]
	if item.Uptime != nil {
		return appendUptime(buf, item.ID, item.Uptime)
	}
	from, cut := len(buf), tooLarge(item.Record)
	buf = appendRecord(buf, item.ID, item.Record, cut, !in.to.capped)
	if len(buf)-from > maxDocument && !cut {
		buf = appendRecord(buf[:from], item.ID, item.Record, true, !in.to.capped)
	}
	return buf
}

// send runs a command and tallies what became of its items. Documents are inserted without order: one that fails does
// not hold up the others.
func (in *inserter) send(ctx context.Context, cmd []byte, items []int) {
	crash.Before("mongo-raw/insert")
	err := in.db.RunCommand(ctx, bsonRaw(cmd)).Err()
	crash.After("mongo-raw/insert")
	if err == nil {
		return
	}
	var we driver.WriteException
	if errors.As(err, &we) {
		in.sort(ctx, &we, items)
		return
	}
	err = mongo.Classify(err)
	switch class, _ := pipeline.Classify(err); {
	case class != pipeline.PermanentBatch:
		in.tally.Retry(items, fmt.Errorf("insert into %s: %w", in.to.name, err))
	case mongo.Code(err) == mongo.CodeInvalidNamespace, len(items) == 1:
		for _, i := range items {
			in.tally.Dead(i, fmt.Sprintf("insert into %s: %v", in.to.name, err))
		}
	default: // it may lie in one of them
		in.insert(ctx, items[:len(items)/2])
		in.insert(ctx, items[len(items)/2:])
	}
}

// sort tallies the items of a command whose documents were not all inserted, or not provably.
func (in *inserter) sort(ctx context.Context, we *driver.WriteException, items []int) {
	if c := we.WriteConcernError; c != nil {
		// A majority did not confirm in time. What is there may yet be lost, also what a duplicate key was found for.
		in.tally.Retry(items, fmt.Errorf("insert into %s: no majority confirmed the write: code %d %s", in.to.name, c.Code, c.Name))
		return
	}
	var clashes []int
	for _, e := range we.WriteErrors {
		if e.Index < 0 || e.Index >= len(items) {
			in.tally.Retry(items, fmt.Errorf("insert into %s: the server reports an error of document %d of %d", in.to.name, e.Index, len(items)))
			return
		}
	}
	for _, e := range we.WriteErrors {
		i := items[e.Index]
		switch {
		case e.Code == mongo.CodeDuplicateKey && mongo.ClashOf(&e, in.db.Name(), in.to.name) == mongo.ClashID:
			// It is there: delivered before.
		case e.Code == mongo.CodeDuplicateKey:
			clashes = append(clashes, i)
		case mongo.Hopeless(e.Code):
			in.tally.Dead(i, fmt.Sprintf("%s refuses the document: code %d: %s", in.to.name, e.Code, clip(e.Message)))
		default:
			in.tally.Retry([]int{i}, fmt.Errorf("insert into %s: code %d: %s", in.to.name, e.Code, clip(e.Message)))
		}
	}
	in.settleClashes(ctx, clashes)
}

// clip bounds a message of the server, which may quote values.
func clip(message string) string {
	const most = 300
	if len(message) > most {
		return message[:most] + "..."
	}
	return message
}
