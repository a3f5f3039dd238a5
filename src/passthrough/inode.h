/* SPDX-License-Identifier: Apache-2.0 */
/* The inodes that the guest knows: records, names, lookup counts, and how to open them again. */
#ifndef CULVERT_INODE_H
#define CULVERT_INODE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "arena.h"
#include "fdcache.h"
#include "ident.h"
#include "slots.h"

#define INODE_HANDLE_INLINE 12u /* longer handles stand in cells */
#define INODE_STRIPES       256u

/* struct inode.flags */
#define INODE_NO_HANDLE 0x01u /* its file system has no handles: its descriptor is its identity */
#define INODE_LONG      0x02u /* the handle is in cells */

/**
 * struct inode - a record: one cache line.
 * @slot:     generation and references in use; from slots.h.
 * @ino, @dev, @mount, @type: identity; @type is the file type, mode >> 12. Constant.
 * @handle_type, @handle_len, @handle: the file handle's bytes, or the cell where they stand. Constant.
 * @parent:   slot of the directory that @name is in; holds a reference on it. 0 = the root, or no
 *            name is known. Under the stripe's lock; for directories under inode_table.tree as well.
 * @name:     cell of the name by which it can be opened again; 0 with @parent 0. Stripe's lock.
 * @name_len: bytes of it. Stripe's lock.
 * @next:     slot of the next record in the hash chain. Stripe's lock.
 * @flags:    INODE_*. Stripe's lock.
 * @birth:    ident_birth(), once it is settled; 0 before. Stripe's lock.
 * @nlookup:  lookups that the guest has not forgotten; as long as there are any, they hold one
 *            reference. Stays at UINT64_MAX once there. Leaves 0 and comes to 0 under the stripe's
 *            lock; 0 in a free slot.
 */
struct inode {
	struct slot slot;
	uint64_t ino;
	uint32_t dev;
	uint16_t mount;
	uint16_t handle_type;
	uint32_t parent;
	uint32_t name;
	uint32_t next;
	uint8_t name_len;
	uint8_t handle_len;
	uint8_t type;
	uint8_t flags;
	union {
		uint8_t bytes[INODE_HANDLE_INLINE];
		uint32_t cell;
	} handle;
	uint32_t birth;
	_Atomic uint64_t nlookup; /* last, out of reach of slots_alloc() */
};

/* Part of the hash table with a lock of its own. All is changed under @lock; see inode_change(). */
struct inode_stripe {
	_Alignas(64) pthread_mutex_t lock;
	_Atomic uint32_t seq; /* odd while chains or names change */
	uint32_t mask;        /* buckets of this stripe - 1 */
	uint32_t count;       /* records in this stripe */
};

/**
 * struct inode_table - all of them.
 * @arena, @slots, @cells, @mounts: where the records are. Constant; they lock for themselves.
 * @fds:         their descriptors, and the budget for open files.
 * @buckets:     heads of the hash chains, in the arena: bucket b of stripe s is [b * INODE_STRIPES + s].
 *               Under the lock of stripe s.
 * @bucket_max:  buckets of a stripe at most. Constant.
 * @seed:        of the hash. Constant.
 * @tree:        taken, before any stripe's lock, to change the parent of a directory.
 * @root:        the root's record. Constant.
 * @proc_fd:     /proc/self/fd; borrowed.
 * @rescue:      asked for a descriptor of an inode that cannot be found by name any more; NULL, or
 *               answers as inode_open() does. Constant, set before the first request.
 * @by_handle:   inodes are opened by their handles where that works. Constant, set before the first
 *               request.
 * @no_openat2:  openat2(2) does not exist or is not allowed here.
 * @eager:       a lookup opens what it finds. Constant, set before the first request.
 * @stale:       so many lookups do all the same, as something has proven stale lately.
 */
struct inode_table {
	struct arena arena;
	struct slots slots;
	struct cells cells;
	struct ident_mounts mounts;
	struct fdcache fds;
	uint32_t *buckets;
	uint32_t bucket_max;
	uint64_t seed;
	pthread_mutex_t tree;
	struct inode *root;
	int proc_fd;
	int (*rescue)(struct inode_table *t, struct inode *ino, struct fdcache_pin *ret);
	bool by_handle;
	_Atomic bool no_openat2;
	bool eager;
	_Atomic uint32_t stale;
	struct inode_stripe stripes[INODE_STRIPES];
};

/**
 * inode_table_init() - a table whose only inode is the root.
 * @root_fd: O_PATH descriptor of the directory; duplicated.
 * @proc_fd: /proc/self/fd; must live as long as the table.
 * @max:     inodes at most.
 * @max_fds: descriptors at most.
 *
 * Returns 0 or -errno.
 */
int inode_table_init(struct inode_table *t, int root_fd, int proc_fd, uint32_t max,
		     uint32_t max_fds);

/**
 * inode_use_handles() - open evicted inodes by their file handles from now on, before their names.
 *
 * Before the first request. Returns 0; -EOPNOTSUPP when the root's file system has no handles that can
 * be opened, -ENOSYS when the kernel opens none, -EPERM without CAP_DAC_READ_SEARCH, or another -errno;
 * then nothing has changed.
 */
int inode_use_handles(struct inode_table *t);

/** inode_has_handles() - whether inodes where the root lies have handles. Before the first request. */
bool inode_has_handles(struct inode_table *t);

/** inode_table_done() - close and free all. Nobody uses an inode. */
void inode_table_done(struct inode_table *t);

/** inode_table_clear() - forget all that the guest knew but the root. Any thread. */
void inode_table_clear(struct inode_table *t);

/** inode_id() - the nodeid of an inode that the caller holds. */
uint64_t inode_id(const struct inode_table *t, const struct inode *ino);

/** inode_is_root() */
static inline bool inode_is_root(const struct inode_table *t, const struct inode *ino)
{
	return ino == t->root;
}

/**
 * inode_get() - the inode that the guest calls @nodeid, with a reference.
 *
 * Returns NULL for one that the guest was never told of, or has forgotten. Lock-free.
 */
struct inode *inode_get(struct inode_table *t, uint64_t nodeid);

/** inode_known() - whether the guest has not forgotten an inode that the caller holds, at this moment. */
static inline bool inode_known(const struct inode *ino)
{
	return atomic_load_explicit(&ino->nlookup, memory_order_relaxed) != 0;
}

/** inode_put() - give a reference back; accepts NULL. */
void inode_put(struct inode_table *t, struct inode *ino);

/** inode_forget() - the guest takes back @n lookups. Any value, any thread. */
void inode_forget(struct inode_table *t, uint64_t nodeid, uint64_t n);

/**
 * struct inode_at - a place where an inode stands.
 * @dir:   the directory, referenced by the caller.
 * @dirfd: its descriptor.
 * @name:  its name there; NULL when it has none (O_TMPFILE).
 * @fd:    a descriptor of the inode itself, or -1.
 */
struct inode_at {
	struct inode *dir;
	int dirfd;
	const char *name;
	int fd;
};

/* What inode_lookup() found: its nodeid and the number of its mount. */
struct inode_found {
	uint64_t id;
	uint16_t mount;
};

/**
 * inode_lookup() - the inode that stands at @at, counted as one lookup by the guest.
 * @ret_stx: its attributes; also written when this fails.
 *
 * One system call, and no lock if it goes by that name, for an inode with an open descriptor, and for one
 * that was looked up before and has a settled birth (ident.h); two for others and for new ones; more on file systems without file handles.
 * Returns 0 or -errno: -ENOMEM when the table is full, -ENFILE when no descriptor is free for an inode
 * that needs one.
 */
int inode_lookup(struct inode_table *t, const struct inode_at *at, struct statx *ret_stx,
		 struct inode_found *ret);

/**
 * inode_peek() - the inode that stands at @at if the guest knows it; nothing is counted.
 *
 * Returns it with a reference, or NULL. System calls: as inode_lookup().
 */
struct inode *inode_peek(struct inode_table *t, const struct inode_at *at);

/**
 * inode_open() - an O_PATH descriptor of an inode.
 * @ret: pinned; fdcache_unpin() it.
 *
 * No system call while there is one. Else the inode is opened by its handle, where that is to be done
 * (inode_use_handles(); two calls). Else, or where that fails, by its name from the nearest ancestor
 * that has one, and proven to be the same: three calls for each step.
 *
 * Returns 0, -ESTALE when it is not there any more, -ENFILE, or another error of openat2(2).
 */
int inode_open(struct inode_table *t, struct inode *ino, struct fdcache_pin *ret);

/**
 * inode_hold() - the inode that stands at @at, a name, with a descriptor that outlives the name.
 * @ret: pinned; fdcache_unpin() it.
 *
 * Returns it with a reference; NULL when the guest does not know it, or would find it by another name, or when
 * no descriptor is to be had. Two system calls, one more to compare handles where there is no settled birth
 * (ident.h), and one more to close a descriptor that is not needed.
 */
struct inode *inode_hold(struct inode_table *t, const struct inode_at *at, struct fdcache_pin *ret);

/**
 * inode_open_as() - inode_open() for an inode that is known to be what @fd is open on.
 *
 * One system call. Returns 0, -ENFILE or another error of open(2).
 */
int inode_open_as(struct inode_table *t, struct inode *ino, int fd, struct fdcache_pin *ret);

/**
 * inode_name() - a name by which an inode is known, whatever its directory.
 * @buf: NAME_MAX + 1 bytes.
 *
 * Its length, or -ENOENT.
 */
int inode_name(struct inode_table *t, uint64_t nodeid, char *buf);

/** inode_named() - whether @ino is known by this very name. */
bool inode_named(struct inode_table *t, struct inode *ino, const struct inode *dir,
		 const char *name);

/** inode_renamed() - @ino can be found as @name in @dir from now on. */
void inode_renamed(struct inode_table *t, struct inode *ino, struct inode *dir, const char *name);

/**
 * inode_unlinked() - (@dir, @name) was removed.
 *
 * If that is the name by which @ino is known, @ino keeps its descriptor from now on. The caller holds
 * it pinned since before the removal.
 */
void inode_unlinked(struct inode_table *t, struct inode *ino, const struct inode *dir,
		    const char *name);

/**
 * inode_mount_top() - an inode on a mount, by the mount's number.
 *
 * Returns it with a reference; NULL when there is no such mount or nothing that could stand for it.
 */
struct inode *inode_mount_top(struct inode_table *t, uint32_t mount);

#endif
