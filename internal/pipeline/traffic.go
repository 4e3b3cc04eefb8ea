package pipeline

import (
	"context"
	"time"
)

// TrafficReader is a sink that can show the traffic it stored (sqlite).
type TrafficReader interface {
	Traffic(ctx context.Context, from, to time.Time, step time.Duration) (Traffic, error)
}

// Traffic is what API traffic looked like over a time.
type Traffic struct {
	From      time.Time      `json:"from"`
	To        time.Time      `json:"to"`
	Step      float64        `json:"step_seconds"`
	Points    []TrafficPoint `json:"points"` // one a step, also where there was nothing
	APIs      []TrafficTop   `json:"apis"`
	Keys      []TrafficTop   `json:"keys"`
	Endpoints []TrafficTop   `json:"endpoints"`
	Countries []TrafficTop   `json:"countries"`
	Codes     []TrafficTop   `json:"codes"`
}

// TrafficPoint is one step of time.
type TrafficPoint struct {
	Time       time.Time `json:"time"`
	Hits       uint64    `json:"hits"`
	Errors     uint64    `json:"errors"`
	LatencyAvg float64   `json:"latency_avg_ms"`
	LatencyMax float64   `json:"latency_max_ms"`
	Upstream   float64   `json:"upstream_avg_ms"`
}

// TrafficTop is one value of a dimension with its share.
type TrafficTop struct {
	Name    string  `json:"name"`
	Label   string  `json:"label,omitempty"`
	Hits    uint64  `json:"hits"`
	Errors  uint64  `json:"errors"`
	Latency float64 `json:"latency_avg_ms"`
}
