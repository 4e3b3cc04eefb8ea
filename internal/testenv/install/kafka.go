package install

import (
	"context"
	"errors"
	"path/filepath"
)

const kafkaVersion = "4.1.0"

// kafkaJar is the jar that has the broker's main class.
var kafkaJar = filepath.Join("lib", "kafka_2.13-"+kafkaVersion+".jar")

// Kafka returns the directory with the jars of Kafka, fetching them into the
// cache if need be.
func (in *Installer) Kafka(ctx context.Context) (jars string, err error) {
	path, err := in.cached(ctx, "kafka", kafkaVersion, kafkaJar, func(ctx context.Context, dir string) error {
		in.Progress("fetching Kafka " + kafkaVersion + " from Maven Central (43 MB)")
		// The broker logs through slf4j and brings no backend for it.
		return in.fetchJars(ctx, dir, "org.apache.kafka:kafka_2.13:"+kafkaVersion, "org.slf4j:slf4j-simple:1.7.36")
	})
	if err != nil {
		return "", errors.Join(missing("Kafka", "set SLUICE_TEST_KAFKA"), err)
	}
	return filepath.Dir(path), nil
}

// Kafka returns java and the directory with the jars of Kafka, if both are on
// this machine already.
func Kafka() (java, jars string, err error) {
	const cure = "run `make servers` once, which fetches it"
	if java, err = onPath("java", aptCure("default-jre-headless"), "java"); err != nil {
		return "", "", err
	}
	dir, err := Dir()
	if err != nil {
		return "", "", err
	}
	jar, err := inCache(filepath.Join(dir, "kafka", kafkaVersion, kafkaJar), "Kafka", cure)
	if err != nil {
		return "", "", err
	}
	return java, filepath.Dir(jar), nil
}
