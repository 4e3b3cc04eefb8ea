package install

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// policyFile is what Debian's packages ask before they start a service. A
// script there that exits with 101 forbids it.
const policyFile = "/usr/sbin/policy-rc.d"

// RedisServer returns redis-server or valkey-server, installing the former. It
// is a Sentinel as well; redis-cli comes with it.
func (in *Installer) RedisServer(ctx context.Context) (string, error) {
	return in.orApt(ctx, RedisServer, "redis-server")
}

// HAProxy returns haproxy, installing Debian's.
func (in *Installer) HAProxy(ctx context.Context) (string, error) {
	return in.orApt(ctx, HAProxy, "haproxy")
}

// Chromium returns a browser, installing Debian's.
func (in *Installer) Chromium(ctx context.Context) (string, error) {
	return in.orApt(ctx, Chromium, "chromium")
}

// orApt returns what find finds, if need be after installing packages.
func (in *Installer) orApt(ctx context.Context, find func() (string, error), pkgs ...string) (string, error) {
	path, err := find()
	if err == nil {
		return path, nil
	}
	if aptErr := in.apt(ctx, pkgs...); aptErr != nil {
		return "", errors.Join(err, aptErr)
	}
	return find()
}

// apt installs Debian packages, for which it must be root, without starting
// their services.
func (in *Installer) apt(ctx context.Context, pkgs ...string) error {
	list := strings.Join(pkgs, " ")
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("install %s by the means of this system (it has no apt-get)", list)
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("run: sudo apt-get install %s", list)
	}
	unlock, err := in.lockApt(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	in.Progress("installing the Debian packages " + list)
	allow, err := forbidServices()
	if err != nil {
		return err
	}
	return errors.Join(aptInstall(ctx, pkgs), allow())
}

func (in *Installer) lockApt(ctx context.Context) (func(), error) {
	base, err := Dir()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(base, 0o755); err != nil {
		return nil, fmt.Errorf("make the cache directory: %w", err)
	}
	return Lock(ctx, filepath.Join(base, "apt.lock"))
}

// aptInstall installs, and fetches the list of packages first where there is
// none yet or an old one, as in a fresh container.
func aptInstall(ctx context.Context, pkgs []string) error {
	env := []string{"DEBIAN_FRONTEND=noninteractive"}
	args := append([]string{
		"-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3",
		"install", "-y", "-q", "--no-install-recommends",
	}, pkgs...)
	if run(ctx, env, "apt-get", args...) == nil {
		return nil
	}
	if err := retry(ctx, env, "apt-get", "-q", "update"); err != nil {
		return err
	}
	return retry(ctx, env, "apt-get", args...)
}

// forbidServices keeps packages from starting services until allow is called.
// A policy that is there already belongs to somebody else and stays.
func forbidServices() (allow func() error, err error) {
	f, err := os.OpenFile(policyFile, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if errors.Is(err, os.ErrExist) {
		return func() error { return nil }, nil
	}
	if err != nil {
		return nil, fmt.Errorf("forbid packages to start their services: %w", err)
	}
	_, err = f.WriteString("#!/bin/sh\nexit 101\n")
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, errors.Join(err, os.Remove(policyFile))
	}
	return func() error { return os.Remove(policyFile) }, nil
}
