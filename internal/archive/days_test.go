package archive

import (
	"errors"
	"testing"
	"time"
)

func TestDaysAndHoursOfAllRegions(t *testing.T) {
	s, m := newMemStore(), &registry{}
	g := gathererOver(t, s, small(t))
	for i := range uint32(3) {
		b := batchOf(m, g, 1, i*10, i*10+10, func(uint32) time.Time { return nine.Add(time.Duration(i) * 24 * time.Hour) })
		if i == 2 {
			b.Shape.Record.Region = "us/east 1%"
		}
		mustAdd(t, g, b)
		mustFlush(t, g, m)
	}
	days, err := Days(t.Context(), s, "p/", time.Time{}, time.Time{})
	if err != nil || len(days) != 3 || days[2].Regions[0] != "us/east 1%" || !days[0].Time.Equal(nine.Truncate(24*time.Hour)) {
		t.Fatalf("%+v, %v", days, err)
	}
	for _, d := range days {
		h, err := ReadHour(t.Context(), s, "p/", d.Regions[0], d.Time.Add(nine.Sub(nine.Truncate(24*time.Hour)).Truncate(time.Hour)))
		if err != nil || len(h.Manifests) != 1 || h.Manifests[0].Records != 10 || len(h.Objects) != 1 {
			t.Errorf("hour %+v, %v", h, err)
		}
	}
	if some, err := Days(t.Context(), s, "p/", nine.Add(24*time.Hour), nine.Add(25*time.Hour)); err != nil || len(some) != 1 {
		t.Errorf("%+v, %v", some, err)
	}
	if h, err := ReadHour(t.Context(), s, "p/", "nowhere", nine); err != nil || len(h.Objects) != 0 {
		t.Errorf("%+v, %v", h, err)
	}
}

func TestBrokenManifestIsNamedAndEndsOnlyList(t *testing.T) {
	s, m := newMemStore(), &registry{}
	g := gathererOver(t, s, small(t))
	mustAdd(t, g, batchOf(m, g, 1, 0, 10, sameHour))
	mustFlush(t, g, m)
	key := Partition("p/", "eu-west-1", nine) + "damaged.manifest.json"
	s.objects[key] = memObject{body: []byte(`{"version":`)}
	hours := 0
	for h, err := range Hours(t.Context(), s, "p/", time.Time{}, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		hours++
		if len(h.Manifests) != 1 || len(h.Broken) != 1 || h.Broken[0].Key != key || !errors.Is(h.Broken[0].Err, ErrManifest) {
			t.Errorf("hour %+v", h)
		}
	}
	var last error
	for _, err := range List(t.Context(), s, "p/", time.Time{}, time.Time{}) {
		last = err
	}
	if hours != 1 || !errors.Is(last, ErrManifest) {
		t.Errorf("%d hours, list ends with %v", hours, last)
	}
}
