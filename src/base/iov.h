/* SPDX-License-Identifier: Apache-2.0 */
/* A cursor over a list of guest buffers, however the guest has cut them up. */
#ifndef CULVERT_IOV_H
#define CULVERT_IOV_H

#include <stddef.h>
#include <sys/uio.h>

/**
 * struct iov_cursor - a position in a list of buffers.
 * @iov:  the segment that the cursor stands in. Owned by whoever made the list.
 * @cnt:  segments from @iov on.
 * @skip: bytes of @iov[0] that lie behind the cursor.
 * @left: bytes from the cursor to the end of the list.
 *
 * Copying a cursor by assignment saves a position. The memory behind it is the guest's: it can
 * change between two reads, so what is decided upon is read once. These functions are the only ones
 * that touch guest buffers with the CPU; everything else goes through preadv(2) and pwritev(2).
 * One thread at a time.
 */
struct iov_cursor {
	const struct iovec *iov;
	unsigned int cnt;
	size_t skip;
	size_t left;
};

/** iov_init() - stand at the beginning of @cnt segments. Their total must fit in a size_t. */
void iov_init(struct iov_cursor *c, const struct iovec *iov, unsigned int cnt);

/**
 * iov_read() - copy up to @len bytes out of the list and go on; returns the bytes copied.
 *
 * Less than there were when the memory was taken away meanwhile (guard.h): then the list ends there.
 */
size_t iov_read(struct iov_cursor *c, void *buf, size_t len);

/** iov_write() - copy up to @len bytes into the list and go on; as iov_read(). */
size_t iov_write(struct iov_cursor *c, const void *buf, size_t len);

/** iov_skip() - go on by up to @len bytes; returns the bytes passed. */
size_t iov_skip(struct iov_cursor *c, size_t len);

/** iov_truncate() - let the list end at most @len bytes after the cursor. */
void iov_truncate(struct iov_cursor *c, size_t len);

/**
 * iov_slice() - the next bytes as an iovec array for a system call; the cursor stays.
 * @c:       the cursor.
 * @len:     bytes wanted at most.
 * @vec:     filled in.
 * @max:     entries in @vec.
 * @ret_len: bytes that @vec covers; less than @len when the list ends or @max is reached.
 *
 * Returns the number of entries used.
 */
unsigned int iov_slice(const struct iov_cursor *c, size_t len, struct iovec *vec, unsigned int max,
		       size_t *ret_len);

#endif
