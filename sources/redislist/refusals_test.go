package redislist

import (
	"errors"
	"strings"
	"testing"

	"sluice/internal/pipeline"
)

// Each row says what an operator is to do, by the words that servers use; everything else is repeated.
func TestRefusalsNameTheirCure(t *testing.T) {
	for _, tt := range []struct {
		err  error
		ask  func(error) error
		want string // empty: repeated
	}{
		{errUnknownPrimary, ofSentinel, `the Sentinel host:1 knows no primary called "mine": see master_name`},
		{errNoSentinel, ofSentinel, "host:1 is no Sentinel"},
		{replyError("NOAUTH Authentication required."), ofSentinel, "set sentinel.password"},
		{replyError("WRONGPASS invalid username-password pair or user is disabled."), ofSentinel, "refuses sentinel.username and sentinel.password: "},
		{replyError("ERR AUTH <password> called without any password configured for the default user."), ofSentinel, "refuses sentinel.username"},
		{replyError("NOPERM this user has no permissions to run the 'sentinel|master' command"), ofSentinel, "+sentinel|master to the ACL rules of sentinel.username"},
		{replyError("IDONTKNOW"), ofSentinel, ""},
		{errors.New("connection refused"), ofSentinel, ""},
		{replyError("ERR This instance has cluster support disabled"), ofCluster, "host:1: this Redis runs without cluster mode: set mode to single"},
		{replyError("ERR unknown command 'CLUSTER', with args beginning with: 'INFO' "), ofCluster, "host:1 is no node of a Cluster"},
		{replyError("NOPERM User sluice has no permissions to run the 'cluster|slots' command"), ofCluster, "+cluster|slots +cluster|info +asking"},
		{replyError("LOADING Redis is loading the dataset in memory"), ofCluster, ""},
	} {
		err := tt.ask(tt.err)
		class, _ := pipeline.Classify(err)
		if fatal := class == pipeline.FatalError; fatal != (tt.want != "") || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "%") {
			t.Errorf("%v becomes %v (operator %t)", tt.err, err, fatal)
		}
	}
	if !errors.Is(ofCluster(replyError("ERR This instance has cluster support disabled")), errNoCluster) || !errors.Is(ofSentinel(errUnknownPrimary), errUnknownPrimary) {
		t.Error("the cause is lost")
	}
	if len(SentinelAnswers()) != len(sentinelAnswers) || len(ClusterAnswers()) != len(clusterAnswers) {
		t.Error("the documentation lacks rows")
	}
}

func ofSentinel(err error) error { return sentinelError("host:1", "mine", err) }
func ofCluster(err error) error  { return clusterError("host:1", err) }
