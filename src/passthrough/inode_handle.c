// SPDX-License-Identifier: Apache-2.0
/* Opening inodes by their file handles, where the daemon may and the file system can. */
/*
 * Theory of operation
 *
 * open_by_handle_at(2) takes CAP_DAC_READ_SEARCH and a descriptor of the mount that was not opened with
 * O_PATH. Both are found out for the root by trying. Every other mount gets its descriptor when its
 * first inode becomes known: a name leads there at that moment. It is within the budget of
 * descriptors, at most IDENT_OPEN_MAX are kept, and it is closed with the last inode of the mount,
 * since it holds the mount as any open file does. A mount without one is served by names.
 *
 * A handle finds the inode wherever the host has moved it. What comes of it is compared with the record
 * all the same: a file system may be careless with generations.
 *
 * Threads: inode_use_handles() runs before there are any; the rest on any thread, under no lock. The
 * caller holds a reference on the inode, so its mount's descriptor stays.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "inode.h"
#include "inode_impl.h"
#include "util.h"

/* The kernel's form of a handle. */
union handle {
	struct file_handle head;
	uint8_t bytes[sizeof(struct file_handle) + IDENT_HANDLE_MAX];
};

/* seccomp[handles]: open_by_handle_at */
static int open_handle(int mount_fd, uint16_t type, const void *bytes, uint8_t len)
{
	union handle h = {.head = {.handle_bytes = len, .handle_type = type}};
	int fd;

	memcpy(h.bytes + offsetof(struct file_handle, f_handle), bytes, len);
	fd = open_by_handle_at(mount_fd, &h.head, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* The descriptor of a mount, or -1. */
static void let_go(struct inode_table *t, int fd)
{
	if (fd < 0)
		return;
	fd_close(&fd);
	fdcache_release(&t->fds);
}

void inode_mount_put(struct inode_table *t, uint16_t mount)
{
	let_go(t, ident_mount_put(&t->mounts, mount));
}

/* Have a descriptor of @mount by what @fd, a file or directory there, is open on. */
static int mount_open(struct inode_table *t, uint16_t mount, int fd)
{
	char path[16];
	int r = fdcache_reserve(&t->fds);

	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%d", fd);
	fd = openat(t->proc_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	r = fd < 0 ? -errno : 0;
	if (r == 0 && !ident_mount_set_fd(&t->mounts, mount, fd)) {
		fd_close(&fd);
		r = -EMFILE;
	}
	if (r < 0)
		fdcache_release(&t->fds);
	return r;
}

void inode_mount_enter(struct inode_table *t, const struct inode *ino, const struct inode_at *at)
{
	scoped_fd int fd = -1;
	struct statx stx;

	if (!t->by_handle || ident_mount_fd(&t->mounts, ino->mount) >= 0)
		return;
	if (ino->type != S_IFDIR >> 12 && ino->type != S_IFREG >> 12)
		return;
	fd = at->name ? openat(at->dirfd, at->name, O_PATH | O_NOFOLLOW | O_CLOEXEC) : -1;
	if (fd >= 0 && ident_stat(fd, "", AT_EMPTY_PATH, &stx) == 0 && inode_is(t, ino, &stx))
		mount_open(t, ino->mount, fd);
}

int inode_open_handle(struct inode_table *t, struct inode *ino, struct fdcache_pin *ret)
{
	const int mount_fd = ident_mount_fd(&t->mounts, ino->mount);
	const void *bytes =
		ino->flags & INODE_LONG ? cells_at(&t->cells, ino->handle.cell) : ino->handle.bytes;
	scoped_fd int fd = -1;
	struct statx stx;
	int r;

	if (mount_fd < 0 || ino->flags & INODE_NO_HANDLE)
		return -EOPNOTSUPP;
	r = fdcache_reserve(&t->fds);
	if (r < 0)
		return r;
	fd = open_handle(mount_fd, ino->handle_type, bytes, ino->handle_len);
	r = fd < 0 ? fd : ident_stat(fd, "", AT_EMPTY_PATH, &stx);
	if (r == 0 && !inode_is(t, ino, &stx))
		r = -ESTALE;
	if (r < 0) {
		fdcache_release(&t->fds);
		return r;
	}
	inode_insert(t, ino, fd_steal(&fd), ret);
	return 0;
}

/* Whether what ident_handle() says of @fd can be opened again. */
static int try(struct inode_table *t, uint16_t mount, int fd)
{
	struct ident_mount *m = &t->mounts.mounts[mount];
	struct ident_handle h;
	int r = ident_handle(m, fd, "", AT_EMPTY_PATH, &h);

	if (r < 0)
		return r;
	if (h.len == 0 || atomic_load_explicit(&m->how, memory_order_relaxed) != IDENT_PLAIN)
		return -EOPNOTSUPP;
	fd = open_handle(ident_mount_fd(&t->mounts, mount), h.type, h.bytes, h.len);
	if (fd < 0)
		return fd == -EPERM || fd == -ENOSYS ? fd : -EOPNOTSUPP;
	fd_close(&fd);
	return 0;
}

bool inode_has_handles(struct inode_table *t)
{
	struct fdcache_pin pin = {.fd = -1};
	struct ident_handle h = {0};

	if (fdcache_pin(&t->fds, inode_slot(t, t->root), &pin))
		ident_handle(&t->mounts.mounts[t->root->mount], pin.fd, "", AT_EMPTY_PATH, &h);
	fdcache_unpin(&t->fds, &pin);
	return h.len;
}

int inode_use_handles(struct inode_table *t)
{
	const uint16_t mount = t->root->mount;
	struct fdcache_pin pin = {.fd = -1};
	int r;

	if (!fdcache_pin(&t->fds, inode_slot(t, t->root), &pin))
		return -ENOENT;
	r = mount_open(t, mount, pin.fd);
	if (r == 0)
		r = try(t, mount, pin.fd);
	if (r < 0)
		let_go(t, ident_mount_take_fd(&t->mounts, mount));
	fdcache_unpin(&t->fds, &pin);
	t->by_handle = r == 0;
	return r;
}
