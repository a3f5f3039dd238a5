/* SPDX-License-Identifier: Apache-2.0 */
/* Locks that the guest takes on the host's files. */
#ifndef CULVERT_PT_LOCK_H
#define CULVERT_PT_LOCK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "fuse_abi.h"
#include "lock_wait.h"

#define PT_LOCK_WAITS_MAX  256u   /* requests that wait for a lock at a time */
#define PT_LOCK_OWNERS_MAX 16384u /* pairs of an inode and an owner */
#define PT_LOCK_RANGES_MAX 32768u /* ranges of all owners together */

struct lock_owner;
struct pt;
struct request;

/**
 * struct pt_locks - byte-range locks by inode and owner, and what waits for locks.
 * @lock:    guards the owners, their lists and ranges; a leaf lock, not held over system calls.
 * @buckets: lists of owners by inode; NULL where locks are the guest's own. Constant.
 * @budget:  memory for ranges that may still be taken. Under @lock.
 * @count:   owners. Written under @lock.
 * @waits:   locks for itself.
 */
struct pt_locks {
	pthread_mutex_t lock;
	struct lock_owner **buckets;
	uint32_t budget;
	_Atomic uint32_t count;
	struct lock_waits waits;
};

/** pt_lock_init() - as @pt->conf says. 0 or -errno. */
int pt_lock_init(struct pt *pt);

/**
 * pt_lock_done() - let go of all locks, end all waits.
 *
 * False: a thread is stuck in the host's file system, and @pt must not be freed.
 */
bool pt_lock_done(struct pt *pt);

/** pt_lock_clear() - the session is over: the same without waiting for threads. Handles are released. */
void pt_lock_clear(struct pt *pt);

/** pt_lock_forget() - after FORGET: let go of the inode's locks if the guest knows it no more. */
void pt_lock_forget(struct pt *pt, uint64_t nodeid);

/** pt_lock_release() - RELEASE of an open file with all its locks and waits. 0 or -EBADF. */
int pt_lock_release(struct pt *pt, uint64_t nodeid, const struct fuse_release_in *in);

/* Operations. Contracts: struct fuse_ops. */
int pt_getlk(struct request *req, uint64_t nodeid, const struct fuse_lk_in *in,
	     struct fuse_file_lock *ret);
int pt_setlk(struct request *req, uint64_t nodeid, const struct fuse_lk_in *in, bool wait);
void pt_interrupt(void *be, const struct request *req);

#endif
