/* SPDX-License-Identifier: Apache-2.0 */
/* Directory entries, written in the wire's form straight into the reply. */
#ifndef CULVERT_DIRENTBUF_H
#define CULVERT_DIRENTBUF_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fuse_abi.h"
#include "iov.h"

/**
 * struct direntbuf - the reply of a READDIR or READDIRPLUS under construction.
 * @dst:  where the next entry goes.
 * @left: bytes that may still be written: the least of what was asked for and what there is room for.
 * @used: bytes written.
 * @plus: entries carry attributes (READDIRPLUS).
 */
struct direntbuf {
	struct iov_cursor dst;
	size_t left;
	size_t used;
	bool plus;
};

/**
 * struct direntbuf_entry - where an entry is made before it is copied to the guest.
 * @out:   attributes for READDIRPLUS; unused without. An entry with nodeid 0 counts no lookup.
 * @fixed, @name: a struct fuse_dirent with room for its name; direntbuf_add()'s own.
 */
struct direntbuf_entry {
	struct fuse_entry_out out;
	struct {
		uint64_t ino;
		uint64_t off;
		uint32_t namelen;
		uint32_t type;
	} fixed;
	char name[FUSE_DIRENT_ALIGN(NAME_MAX)];
};

/** direntbuf_fits() - whether an entry with a name of @namelen bytes still fits. */
bool direntbuf_fits(const struct direntbuf *db, size_t namelen);

/**
 * direntbuf_add() - append an entry, padded to 8 bytes.
 * @e:    with @out filled in.
 * @ino:  inode number.
 * @off:  offset of the next entry, what a later READDIR asks for.
 * @type: DT_* of the entry.
 *
 * Returns 0, or -ENOSPC when it does not fit and nothing was written.
 */
int direntbuf_add(struct direntbuf *db, struct direntbuf_entry *e, uint64_t ino, uint64_t off,
		  uint32_t type, const char *name, size_t namelen);

#endif
