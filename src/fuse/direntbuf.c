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
#include <string.h>

#include "direntbuf.h"

static_assert(FUSE_NAME_OFFSET == 24, "fuse_dirent");
static_assert(FUSE_NAME_OFFSET_DIRENTPLUS == 152, "fuse_direntplus");
static_assert(offsetof(struct direntbuf_entry, fixed) == sizeof(struct fuse_entry_out),
	      "no padding");
static_assert(offsetof(struct direntbuf_entry, name) == FUSE_NAME_OFFSET_DIRENTPLUS, "no padding");

static size_t entry_size(const struct direntbuf *db, size_t namelen)
{
	size_t fixed = db->plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;

	return FUSE_DIRENT_ALIGN(fixed + namelen);
}

bool direntbuf_fits(const struct direntbuf *db, size_t namelen)
{
	return namelen <= NAME_MAX && entry_size(db, namelen) <= db->left;
}

int direntbuf_add(struct direntbuf *db, struct direntbuf_entry *e, uint64_t ino, uint64_t off,
		  uint32_t type, const char *name, size_t namelen)
{
	/* In one piece: a copy into the guest's memory has its price, however small it is. */
	const void *from = db->plus ? (const void *)&e->out : &e->fixed;
	size_t size;

	if (!direntbuf_fits(db, namelen))
		return -ENOSPC;
	size = entry_size(db, namelen);
	e->fixed.ino = ino;
	e->fixed.off = off;
	e->fixed.namelen = (uint32_t)namelen;
	e->fixed.type = type;
	memcpy(e->name, name, namelen);
	/* Zeroes up to the next entry. */
	memset(e->name + namelen, 0, FUSE_DIRENT_ALIGN(namelen) - namelen);
	iov_write(&db->dst, from, size);
	db->left -= size;
	db->used += size;
	return 0;
}
