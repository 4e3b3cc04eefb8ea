package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// panel is a line of costs over what they depend on.
type panel struct {
	title, axis string
	points      []point
}

// point is a cost, in microseconds of CPU time a record, at x.
type point struct{ x, cost float64 }

// Sizes of a panel, in pixels; bottom and left leave room for words.
const (
	width, height = 300, 240
	left, bottom  = 52, 46
	top, right    = 34, 18
)

func svg(panels []panel) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11">`+"\n", width*len(panels), height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width*len(panels), height)
	for i, p := range panels {
		fmt.Fprintf(&b, `<g transform="translate(%d 0)">`+"\n", i*width)
		p.draw(&b)
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (p panel) draw(b *strings.Builder) {
	slices.SortFunc(p.points, func(a, c point) int { return cmp.Compare(a.x, c.x) })
	first, last := p.points[0].x, p.points[len(p.points)-1].x
	across := func(x float64) float64 { return left + (width-left-right)*share(x, first, last) }
	most := ceiling(slices.MaxFunc(p.points, func(a, c point) int { return cmp.Compare(a.cost, c.cost) }).cost)
	up := func(cost float64) float64 { return height - bottom - (height-bottom-top)*cost/most }
	fmt.Fprintf(b, `<text x="%d" y="16" font-weight="bold">%s</text>`+"\n", left, p.title)
	fmt.Fprintf(b, `<text x="%d" y="28" fill="#555">CPU µs a record</text>`+"\n", left)
	fmt.Fprintf(b, `<text x="%d" y="%d" fill="#555" text-anchor="middle">%s</text>`+"\n", (width+left-right)/2, height-8, p.axis)
	for i := range 5 {
		cost := most * float64(i) / 4
		fmt.Fprintf(b, `<path d="M%d %.1fH%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n",
			left, up(cost), width-right, left-6, up(cost)+4, short(cost))
	}
	var line []string
	for _, q := range p.points {
		line = append(line, fmt.Sprintf("%.1f,%.1f", across(q.x), up(q.cost)))
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="#0b63a5"/><text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n",
			across(q.x), up(q.cost), across(q.x), height-bottom+16, short(q.x))
	}
	fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="#0b63a5" stroke-width="2"/>`+"\n", strings.Join(line, " "))
}

// share is where x lies between first and last, by its logarithm where they are far apart.
func share(x, first, last float64) float64 {
	if last/first >= 10 {
		x, first, last = math.Log(x), math.Log(first), math.Log(last)
	}
	return (x - first) / (last - first)
}

// ceiling is the next number whose quarters are short.
func ceiling(v float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 4, 6, 8, 10} {
		if v <= m*unit {
			return m * unit
		}
	}
	return v
}

// short writes thousands as k and millions as M.
func short(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%gM", v/1e6)
	case v >= 1e4:
		return fmt.Sprintf("%gk", v/1e3)
	}
	return fmt.Sprintf("%g", v)
}
