package local

import (
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"sluice/retention/erase"
	"sluice/retention/plan"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestHoldOfWhatCameLate: when records on hold come between plan and deed, nothing is done.
func TestHoldOfWhatCameLate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "local.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	insert := func(org string) {
		if _, err := db.Exec("INSERT INTO recent VALUES ('k', 'api', ?, 1)", org); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.Exec("CREATE TABLE recent (api_key TEXT, api_id TEXT, org TEXT, time_ms INTEGER); CREATE TABLE counters (dimension, name, org); CREATE TABLE labels (dimension, name, org)"); err != nil {
		t.Fatal(err)
	}
	insert("free")
	p, err := erase.New(erase.Person{Keys: []string{"k"}, Holds: []plan.Hold{{Org: "held", Reason: "court"}}})
	if err != nil {
		t.Fatal(err)
	}
	e, err := Open("local", path, p)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	actions, err := e.Plan(t.Context())
	if err != nil || len(actions) != 1 || actions[0].Held() {
		t.Fatalf("%+v, %v", actions, err)
	}
	insert("held")
	var n int
	count := func(want int) {
		t.Helper()
		if err := db.QueryRow("SELECT count(*) FROM recent").Scan(&n); err != nil || n != want {
			t.Errorf("%d are left, %v", n, err)
		}
	}
	err = e.Do(t.Context(), &actions[0], func(int64) {})
	if held := new(erase.HeldError); !errors.As(err, &held) {
		t.Errorf("%v", err)
	}
	count(2)
	p.Holds = nil
	if err := e.Do(t.Context(), &actions[0], func(int64) {}); err != nil {
		t.Error(err)
	}
	count(0)
}
