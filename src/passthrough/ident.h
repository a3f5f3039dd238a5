/* SPDX-License-Identifier: Apache-2.0 */
/* What makes an inode of the host this inode: mount, device, number and file handle. */
#ifndef CULVERT_IDENT_H
#define CULVERT_IDENT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "arena.h"

#define IDENT_HANDLE_MAX 128u /* longest file handle of the kernel */
#define IDENT_MOUNTS     16384u
#define IDENT_OPEN_MAX   1024u

/**
 * struct ident_handle - the bytes of a file handle, proof that an inode number was not reused.
 * @type: the file system's own type.
 * @len:  bytes; 0 = the file system has no handles.
 */
struct ident_handle {
	uint16_t type;
	uint8_t len;
	uint8_t bytes[IDENT_HANDLE_MAX];
};

/**
 * struct ident_mount - a mount on which inodes are known.
 * @key:  ident_mount_key() of it. Constant while there are references.
 * @refs: inodes on it; goes from 0 to 1 and from 1 to 0 under the table's lock.
 * @how:  enum ident_how: which handles its file system gives. Found out by the first user.
 * @top:  slot of the inode by which it was entered; 0 when that one is gone.
 * @births: its file system says when an inode was made, and nobody can say otherwise: see ident_birth().
 * @silent: its file system has nothing to do, and nothing to report, when a descriptor is closed.
 */
struct ident_mount {
	uint64_t key;
	_Atomic uint32_t refs;
	_Atomic uint32_t how;
	_Atomic uint32_t top;
	_Atomic bool births;
	_Atomic bool silent;
};

enum ident_how {
	IDENT_UNKNOWN,
	IDENT_PLAIN, /* handles */
	IDENT_FID,   /* handles that identify but cannot be opened (AT_HANDLE_FID) */
	IDENT_NONE,  /* none: inodes are kept open */
};

/**
 * struct ident_mounts - all mounts known.
 * @mounts: IDENT_MOUNTS entries in the arena; entry 0 is never used.
 * @fds:    by number, 1 + a descriptor for open_by_handle_at(2) on that mount; 0 = none. Set while
 *          there are references, taken when the last one goes.
 * @open:   descriptors in @fds, IDENT_OPEN_MAX at most.
 * @used:   entries that were ever used. Under @lock.
 * @lock:   a leaf, taken when the first inode of a mount comes and the last goes.
 */
struct ident_mounts {
	struct ident_mount *mounts;
	_Atomic int *fds;
	_Atomic uint32_t open;
	uint32_t used;
	pthread_mutex_t lock;
};

/** ident_mounts_init() - carve the table out of @a. 0 or -errno. */
int ident_mounts_init(struct ident_mounts *m, struct arena *a);

/** ident_mounts_done() - forget it, and close the descriptors. */
void ident_mounts_done(struct ident_mounts *m);

/**
 * ident_mount_get() - the entry of a mount, with one more reference.
 * @key: ident_mount_key().
 *
 * Returns the entry's number, or 0 when the table is full. Any thread.
 */
uint16_t ident_mount_get(struct ident_mounts *m, uint64_t key);

/** ident_mount_ref() - one more reference on an entry that the caller holds one on. */
static inline void ident_mount_ref(struct ident_mounts *m, uint16_t mount)
{
	atomic_fetch_add_explicit(&m->mounts[mount].refs, 1, memory_order_relaxed);
}

/**
 * ident_mount_put() - give a reference back.
 *
 * Returns -1, or with the last reference the descriptor that ident_mount_set_fd() gave: the caller's
 * to close.
 */
int ident_mount_put(struct ident_mounts *m, uint16_t mount);

/** ident_mount_take_fd() - the same while there are references, and nobody else uses it. */
int ident_mount_take_fd(struct ident_mounts *m, uint16_t mount);

/** ident_mount_fd() - the mount's descriptor or -1. The caller holds a reference. */
static inline int ident_mount_fd(const struct ident_mounts *m, uint16_t mount)
{
	return atomic_load_explicit(&m->fds[mount], memory_order_acquire) - 1;
}

/**
 * ident_mount_set_fd() - give a mount its descriptor; the caller holds a reference.
 * @fd: open on the mount, not with O_PATH.
 *
 * False, and @fd stays the caller's, when it has one already or there are too many.
 */
bool ident_mount_set_fd(struct ident_mounts *m, uint16_t mount, int fd);

/** ident_mount_silent() - its @silent. The caller holds a reference. */
static inline bool ident_mount_silent(const struct ident_mounts *m, uint16_t mount)
{
	return atomic_load_explicit(&m->mounts[mount].silent, memory_order_relaxed);
}

/** ident_mount_key() - what tells mounts apart: the mount's id, or the device on a kernel without. */
uint64_t ident_mount_key(const struct statx *stx);

/** ident_dev() - the device of a file in 32 bits. */
uint32_t ident_dev(const struct statx *stx);

/**
 * ident_stat() - attributes and mount of (@dirfd, @name), symbolic links not followed.
 * @at: AT_EMPTY_PATH with "" for the descriptor itself, or 0.
 *
 * One system call. 0 or -errno.
 */
int ident_stat(int dirfd, const char *name, int at, struct statx *ret);

/**
 * ident_mount_learn() - find out what a mount's @births and @silent are, by (@dirfd, @name) on it.
 * @name: NULL: @dirfd itself.
 *
 * Once, when its first inode comes. One system call; three with a name.
 */
void ident_mount_learn(struct ident_mount *mount, int dirfd, const char *name);

/**
 * ident_birth() - what tells an inode from another that had its number before it, or will have it.
 * @seed: the same for all that are compared; not for others to know.
 *
 * 0 where there is no such thing. Only what was ident_settled() when it was kept proves anything.
 */
uint32_t ident_birth(const struct ident_mount *mount, const struct statx *stx, uint64_t seed);

/** ident_settled() - whether an inode was made long enough ago for the next one to be told from it. */
bool ident_settled(const struct statx *stx);

/**
 * ident_handle() - the file handle of (@dirfd, @name), symbolic links not followed.
 * @mount: the mount that it stands on.
 * @at:    AT_EMPTY_PATH or 0.
 *
 * One system call (none on a mount that is known to have no handles). Returns 0, with @ret->len 0 if
 * there is none, or -errno.
 */
int ident_handle(struct ident_mount *mount, int dirfd, const char *name, int at,
		 struct ident_handle *ret);

#endif
