//go:build crashpoints

package crash

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// Before stands directly before the step of that name.
func Before(name string) { pass("before " + name) }

// After stands directly after the step of that name, whether it failed or not.
func After(name string) { pass("after " + name) }

// order is what the environment asks for.
type order struct {
	point string
	left  atomic.Int64 // passes until it is time
	trace *os.File
}

// given reads the environment once. It is the one thing that the whole process shares; no shipped program has it.
var given = sync.OnceValue(func() *order {
	o := &order{}
	point, nth, many := strings.Cut(os.Getenv(Env), ":")
	n := 1
	if many {
		var err error
		if n, err = strconv.Atoi(nth); err != nil || n < 1 {
			refuse(fmt.Errorf("%s: %q is no number of passes", Env, nth))
		}
	}
	o.point = point
	o.left.Store(int64(n))
	if name := os.Getenv(EnvTrace); name != "" {
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			refuse(err)
		}
		o.trace = f
	}
	return o
})

// refuse ends a test program that cannot do as it was told, which must not pass for one that did.
func refuse(err error) {
	fmt.Fprintln(os.Stderr, "crash points:", err)
	os.Exit(3)
}

// pass notes the point and dies there if it is the one: as by kill -9, without a deferred call, a flush or a goodbye.
func pass(point string) {
	o := given()
	if o.trace != nil {
		if _, err := o.trace.WriteString(point + "\n"); err != nil {
			refuse(err)
		}
	}
	if point != o.point || o.left.Add(-1) != 0 {
		return
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
		refuse(err)
	}
	select {} // the signal is on its way: nothing happens behind the point
}
