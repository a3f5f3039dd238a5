/* SPDX-License-Identifier: Apache-2.0 */
/* Who holds byte-range locks in which inode, each with an open file description of its own. */
#ifndef CULVERT_LOCK_OWNER_H
#define CULVERT_LOCK_OWNER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "fuse_abi.h"
#include "lock_range.h"

#define LOCK_OWNER_BUCKETS 4096u

struct pt;
struct pt_file;

/**
 * struct lock_owner - who holds locks in an inode, and the description that they belong to.
 * @node, @owner, @fd: constant.
 * @fh:     the handle that it was made through. Constant.
 * @refs:   one for being in the table, and those in use.
 * @gone:   not in the table any more. Written under the lock.
 * @shared: other handles were used as well.
 * @pid:    the guest's process that set the last lock.
 * @ranges: what it holds.
 * @next:   in the bucket.
 *
 * What is not constant is under pt_locks.lock.
 */
struct lock_owner {
	uint64_t node;
	uint64_t owner;
	uint64_t fh;
	int fd;
	unsigned int refs;
	_Atomic bool gone;
	bool shared;
	uint32_t pid;
	struct lock_ranges ranges;
	struct lock_owner *next;
};

/** lock_owner_find() - the record with a reference, or NULL. Any thread, as all of these. */
struct lock_owner *lock_owner_find(struct pt *pt, uint64_t node, uint64_t owner);

/**
 * lock_owner_get() - the record of in->owner, made if need be, and room for one change of its ranges.
 * @file: in->fh, in use.
 * @ret:  with a reference; lock_owner_settle() it, then lock_owner_put() it.
 *
 * 0; -ENOLCK: there are too many owners, ranges or descriptors; or another error of open(2).
 */
int lock_owner_get(struct pt *pt, const struct pt_file *file, const struct fuse_lk_in *in,
		   struct lock_owner **ret);

/** lock_owner_settle() - the change for which there is room was made on the host, or was not. */
void lock_owner_settle(struct pt *pt, struct lock_owner *own, const struct fuse_file_lock *lk,
		       bool made);

/** lock_owner_put() - give a reference back. */
void lock_owner_put(struct pt *pt, struct lock_owner *own);

/** lock_owner_drop() - end the locks of all owners in @node, or of those that were only used by @fh. */
void lock_owner_drop(struct pt *pt, uint64_t node, const uint64_t *fh);

/** lock_owner_flush() - end the locks of @owner in @node. */
void lock_owner_flush(struct pt *pt, uint64_t node, uint64_t owner);

/** lock_owner_clear() - end all. */
void lock_owner_clear(struct pt *pt);

/**
 * lock_owner_holder() - whose is a lock that is in the way of @owner?
 * @start: its first byte.
 *
 * The guest's process, or 0: it is nobody's in this guest.
 */
uint32_t lock_owner_holder(struct pt *pt, uint64_t node, uint64_t owner, uint64_t start);

#endif
