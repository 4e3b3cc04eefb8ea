package testenv

import "testing"

// TestMongoSetElectsAnotherPrimary when its primary is killed, frozen or told
// to step down, and is whole again afterwards.
func TestMongoSetElectsAnotherPrimary(t *testing.T) {
	set := StartMongoSet(t, 3)
	for _, harm := range []struct {
		name string
		do   func(primary *MongoMember)
	}{
		{"killed", func(p *MongoMember) { p.Kill() }},
		{"frozen", func(p *MongoMember) { p.Pause() }},
		{"told to step down", func(*MongoMember) { set.StepDown() }},
	} {
		before := set.Primary()
		harm.do(before)
		if after := set.Primary(); after == before {
			t.Fatalf("%s: the primary is still %s", harm.name, before.Addr)
		}
		set.Heal()
		if n := len(set.Secondaries()); n != 2 {
			t.Fatalf("%s: %d secondaries", harm.name, n)
		}
	}
}
