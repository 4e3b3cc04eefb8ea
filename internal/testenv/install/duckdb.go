package install

import (
	"context"
	"errors"
)

// DuckDB is a second reader of Parquet, for tests: a wheel of PyPI, with which comes no program but a module of Python.
const duckDBVersion = "1.4.1"

// DuckDB returns a Python and the directory that DuckDB's module lies in, for PYTHONPATH, fetching it into the cache if need be.
func (in *Installer) DuckDB(ctx context.Context) (python, dir string, err error) {
	if python, err = in.python(ctx); err != nil {
		return "", "", err
	}
	dir, err = in.cached(ctx, "duckdb", duckDBVersion, "modules", func(ctx context.Context, dir string) error {
		in.Progress("fetching DuckDB from PyPI (20 MB)")
		return retry(ctx, nil, python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore",
			"--no-deps", "--only-binary=:all:", "--target", dir+"/modules", "duckdb=="+duckDBVersion)
	})
	if err != nil {
		return "", "", errors.Join(missing("DuckDB", "pip install duckdb=="+duckDBVersion+" must work"), err)
	}
	return python, dir, nil
}
