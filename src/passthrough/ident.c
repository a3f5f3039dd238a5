// SPDX-License-Identifier: Apache-2.0
/* What makes an inode of the host this inode: mount, device, number and file handle. */
/*
 * Theory of operation
 *
 * statx(2) gives device, inode number and the mount's id: the one that is never used twice where the
 * kernel has it (6.8), else the short-lived one. Inode numbers are used again after an inode is gone,
 * and so are devices and short mount ids; the bytes of name_to_handle_at(2), in which file systems put
 * a generation, tell the old and the new inode apart. It needs no privilege. File systems that cannot
 * make handles which can be opened are asked for one that only identifies. What a file system can do
 * is found out once per mount. FUSE counts as one that has none: what it gives is the number under which
 * its server knows the inode now, another one after the kernel has forgotten it.
 *
 * Where a file system tells when an inode was made, and lets nobody set that, it says as much as the
 * handle, in the same call as the rest: an inode that takes over a number was made after the other one
 * was gone, so it has another time. Clocks of file systems stand still for some milliseconds, though.
 * Hence a time counts only if it had passed for longer when the inode was seen to have it. It would take
 * a host whose clock is set back, and then strikes the very nanosecond, to be fooled; and what is opened by
 * its name is proven by its handle all the same.
 *
 * Mounts are numbered in 16 bits for the inode records. An entry lives as long as there are inodes on
 * it, and so does the descriptor by which handles are opened there, so that the host can unmount what
 * the guest has forgotten. Its references rise from 0 and fall to 0 under ident_mounts.lock only;
 * between, they are atomic.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "ident.h"
#include "util.h"

#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x00004000U
#endif
#ifndef AT_HANDLE_FID
#define AT_HANDLE_FID 0x200
#endif

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

/* More than any clock of a file system stands still. */
#define SETTLED_NS 100000000

#define KEY_IS_DEVICE (UINT64_C(1) << 63)

static_assert(IDENT_HANDLE_MAX == MAX_HANDLE_SZ, "every handle fits");
static_assert(IDENT_MOUNTS <= UINT16_MAX, "mounts are numbered in 16 bits");
static_assert(sizeof(struct ident_mount) == 24, "no padding");

int ident_mounts_init(struct ident_mounts *m, struct arena *a)
{
	struct ident_mount *mounts = arena_carve(a, sizeof(*mounts) * IDENT_MOUNTS);

	if (!mounts)
		return -ENOMEM;
	*m = (struct ident_mounts){.mounts = mounts, .used = 1};
	/* Of so many, pages that are not used should cost nothing. */
	m->fds = mmap(NULL, sizeof(*m->fds) * IDENT_MOUNTS, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m->fds == MAP_FAILED) {
		m->fds = NULL;
		return -ENOMEM;
	}
	return -pthread_mutex_init(&m->lock, NULL);
}

void ident_mounts_done(struct ident_mounts *m)
{
	if (!m->fds)
		return;
	for (uint32_t i = 1; i < m->used; i++)
		if (ident_mount_fd(m, (uint16_t)i) >= 0)
			close(ident_mount_fd(m, (uint16_t)i));
	munmap(m->fds, sizeof(*m->fds) * IDENT_MOUNTS);
	pthread_mutex_destroy(&m->lock);
	m->mounts = NULL;
	m->fds = NULL;
}

static uint16_t mount_find(struct ident_mounts *m, uint64_t key)
{
	uint32_t unused = 0;

	for (uint32_t i = 1; i < m->used; i++) {
		if (atomic_load_explicit(&m->mounts[i].refs, memory_order_relaxed) == 0)
			unused = i;
		else if (m->mounts[i].key == key)
			return (uint16_t)i;
	}
	if (!unused && m->used < IDENT_MOUNTS)
		unused = m->used++;
	if (!unused)
		return 0;
	m->mounts[unused].key = key;
	atomic_store_explicit(&m->mounts[unused].how, IDENT_UNKNOWN, memory_order_relaxed);
	atomic_store_explicit(&m->mounts[unused].top, 0, memory_order_relaxed);
	atomic_store_explicit(&m->mounts[unused].births, false, memory_order_relaxed);
	atomic_store_explicit(&m->mounts[unused].silent, false, memory_order_relaxed);
	return (uint16_t)unused;
}

uint16_t ident_mount_get(struct ident_mounts *m, uint64_t key)
{
	uint16_t mount;

	pthread_mutex_lock(&m->lock);
	mount = mount_find(m, key);
	if (mount)
		ident_mount_ref(m, mount);
	pthread_mutex_unlock(&m->lock);
	return mount;
}

int ident_mount_take_fd(struct ident_mounts *m, uint16_t mount)
{
	int fd = atomic_exchange_explicit(&m->fds[mount], 0, memory_order_relaxed) - 1;

	if (fd >= 0)
		atomic_fetch_sub_explicit(&m->open, 1, memory_order_relaxed);
	return fd;
}

int ident_mount_put(struct ident_mounts *m, uint16_t mount)
{
	int fd = -1;
	_Atomic uint32_t *refs = &m->mounts[mount].refs;
	uint32_t n = atomic_load_explicit(refs, memory_order_relaxed);

	while (n > 1)
		if (atomic_compare_exchange_weak_explicit(refs, &n, n - 1, memory_order_release,
							  memory_order_relaxed))
			return -1;
	pthread_mutex_lock(&m->lock);
	if (atomic_fetch_sub_explicit(refs, 1, memory_order_acq_rel) == 1)
		fd = ident_mount_take_fd(m, mount);
	pthread_mutex_unlock(&m->lock);
	return fd;
}

bool ident_mount_set_fd(struct ident_mounts *m, uint16_t mount, int fd)
{
	int none = 0;

	if (atomic_fetch_add_explicit(&m->open, 1, memory_order_relaxed) < IDENT_OPEN_MAX &&
	    atomic_compare_exchange_strong_explicit(&m->fds[mount], &none, fd + 1,
						    memory_order_release, memory_order_relaxed))
		return true;
	atomic_fetch_sub_explicit(&m->open, 1, memory_order_relaxed);
	return false;
}

uint32_t ident_dev(const struct statx *stx)
{
	return (uint32_t)makedev(stx->stx_dev_major, stx->stx_dev_minor);
}

uint64_t ident_mount_key(const struct statx *stx)
{
	if (likely(stx->stx_mask & (STATX_MNT_ID | STATX_MNT_ID_UNIQUE)))
		return stx->stx_mnt_id;
	return KEY_IS_DEVICE | ident_dev(stx);
}

/* seccomp: statx */
int ident_stat(int dirfd, const char *name, int at, struct statx *ret)
{
	if (statx(dirfd, name, at | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
		  STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID | STATX_MNT_ID_UNIQUE, ret) < 0)
		return -errno;
	return 0;
}

/*
 * Not btrfs: a snapshot has the times of what it is of, and its device number may be another's again.
 * Not network file systems: their servers may keep what clients say.
 */
/* seccomp: fstatfs */
void ident_mount_learn(struct ident_mount *mount, int dirfd, const char *name)
{
	scoped_fd int fd = name ? openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC) : -1;
	struct statfs fs;
	bool births;

	if (name && fd < 0)
		return;
	if (fstatfs(name ? fd : dirfd, &fs) < 0)
		return;
	births = fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == XFS_SUPER_MAGIC ||
		 fs.f_type == TMPFS_MAGIC;
	atomic_store_explicit(&mount->births, births, memory_order_relaxed);
	/* Linux: those whose file_operations have no flush. */
	atomic_store_explicit(&mount->silent, births || fs.f_type == BTRFS_SUPER_MAGIC,
			      memory_order_relaxed);
}

uint32_t ident_birth(const struct ident_mount *mount, const struct statx *stx, uint64_t seed)
{
	const struct statx_timestamp *at = &stx->stx_btime;
	uint64_t h;

	if (!atomic_load_explicit(&mount->births, memory_order_relaxed) ||
	    !(stx->stx_mask & STATX_BTIME))
		return 0;
	h = ((uint64_t)at->tv_sec << 30 ^ at->tv_nsec ^ seed) * UINT64_C(0x9e3779b97f4a7c15);
	h ^= h >> 32;
	h = h * UINT64_C(0xd6e8feb86659fd93) >> 32;
	return h ? (uint32_t)h : 1;
}

/* seccomp: clock_gettime */
bool ident_settled(const struct statx *stx)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	now.tv_sec -= stx->stx_btime.tv_sec;
	if (now.tv_sec < 0 || now.tv_sec > 2)
		return now.tv_sec > 0;
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec - stx->stx_btime.tv_nsec > SETTLED_NS;
}

/* seccomp: name_to_handle_at */
static int handle_try(int dirfd, const char *name, int flags, struct ident_handle *ret)
{
	union {
		struct file_handle head;
		uint8_t bytes[sizeof(struct file_handle) + IDENT_HANDLE_MAX];
	} h = {.head.handle_bytes = IDENT_HANDLE_MAX};
	int mount_id;

	if (name_to_handle_at(dirfd, name, &h.head, &mount_id, flags) < 0)
		return -errno;
	ret->len = 0;
	if (h.head.handle_bytes > IDENT_HANDLE_MAX || h.head.handle_type < 0 ||
	    h.head.handle_type > UINT16_MAX)
		return 0;
	ret->type = (uint16_t)h.head.handle_type;
	ret->len = (uint8_t)h.head.handle_bytes;
	memcpy(ret->bytes, h.bytes + offsetof(struct file_handle, f_handle), ret->len);
	return 0;
}

/* Errors of name_to_handle_at(2) that speak of the file system or the kernel, not of the file. */
static bool cannot(int error)
{
	return error == -EOPNOTSUPP || error == -EINVAL || error == -ENOSYS || error == -EPERM ||
	       error == -EOVERFLOW;
}

/* The types of FUSE's handles, which other file systems have, too (fs/fuse/inode.c, linux/exportfs.h). */
#define FILEID_INO64_GEN        0x81
#define FILEID_INO64_GEN_PARENT 0x82

/* Whether a handle means something for longer than the kernel knows the inode. */
static bool handle_lasts(int dirfd, const char *name, int at, const struct ident_handle *h)
{
	scoped_fd int fd = -1;
	struct statfs fs;

	if (h->type != FILEID_INO64_GEN && h->type != FILEID_INO64_GEN_PARENT)
		return true;
	if (*name || !(at & AT_EMPTY_PATH))
		fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return fstatfs(fd >= 0 ? fd : dirfd, &fs) < 0 || fs.f_type != FUSE_SUPER_MAGIC;
}

int ident_handle(struct ident_mount *mount, int dirfd, const char *name, int at,
		 struct ident_handle *ret)
{
	uint32_t how = atomic_load_explicit(&mount->how, memory_order_relaxed), found = IDENT_NONE;
	int r = 0;

	ret->len = 0;
	if (how == IDENT_NONE)
		return 0;
	if (how != IDENT_FID) {
		r = handle_try(dirfd, name, at, ret);
		found = IDENT_PLAIN;
	}
	if (how == IDENT_FID || (how == IDENT_UNKNOWN && cannot(r))) {
		r = handle_try(dirfd, name, at | AT_HANDLE_FID, ret);
		found = IDENT_FID;
	}
	if (cannot(r) || (how == IDENT_UNKNOWN && r == 0 && !handle_lasts(dirfd, name, at, ret))) {
		found = IDENT_NONE;
		ret->len = 0;
		r = 0;
	}
	if (how == IDENT_UNKNOWN && r == 0)
		atomic_store_explicit(&mount->how, found, memory_order_relaxed);
	return r;
}
