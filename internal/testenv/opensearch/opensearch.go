// Package opensearch carries the program that runs an OpenSearch node from the
// jars of a Maven repository. OpenSearch itself is in no package registry as a
// whole, and the embedded runner's own main does not start.
package opensearch

import _ "embed"

// Launcher is the source of the program, which java runs from source: file
// LauncherFile. Its arguments are a home directory and the HTTP port.
//
//go:embed Launcher.java
var Launcher []byte

// LauncherFile is the name that the source must have on disk.
const LauncherFile = "Launcher.java"
