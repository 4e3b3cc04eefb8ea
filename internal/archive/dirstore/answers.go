package dirstore

import (
	"errors"
	"syscall"

	"sluice/internal/pipeline"
)

type answer struct {
	errno  syscall.Errno
	name   string
	action pipeline.Action
	why    string
}

// answers are the errors of the file system that are known; any other is repeated.
var answers = []answer{
	{syscall.EACCES, "EACCES", pipeline.Operator, "this user may not write there"},
	{syscall.EPERM, "EPERM", pipeline.Operator, "this user may not do that there, or the file system has no hard links"},
	{syscall.ENOTDIR, "ENOTDIR", pipeline.Operator, "a file stands where a directory should"},
	{syscall.ENAMETOOLONG, "ENAMETOOLONG", pipeline.Operator, "the path is too long"},
	{syscall.EROFS, "EROFS", pipeline.Operator, "the file system is read-only"},
	{syscall.ENOSPC, "ENOSPC", pipeline.Repeat, "the disk is full"},
	{syscall.EDQUOT, "EDQUOT", pipeline.Repeat, "the user's quota is used up"},
	{syscall.EIO, "EIO", pipeline.Repeat, "the disk fails, for now"},
	{syscall.EMFILE, "EMFILE", pipeline.Repeat, "file descriptors are short"},
	{syscall.ESTALE, "ESTALE", pipeline.Repeat, "a network file system lost its server"},
}

// Classify marks what only an operator cures.
func Classify(err error) error {
	for _, a := range answers {
		if errors.Is(err, a.errno) {
			return a.action.Mark(err, 0)
		}
	}
	return err
}

// Answers are the rows of the documentation.
func Answers() (rows []pipeline.Answer) {
	for _, a := range answers {
		rows = append(rows, pipeline.Answer{Answer: a.name, Action: a.action, Why: a.why})
	}
	return rows
}
