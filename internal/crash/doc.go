// Package crash names the steps that outlive the process. Whatever changes a store, Redis or the disk stands between
// Before and After of one name:
//
//	crash.Before("mongo-raw/insert")
//	err := db.RunCommand(ctx, insert).Err()
//	crash.After("mongo-raw/insert")
//
// The program that is shipped has nothing of it: both are empty and the compiler leaves the calls out. Built with the tag
// crashpoints the program kills itself at a point of choice, so that tests can stop it between any two durable steps
// (docs/decisions/0015-crash-points.md). internal/crash/points finds all steps in the source, and fails where one has no
// point.
package crash

// The environment that a program built with the tag crashpoints heeds.
const (
	// Env names where to die: "before NAME" or "after NAME", or either with ":N" behind it for the N-th pass.
	Env = "SLUICE_CRASH"
	// EnvTrace names a file that every point that is passed is appended to, a line each.
	EnvTrace = "SLUICE_CRASH_TRACE"
)
