// Package mongoimport reads the documents of requests that a pump, this one or another, wrote into MongoDB, and brings them
// into an archive: each once, however often it is done.
package mongoimport
