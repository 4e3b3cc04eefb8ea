package launch

// The environment variables that carry the addresses of the servers that tests
// share. `make test` and `make servers` set them; a user may point them at
// containers of their own.
const (
	// EnvRedis is host:port of a Redis without password.
	EnvRedis = "SLUICE_TEST_REDIS"
	// EnvMongo is the connection string of a replica set whose TTL monitor is
	// off: mongodb://host:port/?replicaSet=rs0.
	EnvMongo = "SLUICE_TEST_MONGO"
	// EnvOpenSearch is the URL of an OpenSearch, http://host:port.
	EnvOpenSearch = "SLUICE_TEST_OPENSEARCH"
	// EnvS3 is the URL of an S3 endpoint with its keys and, if it is not
	// us-east-1, its region: http://key:secret@host:port?region=eu-west-1.
	EnvS3 = "SLUICE_TEST_S3"
	// EnvKafka is a comma-separated list of Kafka brokers, host:port.
	EnvKafka = "SLUICE_TEST_KAFKA"
	// EnvRequire set to 1 makes a missing server a failure. So does CI=true.
	EnvRequire = "SLUICE_TEST_REQUIRE"
)
