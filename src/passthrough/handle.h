/* SPDX-License-Identifier: Apache-2.0 */
/* Open files and directories: what the guest calls fh. */
#ifndef CULVERT_HANDLE_H
#define CULVERT_HANDLE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "arena.h"
#include "fdcache.h"
#include "slots.h"

#define HANDLE_LISTS     64u
#define HANDLE_AHEAD_MAX (1u << 20) /* bytes in handle_file.ahead of all directories together */

enum handle_kind {
	HANDLE_FILE = 1,
	HANDLE_DIR,
};

/**
 * struct handle - the record of an open file or directory. All but @open and @waits is constant.
 * @slot:  from slots.h.
 * @node:  the inode that it was opened on; it is good for no other.
 * @flags: open(2) flags that it was opened with.
 * @kind:  enum handle_kind.
 * @open:  the guest has not released it; then the guest's reference is still there.
 * @waits: its file system cannot say whether a read would wait for the disk (RWF_NOWAIT).
 */
struct handle {
	struct slot slot;
	uint64_t node;
	uint32_t flags;
	uint8_t kind;
	_Atomic uint8_t open;
	_Atomic uint8_t waits;
	uint8_t unused;
};

/**
 * struct handle_ahead - host entries that were read and did not fit into the reply.
 * @at:   where the next one is, in @buf.
 * @size: of @buf.
 * @buf:  struct dirent64, one after another.
 */
struct handle_ahead {
	uint32_t at;
	uint32_t size;
	_Alignas(8) char buf[];
};

/**
 * struct handle_file - the part of a handle that is of this process.
 * @fd:   the descriptor. Constant while there are references on the handle.
 * @lock: of directories: held while entries are read.
 * @pos:  of directories: the offset of the entry that comes next. Under @lock.
 * @ahead: of directories: what comes next; @fd stands behind it. NULL: @fd stands at @pos. Under @lock.
 * @next, @prev: slots of the other handles of this inode; 0 = none. Under handle_table.lists.
 */
struct handle_file {
	int fd;
	pthread_mutex_t lock;
	off_t pos;
	struct handle_ahead *ahead;
	uint32_t next;
	uint32_t prev;
};

/**
 * struct handle_table - all of them.
 * @arena, @slots: the records. Constant; they lock for themselves.
 * @files: by slot.
 * @fds:   where the budget is. Constant.
 * @ahead: bytes that handle_file.ahead of all of them has.
 * @size:  length of @files. Constant.
 * @first: by slot of the inode, @inodes of them: the first of its handles, 0 = none. Under @lists.
 * @lists: by slot of the inode: guard the lists of handles of an inode; leaf locks.
 */
struct handle_table {
	struct arena arena;
	struct slots slots;
	struct handle_file *files;
	struct fdcache *fds;
	_Atomic uint32_t ahead;
	uint32_t size;
	uint32_t inodes;
	uint32_t *first;
	pthread_mutex_t lists[HANDLE_LISTS];
};

/** struct handle_ref - a handle in use. */
struct handle_ref {
	struct handle *rec;
	struct handle_file *file;
};

/** handle_table_init() - for @max handles, whose descriptors and inodes are those of @fds. 0 or -errno. */
int handle_table_init(struct handle_table *t, uint32_t max, struct fdcache *fds);

/** handle_table_done() - close all. Nobody uses a handle. */
void handle_table_done(struct handle_table *t);

/** handle_table_clear() - release all; those in use go with their last user. Any thread. */
void handle_table_clear(struct handle_table *t);

/**
 * handle_new() - make a handle.
 * @fd: its descriptor, for which fdcache_reserve() was called; the handle's from here on, also when
 *      this fails.
 *
 * Returns 0 with *@ret_fh, or -ENFILE.
 */
int handle_new(struct handle_table *t, uint64_t node, enum handle_kind kind, uint32_t flags, int fd,
	       uint64_t *ret_fh);

/** handle_get() - use a handle; -EBADF unless it is open, of @node and of @kind. Lock-free. */
int handle_get(struct handle_table *t, uint64_t fh, uint64_t node, enum handle_kind kind,
	       struct handle_ref *ret);

/** handle_good() - whether a handle in use still is what handle_get() would find. */
static inline bool handle_good(const struct handle *rec, uint64_t node, enum handle_kind kind)
{
	return rec->node == node && rec->kind == kind &&
	       atomic_load_explicit(&rec->open, memory_order_relaxed);
}

/** handle_any() - use any handle that is open on @node; -ENOENT when there is none. */
int handle_any(struct handle_table *t, uint64_t node, struct handle_ref *ret);

/** handle_put() - the use is over; accepts one that holds nothing. */
void handle_put(struct handle_table *t, struct handle_ref *ref);

/** handle_release() - the guest is done with it: the last user closes it. 0 or -EBADF. */
int handle_release(struct handle_table *t, uint64_t fh, uint64_t node, enum handle_kind kind);

/**
 * handle_keep_ahead() - keep @size bytes of entries, which come next. Under @file's lock; it has none.
 *
 * False where there is no memory for that, or HANDLE_AHEAD_MAX is reached.
 */
bool handle_keep_ahead(struct handle_table *t, struct handle_file *file, const void *entries,
		       size_t size);

/** handle_drop_ahead() - those that are kept, if any, are not needed. Under @file's lock. */
void handle_drop_ahead(struct handle_table *t, struct handle_file *file);

#endif
