// Package config loads, checks, documents and shows the configuration file.
//
// A file goes through these steps: parse into a tree with positions; put overrides from the environment in; resolve
// references that need no network; decode strictly over the defaults; resolve references to AWS; check values and what
// they mean together. Every step reports all it finds, with line, column, key and cure; nothing connects to a source or
// a sink. What came from a reference, or is a secret, is in no message and not in Show.
package config
