// SPDX-License-Identifier: Apache-2.0
/* Files in the DAX window. */
/*
 * Theory of operation
 *
 * SETUPMAPPING names an inode and no open file, so the file is opened by its inode and closed when the
 * front-end has it. It is opened for writing whenever that is possible, though the guest asks for reading
 * only: when it wants to write later, the mapping stays as it is. To exchange it would mean that for a
 * moment there is none, while the guest may be looking. Not so on overlayfs, where to open for writing is
 * to copy the file. O_APPEND and O_TRUNC play no part here.
 *
 * Which mappings there are, and when they go, is the window's affair (window.c). Files that the guest has
 * forgotten, and those of a session that has ended, it finds by itself.
 *
 * FUSE_ATTR_DAX says which files a guest uses through the window that is mounted with dax=inode, or with
 * nothing said. That is for the user to choose, among those that the front-end can show in whole. One that
 * maps whole pages within the file only cannot show a file that ends within a page, and no file at all
 * that could come to that; so it gets those that nobody in the guest can change.
 *
 * With such a front-end a mapping is continued when its file has grown, before the guest is told of the
 * new size: by whoever tells it. Growth that could not be shown is refused, and what the host has added
 * beyond is not told.
 *
 * No locks here.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"
#include "pt_impl.h"
#include "util.h"

#ifndef OVERLAYFS_SUPER_MAGIC
#define OVERLAYFS_SUPER_MAGIC 0x794c7630
#endif

/* seccomp: fstatfs */
static bool copies_up(int fd)
{
	struct statfs st;

	return fstatfs(fd, &st) == 0 && st.f_type == OVERLAYFS_SUPER_MAGIC;
}

/* Open a file to be mapped. *@write: in: it must be for writing; out: it is. */
static int open_file(struct pt *pt, const struct pt_node *node, bool *write)
{
	int fd = -EROFS;

	if (node->ino->type != S_IFREG >> 12)
		return -ENODEV;
	if (!pt->conf.readonly && (*write || !copies_up(node->pin.fd)))
		fd = pt_reopen(pt, node, O_RDWR);
	if (fd >= 0 || *write) {
		*write = true;
		return fd;
	}
	return pt_reopen(pt, node, O_RDONLY);
}

static void close_file(void *be, int fd)
{
	struct pt *pt = be;

	fd_close(&fd);
	fdcache_release(&pt->inodes.fds);
}

static bool is_alive(void *be, uint64_t nodeid)
{
	struct pt *pt = be;
	struct inode *ino = inode_get(&pt->inodes, nodeid);

	inode_put(&pt->inodes, ino);
	return ino;
}

static int open_again(void *be, uint64_t nodeid, bool write)
{
	struct pt *pt = be;
	scoped_node struct pt_node node = {0};
	int r = pt_node_get(pt, nodeid, &node);

	return r < 0 ? r : open_file(pt, &node, &write);
}

static const struct window_files files = {
	.alive = is_alive,
	.open = open_again,
	.close = close_file,
};

void pt_dax_begin(struct pt *pt, struct fuse_init *init)
{
	init->want &= ~(uint64_t)(FUSE_MAP_ALIGNMENT | FUSE_HAS_INODE_DAX);
	if (!init->window)
		return;
	pt->window = init->window;
	init->want |= FUSE_MAP_ALIGNMENT;
	if (pt->conf.dax.n)
		init->want |= FUSE_HAS_INODE_DAX;
	window_begin(pt->window, &files, pt);
}

void pt_dax_end(struct pt *pt)
{
	if (pt->window)
		window_end(pt->window);
}

void pt_dax_forget(struct pt *pt, uint64_t nodeid)
{
	if (pt_has(pt, FUSE_MAP_ALIGNMENT))
		window_forget(pt->window, nodeid);
}

/* One to three system calls for the file, besides what the front-end does. */
int pt_setupmapping(struct request *req, uint64_t nodeid, const struct fuse_setupmapping_in *in)
{
	struct pt *pt = req_backend(req);
	const uint32_t session = window_session(pt->window);
	struct window_part part = {
		.nodeid = nodeid,
		.foffset = in->foffset,
		.moffset = in->moffset,
		.len = in->len,
		.write = in->flags & FUSE_SETUPMAPPING_FLAG_WRITE,
	};
	scoped_node struct pt_node node = {0};
	struct stat st;
	int fd, r = pt_node_get(pt, nodeid, &node);

	if (r)
		return r;
	fd = open_file(pt, &node, &part.write);
	if (fd < 0)
		return fd;
	r = fd_stat(fd, &st);
	if (r == 0)
		r = window_setup(pt->window, &part, fd, (uint64_t)st.st_size, session);
	close_file(pt, fd);
	return r;
}

int pt_removemapping(struct request *req, const struct fuse_removemapping_one *one)
{
	struct pt *pt = req_backend(req);

	return window_remove(pt->window, one->moffset, one->len);
}

static bool grows(struct pt *pt, uint64_t nodeid)
{
	return unlikely(pt_has(pt, FUSE_MAP_ALIGNMENT)) && window_grows(pt->window, nodeid);
}

uint64_t pt_dax_size(struct pt *pt, uint64_t nodeid, uint64_t size)
{
	return grows(pt, nodeid) ? window_show(pt->window, nodeid, size) : size;
}

/* One system call, and another for the next, where files of the window can grow. */
int pt_dax_may_grow(struct pt *pt, uint64_t nodeid, int fd, uint64_t end)
{
	struct stat st;
	int r;

	if (!grows(pt, nodeid))
		return 0;
	r = fd_stat(fd, &st);
	if (r < 0)
		return r;
	if (end <= (uint64_t)st.st_size)
		return 0;
	return window_can_show(pt->window, nodeid, end) ? 0 : -EIO;
}

int pt_dax_grown(struct pt *pt, uint64_t nodeid, int fd)
{
	struct stat st;
	int r;

	if (!grows(pt, nodeid))
		return 0;
	r = fd_stat(fd, &st);
	if (r < 0)
		return r;
	return window_show(pt->window, nodeid, (uint64_t)st.st_size) == (uint64_t)st.st_size ? 0
											     : -EIO;
}

/* Waits for the front-end as long as nothing is known of it. */
static bool can_show(const struct pt *pt, const struct statx *stx)
{
	switch (window_probe(pt->window)) {
	case WINDOW_WHOLE:
		return true;
	case WINDOW_STRICT:
		return pt->conf.readonly && stx->stx_size && stx->stx_size % window_align() == 0;
	case WINDOW_UNKNOWN:
	case WINDOW_BROKEN:
		break;
	}
	return false;
}

uint32_t pt_dax_attr(struct pt *pt, uint64_t nodeid, const char *name, const struct statx *stx)
{
	const struct daxrules *rules = &pt->conf.dax;
	char buf[NAME_MAX + 1];

	if (!pt_has(pt, FUSE_HAS_INODE_DAX) || !S_ISREG(stx->stx_mode) || !can_show(pt, stx))
		return 0;
	if (rules->names && !name && inode_name(&pt->inodes, nodeid, buf) > 0)
		name = buf;
	return daxrules_match(rules, stx->stx_size, name) ? FUSE_ATTR_DAX : 0;
}
