package statedir

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestIdentityOutlivesTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	a, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); !errors.Is(err, ErrLocked) {
		t.Errorf("a second process got %v, want ErrLocked", err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if a.Token != b.Token || a.Home != b.Home || len(a.Token) != 32 {
		t.Errorf("identity changed: %q %q, then %q %q", a.Token, a.Home, b.Token, b.Home)
	}
	other, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if other.Token == b.Token || other.Home == b.Home {
		t.Error("two directories share an identity")
	}
}

func TestDamagedIdentityIsSaid(t *testing.T) {
	path := t.TempDir()
	if err := os.WriteFile(filepath.Join(path, "identity.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if d, err := Open(path); err == nil {
		d.Close()
		t.Error("a damaged identity was taken")
	}
}

func TestAdminTokenIsMadeOnce(t *testing.T) {
	d, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	a, file, err := d.AdminToken()
	if err != nil || len(a) < 20 {
		t.Fatalf("token %q: %v", a, err)
	}
	if b, _, err := d.AdminToken(); err != nil || a != b {
		t.Errorf("token changed: %v", err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("token file: %v %v", info, err)
	}
}

func TestRetriesExcludeEachOtherButNotTheOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	lock, err := LockRetry(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := LockRetry(path); !errors.Is(err, ErrLocked) {
		t.Errorf("a second retry got %v, want ErrLocked", err)
	}
	lock.Close()
	if lock, err = LockRetry(path); err != nil {
		t.Fatal(err)
	}
	lock.Close()
}
