// Package units has the small value types of the configuration: sizes, durations, and what is wrong with a value.
package units

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, written like 8MiB, 5GiB or 500kB.
type Size int64

// Sizes by name.
const (
	KiB Size = 1 << 10
	MiB Size = 1 << 20
	GiB Size = 1 << 30
)

var sizeUnits = []struct {
	suffix string
	factor float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1},
}

// ParseSize reads a size.
func ParseSize(s string) (Size, error) {
	for _, u := range sizeUnits {
		num, ok := strings.CutSuffix(strings.TrimSpace(s), u.suffix)
		if !ok {
			continue
		}
		f, err := strconv.ParseFloat(strings.TrimSpace(num), 64)
		if err != nil || f < 0 || f*u.factor >= 1<<62 {
			continue
		}
		return Size(f * u.factor), nil
	}
	return 0, fmt.Errorf("%q is not a size: write it like 8MiB, 5GiB or 500kB", s)
}

// String writes the size with the largest binary unit that divides it.
func (s Size) String() string {
	for i := 3; i >= 0; i-- {
		if f := Size(sizeUnits[i].factor); s >= f && s%f == 0 {
			return strconv.FormatInt(int64(s/f), 10) + sizeUnits[i].suffix
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// MarshalText implements encoding.TextMarshaler.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(b []byte) (err error) {
	*s, err = ParseSize(string(b))
	return err
}

// Duration is a span of time, written like 200ms, 30s, 90d or 3y; d is 24 hours and y 365 days.
type Duration time.Duration

// Day is 24 hours.
const Day = 24 * time.Hour

// D is the duration as the standard library has it.
func (d Duration) D() time.Duration { return time.Duration(d) }

// ParseDuration reads a duration. Spans beyond some 292 years, which int64 nanoseconds cannot hold, are an error.
func ParseDuration(s string) (Duration, error) {
	bad := fmt.Errorf("%q is not a duration: write it like 200ms, 30s, 12h, 90d or 3y", s)
	s = strings.TrimSpace(s)
	for suffix, unit := range map[string]time.Duration{"d": Day, "y": 365 * Day} {
		num, ok := strings.CutSuffix(s, suffix)
		if !ok {
			continue
		}
		f, err := strconv.ParseFloat(num, 64)
		if err != nil || f < 0 || f*float64(unit) >= 1<<63 {
			return 0, bad
		}
		return Duration(f * float64(unit)), nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, bad
	}
	return Duration(d), nil
}

// String writes the duration with the largest of y, d, h, m, s, ms that divides it.
func (d Duration) String() string {
	t := time.Duration(d)
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{365 * Day, "y"}, {Day, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}, {time.Millisecond, "ms"}} {
		if t >= u.unit && t%u.unit == 0 {
			return strconv.FormatInt(int64(t/u.unit), 10) + u.name
		}
	}
	return t.String()
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(b []byte) (err error) {
	*d, err = ParseDuration(string(b))
	return err
}

// Problem is what is wrong with one value of a configuration: the key, relative to the struct that was validated
// ("object.max_bytes"), what is wrong, and how to cure it.
type Problem struct {
	Key  string
	What string
	Cure string
}
