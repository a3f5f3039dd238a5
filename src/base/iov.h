/* SPDX-License-Identifier: Apache-2.0 */
/* A cursor over a list of guest buffers, however the guest has cut them up. */
#ifndef CULVERT_IOV_H
#define CULVERT_IOV_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

#include "guard.h"
#include "util.h"

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

/* As the functions below, however many segments it takes. */
size_t iov_read_any(struct iov_cursor *c, void *buf, size_t len);
size_t iov_write_any(struct iov_cursor *c, const void *buf, size_t len);
size_t iov_skip_any(struct iov_cursor *c, size_t len);

/* Where the next @len bytes are, if that is one segment; else NULL. */
static always_inline char *iov_one(struct iov_cursor *c, size_t len)
{
	if (unlikely(!len || len > c->left))
		return NULL;
	if (c->skip == c->iov->iov_len) {
		c->iov++;
		c->cnt--;
		c->skip = 0;
	}
	return likely(len <= c->iov->iov_len - c->skip) ? (char *)c->iov->iov_base + c->skip : NULL;
}

/* The next @len bytes were copied: go on; but end the list where memory was taken away since @hits. */
static always_inline size_t iov_passed(struct iov_cursor *c, size_t len, uint32_t hits)
{
	if (unlikely(guard_hits() != hits)) {
		c->left = 0;
		return 0;
	}
	c->skip += len;
	c->left -= len;
	return len;
}

/**
 * iov_read() - copy up to @len bytes out of the list and go on; returns the bytes copied.
 *
 * Less than there were when the memory was taken away meanwhile (guard.h): then the list ends there.
 */
static always_inline size_t iov_read(struct iov_cursor *c, void *buf, size_t len)
{
	uint32_t hits = guard_hits();
	const char *at = iov_one(c, len);

	if (unlikely(!at))
		return iov_read_any(c, buf, len);
	memcpy(buf, at, len);
	return iov_passed(c, len, hits);
}

/** iov_write() - copy up to @len bytes into the list and go on; as iov_read(). */
static always_inline size_t iov_write(struct iov_cursor *c, const void *buf, size_t len)
{
	uint32_t hits = guard_hits();
	char *at = iov_one(c, len);

	if (unlikely(!at))
		return iov_write_any(c, buf, len);
	memcpy(at, buf, len);
	return iov_passed(c, len, hits);
}

/**
 * iov_put() - copy @len bytes to where the cursor stands; it stays.
 *
 * 1; 0 when that is not one segment, and nothing is written; -1 when the memory was taken away.
 */
static always_inline int iov_put(const struct iov_cursor *c, const void *buf, size_t len)
{
	uint32_t hits = guard_hits();

	if (unlikely(len > c->left || len > c->iov->iov_len - c->skip))
		return 0;
	memcpy((char *)c->iov->iov_base + c->skip, buf, len);
	return likely(guard_hits() == hits) ? 1 : -1;
}

/** iov_skip() - go on by up to @len bytes; returns the bytes passed. */
static always_inline size_t iov_skip(struct iov_cursor *c, size_t len)
{
	if (unlikely(!iov_one(c, len)))
		return iov_skip_any(c, len);
	c->skip += len;
	c->left -= len;
	return len;
}

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
