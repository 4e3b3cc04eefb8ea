package install

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Pinned: what an installed Maven takes by itself differs from one version of
// it to the next.
const copyDependencies = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"

// fetchJars puts the artifacts, each group:name:version, and all they depend on
// into the directory lib of dir.
func (in *Installer) fetchJars(ctx context.Context, dir string, artifacts ...string) error {
	findMaven := func() (string, error) { return onPath("mvn", aptCure("maven"), "mvn") }
	mvn, err := in.orApt(ctx, findMaven, "maven", "default-jdk-headless")
	if err != nil {
		return err
	}
	pom, lib := filepath.Join(dir, "pom.xml"), filepath.Join(dir, "lib")
	if err := os.WriteFile(pom, []byte(projectOf(artifacts)), 0o644); err != nil {
		return fmt.Errorf("write the POM: %w", err)
	}
	return retry(ctx, nil, mvn, "-B", "-q", "--strict-checksums", "-f", pom,
		copyDependencies, "-DoutputDirectory="+lib)
}

// projectOf is a project that does nothing but depend on the artifacts.
func projectOf(artifacts []string) string {
	var b strings.Builder
	b.WriteString(`<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>sluice.test</groupId>
  <artifactId>server</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
`)
	for _, a := range artifacts {
		part := strings.Split(a, ":")
		fmt.Fprintf(&b, "    <dependency><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version></dependency>\n",
			part[0], part[1], part[2])
	}
	b.WriteString("  </dependencies>\n</project>\n")
	return b.String()
}
