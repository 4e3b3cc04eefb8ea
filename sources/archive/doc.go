// Package archive is the source that a replay reads from: the rows of an archive, hour by hour, in an order that is the
// same every time, and the loop that hands them to sinks. Rows carry their own IDs and positions, so nothing is claimed
// and no registry is asked or changed.
package archive
