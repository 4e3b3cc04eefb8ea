// Package steps has one function for each way to have points, and to lack them.
package steps

import (
	"errors"
	"os"

	"sluice/internal/crash"
)

func good(name string) error {
	crash.Before("test/good")
	err := os.Remove(name)
	crash.After("test/good")
	return err
}

func goodJoined(f *os.File) (err error) {
	switch {
	default:
		crash.Before("test/joined")
		err = errors.Join(f.Sync(), f.Close())
		crash.After("test/joined")
	}
	return err
}

func exempted(name string) { _ = os.Remove(name) }

func bare(name string) error { return os.Remove(name) }

func onlyBefore(name string) error {
	crash.Before("test/only-before")
	err := os.Remove(name)
	return err
}

func twoNames(name string) error {
	crash.Before("test/one")
	err := os.Remove(name)
	crash.After("test/other")
	return err
}

func returnsBetween(name string) error {
	crash.Before("test/returns")
	if err := os.Remove(name); err != nil {
		return err
	}
	crash.After("test/returns")
	return nil
}

func later(name string) {
	crash.Before("test/later")
	f := func() error { return os.Remove(name) }
	crash.After("test/later")
	_ = f()
}

func around(name string) string {
	crash.Before("test/nothing")
	name += "."
	crash.After("test/nothing")
	return name
}

func again(name string) error {
	crash.Before("test/good")
	err := os.Remove(name)
	crash.After("test/good")
	return err
}

func value(name string) error {
	remove := os.Remove
	return remove(name)
}
