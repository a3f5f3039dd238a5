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
#include <string.h>

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
	/* In one piece: a copy into the guest's memory has its price, however small it is. */
	uint8_t raw[FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET_DIRENTPLUS + NAME_MAX)];
	uint8_t *at = raw;
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
	/* Zeroes up to the next entry. */
	memset(raw + size - 8, 0, 8);
	if (db->plus) {
		memcpy(at, entry, sizeof(*entry));
		at += sizeof(*entry);
	}
	memcpy(at, &fixed, FUSE_NAME_OFFSET);
	memcpy(at + FUSE_NAME_OFFSET, name, namelen);
	iov_write(&db->dst, raw, size);
	db->left -= size;
	db->used += size;
	return 0;
}
