package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"sluice/internal/archive"
	"sluice/internal/archive/dirstore"
)

// sound holds what is true of the archives at every moment, also directly behind a crash: what a manifest names is there, whole,
// and no record counts twice.
func (c *crasher) sound() {
	c.t.Helper()
	stores := map[string]archive.Store{}
	for _, dir := range []string{c.filesDir(), c.second} {
		if _, err := os.Stat(dir); err == nil {
			s, err := dirstore.Open(dir)
			if err != nil {
				c.t.Fatal(err)
			}
			stores[dir] = s
		}
	}
	if c.bucket.Bucket != "" {
		stores["the bucket"] = c.s3Store()
	}
	for name, s := range stores {
		prefix := ""
		if name == "the bucket" {
			prefix = "a/"
		}
		if problems := c.unsound(name, s, prefix); len(problems) > 0 {
			c.t.Errorf("having died %s, round %d, the archive in %s: %v", c.point, c.n, name, problems)
		}
	}
}

// unsound tells what readers of an archive would stumble over. What was whole once, and is there, is not read again.
func (c *crasher) unsound(name string, s archive.Store, prefix string) (out []string) {
	c.t.Helper()
	there := map[string]bool{}
	for info, err := range s.List(c.t.Context(), prefix) {
		if err != nil {
			return append(out, err.Error())
		}
		there[info.Key] = true
	}
	at := map[string]bool{}
	for m, err := range archive.List(c.t.Context(), s, prefix, time.Time{}, time.Time{}) {
		if err != nil {
			return append(out, err.Error())
		}
		known := name + m.Key + m.SHA256
		if c.whole[known] == nil || !there[m.Key] {
			rows, err := positionsOf(c.t.Context(), s, m)
			if err != nil {
				out = append(out, fmt.Sprintf("%s: %v", m.Key, err))
				continue
			}
			c.whole[known] = rows
		}
		for _, p := range c.whole[known] {
			if at[p] {
				out = append(out, p+" counts twice")
			}
			at[p] = true
		}
	}
	return out
}

// positionsOf reads an object to its end.
func positionsOf(ctx context.Context, s archive.Store, m *archive.Manifest) ([]string, error) {
	rd, err := archive.Open(ctx, s, m)
	if err != nil {
		return nil, err
	}
	out := []string{}
	for row, err := range rd.All() {
		if err != nil {
			return nil, errors.Join(err, rd.Close())
		}
		out = append(out, row.Stream.Lineage+row.Position.String())
	}
	return out, rd.Close()
}
