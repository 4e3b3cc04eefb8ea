package main

import "encoding/hex"

// dumpBytes is how much of a payload is shown; export has all of it.
const dumpBytes = 4 << 10

func hexDump(b []byte) string {
	if len(b) > dumpBytes {
		return hex.Dump(b[:dumpBytes]) + "... (all of it: sluice deadletters export)"
	}
	return hex.Dump(b)
}
