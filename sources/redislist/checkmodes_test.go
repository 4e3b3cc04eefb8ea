package redislist

import (
	"strings"
	"testing"

	"sluice/internal/testenv"
)

// TestCheckNamesTheWrongMode: what kind of server answers, where the mode has it otherwise, is said with the cure.
func TestCheckNamesTheWrongMode(t *testing.T) {
	t.Parallel()
	cluster := testenv.StartRedis(t, "--cluster-enabled", "yes")
	single := testenv.StartRedis(t)
	for _, tt := range []struct{ addr, mode, want string }{
		{cluster.Addr, ModeSingle, "set mode to cluster"},
		{single.Addr, ModeCluster, "set mode to single"},
	} {
		cfg := testConfig(tt.addr)
		cfg.Mode = tt.mode
		var said []string
		for _, f := range newSource(t, cfg, tokenA).Check(t.Context()) {
			if f.Level == Fail {
				said = append(said, f.Text+"; "+f.Cure)
			}
		}
		if !strings.Contains(strings.Join(said, "\n"), tt.want) {
			t.Errorf("mode %s: %q does not say: %s", tt.mode, said, tt.want)
		}
	}
	if err := otherKind(ModeSingle, map[string]string{"redis_mode": "sentinel"}); err == nil || !strings.Contains(err.Error(), "set mode to sentinel") {
		t.Error(err)
	}
}
