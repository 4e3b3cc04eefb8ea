//go:build unix

package pipeline

import "golang.org/x/sys/unix"

// mapMemory returns n bytes outside the heap; of the heap when the system has none to give.
func mapMemory(n int) []byte {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return make([]byte, n)
	}
	return b
}

// releasePages gives the pages of a block back to the system; its addresses stay good.
func releasePages(block []byte) { _ = unix.Madvise(block, unix.MADV_DONTNEED) } // else they stay resident
