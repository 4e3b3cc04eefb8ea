package main

import (
	"context"

	"sluice/internal/testenv/install"
	"sluice/internal/testenv/launch"
)

// service is one thing that tests need.
type service struct {
	name string
	// env is the variable for its address, empty for a program that tests
	// start themselves.
	env string
	// private says that tests also start the program themselves, so that it is
	// needed even when the address of a running server is given.
	private bool
	// get finds or installs the program.
	get func(ctx context.Context, in *install.Installer) (program, error)
	// start starts the program with its data in dir and returns the value for
	// env. It is nil for a program that tests start themselves.
	start func(ctx context.Context, p program, dir string) (*launch.Server, string, error)
}

// program is what get found. Most need one path, OpenSearch and Kafka need java
// beside.
type program struct{ path, java string }

// services returns all services, in the order in which they are listed.
func services() []service {
	return []service{
		{name: "redis", env: launch.EnvRedis, private: true, get: single((*install.Installer).RedisServer), start: startRedis},
		{name: "haproxy", private: true, get: single((*install.Installer).HAProxy)},
		{name: "mongo", env: launch.EnvMongo, private: true, get: single((*install.Installer).Mongod), start: startMongo},
		{name: "opensearch", env: launch.EnvOpenSearch, get: getOpenSearch, start: startOpenSearch},
		{name: "s3", env: launch.EnvS3, get: single((*install.Installer).VersityGW), start: startS3},
		{name: "kafka", env: launch.EnvKafka, private: true, get: getKafka, start: startKafka},
		{name: "chromium", private: true, get: single((*install.Installer).Chromium)},
	}
}

func names() []string {
	var out []string
	for _, s := range services() {
		out = append(out, s.name)
	}
	return out
}

func find(name string) (service, bool) {
	for _, s := range services() {
		if s.name == name {
			return s, true
		}
	}
	return service{}, false
}

func single(get func(*install.Installer, context.Context) (string, error),
) func(context.Context, *install.Installer) (program, error) {
	return func(ctx context.Context, in *install.Installer) (program, error) {
		path, err := get(in, ctx)
		return program{path: path}, err
	}
}

func getOpenSearch(ctx context.Context, in *install.Installer) (p program, err error) {
	if p.java, err = in.Java(ctx); err != nil {
		return p, err
	}
	p.path, err = in.OpenSearch(ctx)
	return p, err
}

func getKafka(ctx context.Context, in *install.Installer) (p program, err error) {
	if p.java, err = in.Java(ctx); err != nil {
		return p, err
	}
	p.path, err = in.Kafka(ctx)
	return p, err
}

func startRedis(ctx context.Context, p program, dir string) (*launch.Server, string, error) {
	s, err := launch.Redis(ctx, p.path, dir)
	if err != nil {
		return nil, "", err
	}
	return s, s.Addr, nil
}

func startMongo(ctx context.Context, p program, dir string) (*launch.Server, string, error) {
	s, err := launch.Mongo(ctx, p.path, dir)
	if err != nil {
		return nil, "", err
	}
	return s, launch.MongoURI(s), nil
}

func startOpenSearch(ctx context.Context, p program, dir string) (*launch.Server, string, error) {
	s, err := launch.OpenSearch(ctx, p.java, p.path, dir)
	if err != nil {
		return nil, "", err
	}
	return s, "http://" + s.Addr, nil
}

func startS3(ctx context.Context, p program, dir string) (*launch.Server, string, error) {
	s, err := launch.VersityGW(ctx, p.path, dir)
	if err != nil {
		return nil, "", err
	}
	return s, launch.S3URL(s), nil
}

func startKafka(ctx context.Context, p program, dir string) (*launch.Server, string, error) {
	s, err := launch.Kafka(ctx, p.java, p.path, dir, launch.KafkaConfig{})
	if err != nil {
		return nil, "", err
	}
	return s, s.Addr, nil
}
