package sqlite

import (
	"maps"
	"slices"

	sqlitelib "modernc.org/sqlite/lib"

	"sluice/internal/pipeline"
)

type answer struct {
	name   string
	action pipeline.Action
	why    string
}

// answers are the result codes that are known (https://www.sqlite.org/rescode.html).
var answers = map[int]answer{
	sqlitelib.SQLITE_PERM:     {"SQLITE_PERM", pipeline.Operator, "the file's rights"},
	sqlitelib.SQLITE_BUSY:     {"SQLITE_BUSY", pipeline.Repeat, "another process reads or checkpoints"},
	sqlitelib.SQLITE_LOCKED:   {"SQLITE_LOCKED", pipeline.Repeat, "another statement holds it"},
	sqlitelib.SQLITE_NOMEM:    {"SQLITE_NOMEM", pipeline.Repeat, "memory is short"},
	sqlitelib.SQLITE_READONLY: {"SQLITE_READONLY", pipeline.Operator, "the file or its directory is read-only"},
	sqlitelib.SQLITE_IOERR:    {"SQLITE_IOERR", pipeline.Repeat, "the disk fails, for now"},
	sqlitelib.SQLITE_CORRUPT:  {"SQLITE_CORRUPT", pipeline.Operator, "the file is damaged"},
	sqlitelib.SQLITE_FULL:     {"SQLITE_FULL", pipeline.Repeat, "the disk is full"},
	sqlitelib.SQLITE_CANTOPEN: {"SQLITE_CANTOPEN", pipeline.Repeat, "the directory is not there yet, or descriptors are short"},
	sqlitelib.SQLITE_NOTADB:   {"SQLITE_NOTADB", pipeline.Operator, "the file is no SQLite database"},
}

// Answers are the rows of the documentation.
func Answers() (rows []pipeline.Answer) {
	for _, code := range slices.Sorted(maps.Keys(answers)) {
		rows = append(rows, pipeline.Answer{Answer: answers[code].name, Action: answers[code].action, Why: answers[code].why})
	}
	return rows
}
