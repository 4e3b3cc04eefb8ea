// Package deepaudit recounts stores against the archive: hour by hour it reads the archive's rows and what each store has
// of the same time, and names what is missing and what is strange. It changes nothing.
//
// Only what is settled on both sides is compared. The ledger is read before a store, and what it says has been delivered
// by then must be there; what a store has beyond the archive is looked for again once the archive has got everything
// that was taken by the time the store was read. So a pump may go on beside it.
//
// Memory: of an hour as many records as fit (maxEntries, or those of one second) are held at a time, some 100 bytes each;
// of the archive some 200 bytes for each object.
package deepaudit
