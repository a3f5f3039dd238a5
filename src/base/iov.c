// SPDX-License-Identifier: Apache-2.0
/* A cursor over a list of guest buffers, however the guest has cut them up. */
/*
 * Theory of operation
 *
 * The cursor knows the bytes that are left (@left) apart from the segments, so that truncating it is
 * one assignment; no function goes by the number of segments alone. Segments of length zero are
 * passed over. Most of what is copied is in one segment, which is why that case is inline. Invariant:
 * while @left is not zero, @skip is at most @iov[0].iov_len and the segments from there on hold at
 * least @left bytes.
 *
 * The memory is shared with a guest that writes to it meanwhile. After a copy out of it stands a
 * compiler barrier: what the caller then decides upon is the copy, never a second load. It may also be
 * taken away meanwhile (guard.h): then a copy ends in front of the segment that was not all there, and
 * so does the list.
 */
#include "iov.h"

void iov_init(struct iov_cursor *c, const struct iovec *iov, unsigned int cnt)
{
	size_t left = 0;

	for (unsigned int i = 0; i < cnt; i++)
		left += iov[i].iov_len;
	*c = (struct iov_cursor){.iov = iov, .cnt = cnt, .left = left};
}

/* The bytes from the cursor to the end of its segment; passes over what is used up. */
static size_t chunk(struct iov_cursor *c, size_t want, char **ret_at)
{
	while (c->skip == c->iov->iov_len) {
		c->iov++;
		c->cnt--;
		c->skip = 0;
	}
	*ret_at = (char *)c->iov->iov_base + c->skip;
	return MIN(want, c->iov->iov_len - c->skip);
}

static void advance(struct iov_cursor *c, size_t n)
{
	c->skip += n;
	c->left -= n;
}

size_t iov_read_any(struct iov_cursor *c, void *buf, size_t len)
{
	size_t want = MIN(len, c->left), done = 0;
	uint32_t hits = guard_hits();

	while (done < want) {
		char *at;
		size_t n = chunk(c, want - done, &at);

		memcpy((char *)buf + done, at, n);
		if (unlikely(guard_hits() != hits)) {
			c->left = 0;
			break;
		}
		advance(c, n);
		done += n;
	}
	return done;
}

size_t iov_write_any(struct iov_cursor *c, const void *buf, size_t len)
{
	size_t want = MIN(len, c->left), done = 0;
	uint32_t hits = guard_hits();

	while (done < want) {
		char *at;
		size_t n = chunk(c, want - done, &at);

		memcpy(at, (const char *)buf + done, n);
		if (unlikely(guard_hits() != hits)) {
			c->left = 0;
			break;
		}
		advance(c, n);
		done += n;
	}
	return done;
}

size_t iov_skip_any(struct iov_cursor *c, size_t len)
{
	size_t want = MIN(len, c->left), done = 0;

	while (done < want) {
		char *at;
		size_t n = chunk(c, want - done, &at);

		advance(c, n);
		done += n;
	}
	return done;
}

void iov_truncate(struct iov_cursor *c, size_t len)
{
	c->left = MIN(c->left, len);
}

unsigned int iov_slice(const struct iov_cursor *c, size_t len, struct iovec *vec, unsigned int max,
		       size_t *ret_len)
{
	struct iov_cursor at = *c;
	unsigned int used = 0;
	size_t want = MIN(len, c->left), done = 0;

	while (done < want && used < max) {
		char *base;
		size_t n = chunk(&at, want - done, &base);

		vec[used++] = (struct iovec){.iov_base = base, .iov_len = n};
		advance(&at, n);
		done += n;
	}
	*ret_len = done;
	return used;
}
