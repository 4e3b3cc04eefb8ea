//go:build !race

package testenv

// Race tells whether the test, and with it the program that Build builds, has
// the race detector.
const Race = false
