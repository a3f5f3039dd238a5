// SPDX-License-Identifier: Apache-2.0
/* Directory entries, written in the wire's form straight into the reply. */
/*
 * Theory of operation
 *
 * An entry is a fixed part (with the attributes in front of it for READDIRPLUS), the name without
 * its NUL, and zeroes up to the next multiple of eight. It is written whole or not at all. @left is
 * never more than what @dst holds.
 */
#include <assert.h>
#include <errno.h>
#include <limits.h>

#include "direntbuf.h"

static_assert(FUSE_NAME_OFFSET == 24, "fuse_dirent");
static_assert(FUSE_NAME_OFFSET_DIRENTPLUS == 152, "fuse_direntplus");

static size_t entry_size(const struct direntbuf *db, size_t namelen)
{
	size_t fixed = db->plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;

	return FUSE_DIRENT_ALIGN(fixed + namelen);
}

bool direntbuf_fits(const struct direntbuf *db, size_t namelen)
{
	return namelen <= NAME_MAX && entry_size(db, namelen) <= db->left;
}

int direntbuf_add(struct direntbuf *db, const struct fuse_entry_out *entry, uint64_t ino,
		  uint64_t off, uint32_t type, const char *name, size_t namelen)
{
	static const char zeroes[8];
	struct fuse_dirent fixed = {
		.ino = ino,
		.off = off,
		.namelen = (uint32_t)namelen,
		.type = type,
	};
	size_t size;

	if (!direntbuf_fits(db, namelen))
		return -ENOSPC;
	size = entry_size(db, namelen);
	if (db->plus)
		iov_write(&db->dst, entry, sizeof(*entry));
	iov_write(&db->dst, &fixed, FUSE_NAME_OFFSET);
	iov_write(&db->dst, name, namelen);
	iov_write(&db->dst, zeroes, FUSE_DIRENT_ALIGN(namelen) - namelen);
	db->left -= size;
	db->used += size;
	return 0;
}
