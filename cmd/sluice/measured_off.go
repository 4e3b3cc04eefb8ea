//go:build !measured

package main

// measured does nothing in a program that is not built to be measured.
func measured() (ended func()) { return func() {} }
