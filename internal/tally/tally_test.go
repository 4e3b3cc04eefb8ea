package tally

import (
	"errors"
	"slices"
	"testing"
	"time"

	"sluice/internal/pipeline"
)

func TestResult(t *testing.T) {
	tal := New(5)
	if r, err := tal.Result(); err != nil || r.Filtered != 0 || len(r.Dead) != 0 {
		t.Errorf("nothing said: %+v, %v", r, err)
	}
	first, wait, fatal := errors.New("first"), pipeline.RetryAfter(errors.New("wait"), time.Second), pipeline.Fatal(errors.New("fatal"))
	tal.Filter()
	tal.Dead(4, "d")
	tal.Dead(1, "b")
	tal.Retry([]int{3}, first)
	tal.Retry([]int{0}, wait)
	r, err := tal.Result()
	var partial *pipeline.PartialError
	if !errors.As(err, &partial) || !slices.Equal(partial.Retry, []int{0, 3}) {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, after := pipeline.Classify(err); after != time.Second {
		t.Errorf("the wait is lost: %v", err)
	}
	if r.Filtered != 1 || len(r.Dead) != 2 || r.Dead[0].Item != 1 || r.Dead[1].Reason != "d" {
		t.Errorf("%+v", r)
	}
	tal.Retry(nil, fatal)
	tal.Retry(nil, wait)
	if _, err := tal.Result(); !errors.Is(err, fatal) {
		t.Errorf("%v, want the fatal reason", err)
	}
}

func TestAllAgain(t *testing.T) {
	tal, why := New(2), errors.New("why")
	tal.Retry([]int{1, 0}, why)
	if r, err := tal.Result(); err != why || len(r.Dead) != 0 {
		t.Errorf("%+v, %v; want the reason itself", r, err)
	}
}
