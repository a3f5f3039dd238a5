// SPDX-License-Identifier: Apache-2.0
/* Attributes of memfs, plain and extended, and link targets. */
/*
 * Theory of operation
 *
 * Fields of the node, and a list of named values hanging off it. Permissions are not checked: the
 * guest's kernel does that. All under struct memfs.lock.
 */
#include <errno.h>
#include <linux/stat.h>
#include <linux/xattr.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "memfs_i.h"
#include "util.h"

/* ---- attributes ---- */

/* The node; with @fh, only if that is a handle of it. */
static struct memfs_node *node_by(struct memfs *fs, uint64_t nodeid, const uint64_t *fh,
				  int *ret_err)
{
	struct memfs_node *n;

	if (fh) {
		struct memfs_handle *h = memfs_handle(fs, nodeid, *fh, false);

		if (!h)
			h = memfs_handle(fs, nodeid, *fh, true);
		if (h)
			return h->node;
		*ret_err = -EBADF;
		return NULL;
	}
	n = memfs_node(fs, nodeid);
	if (!n)
		*ret_err = -ESTALE;
	return n;
}

int memfs_meta_getattr(struct request *req, uint64_t nodeid, const uint64_t *fh,
		       struct fuse_attr_out *ret)
{
	int err;
	scoped_memfs struct memfs *fs = memfs_enter(req, &err);
	struct memfs_node *n = err ? NULL : node_by(fs, nodeid, fh, &err);

	if (!n)
		return err;
	ret->attr_valid = MEMFS_VALID_SEC;
	memfs_attr(n, &ret->attr);
	return 0;
}

static struct fuse_sx_time sx_time(struct timespec ts)
{
	return (struct fuse_sx_time){.tv_sec = ts.tv_sec, .tv_nsec = (uint32_t)ts.tv_nsec};
}

int memfs_meta_statx(struct request *req, uint64_t nodeid, const uint64_t *fh, uint32_t flags,
		     uint32_t mask, struct fuse_statx_out *ret)
{
	int err;
	scoped_memfs struct memfs *fs = memfs_enter(req, &err);
	struct memfs_node *n = err ? NULL : node_by(fs, nodeid, fh, &err);

	(void)flags;
	(void)mask;
	if (!n)
		return err;
	ret->attr_valid = MEMFS_VALID_SEC;
	ret->stat = (struct fuse_statx){
		.mask = STATX_BASIC_STATS | STATX_BTIME,
		.blksize = MEMFS_PAGE,
		.nlink = n->nlink,
		.uid = n->uid,
		.gid = n->gid,
		.mode = (uint16_t)n->mode,
		.ino = n->id,
		.size = n->size,
		.blocks = n->npages * (MEMFS_PAGE / 512),
		.atime = sx_time(n->atime),
		.btime = sx_time(n->btime),
		.ctime = sx_time(n->ctime),
		.mtime = sx_time(n->mtime),
		.rdev_major = major(n->rdev),
		.rdev_minor = minor(n->rdev),
	};
	return 0;
}

static void set_owner(struct memfs_node *n, const struct fuse_setattr_in *in)
{
	if (in->valid & FATTR_UID)
		n->uid = in->uid;
	if (in->valid & FATTR_GID)
		n->gid = in->gid;
	if (S_ISREG(n->mode) && in->valid & (FATTR_UID | FATTR_GID)) {
		n->mode &= ~(uint32_t)S_ISUID;
		if (n->mode & S_IXGRP)
			n->mode &= ~(uint32_t)S_ISGID;
	}
}

static void set_times(struct memfs_node *n, const struct fuse_setattr_in *in)
{
	struct timespec now = memfs_now();

	n->ctime = now;
	if (in->valid & FATTR_ATIME_NOW)
		n->atime = now;
	else if (in->valid & FATTR_ATIME)
		n->atime = (struct timespec){(time_t)in->atime, in->atimensec};
	if (in->valid & FATTR_MTIME_NOW)
		n->mtime = now;
	else if (in->valid & FATTR_MTIME)
		n->mtime = (struct timespec){(time_t)in->mtime, in->mtimensec};
	if (in->valid & FATTR_CTIME)
		n->ctime = (struct timespec){(time_t)in->ctime, in->ctimensec};
}

int memfs_meta_setattr(struct request *req, uint64_t nodeid, const struct fuse_setattr_in *in,
		       struct fuse_attr_out *ret)
{
	int err;
	scoped_memfs struct memfs *fs = memfs_enter(req, &err);
	const uint64_t *fh = in->valid & FATTR_FH ? &in->fh : NULL;
	struct memfs_node *n = err ? NULL : node_by(fs, nodeid, fh, &err);

	if (!n)
		return err;
	if (in->valid & FATTR_SIZE && !S_ISREG(n->mode))
		return S_ISDIR(n->mode) ? -EISDIR : -EINVAL;
	if (in->valid & FATTR_SIZE)
		memfs_data_truncate(fs, n, in->size);
	set_owner(n, in);
	if (in->valid & FATTR_MODE)
		n->mode = (n->mode & S_IFMT) | (in->mode & 07777);
	set_times(n, in);
	ret->attr_valid = MEMFS_VALID_SEC;
	memfs_attr(n, &ret->attr);
	return 0;
}

ssize_t memfs_meta_readlink(struct request *req, uint64_t nodeid, char *buf, size_t size)
{
	int err;
	scoped_memfs struct memfs *fs = memfs_enter(req, &err);
	struct memfs_node *n = err ? NULL : memfs_node(fs, nodeid);
	size_t len;

	if (!n)
		return err ? err : -ESTALE;
	if (!S_ISLNK(n->mode))
		return -EINVAL;
	len = MIN(strlen(n->target), size);
	memcpy(buf, n->target, len);
	return (ssize_t)len;
}

int memfs_meta_statfs(struct request *req, uint64_t nodeid, struct fuse_kstatfs *ret)
{
	int err;
	scoped_memfs struct memfs *fs = memfs_enter(req, &err);

	if (err || !memfs_node(fs, nodeid))
		return err ? err : -ESTALE;
	ret->blocks = fs->max_pages;
	ret->bfree = ret->bavail = fs->max_pages - fs->used_pages;
	ret->files = MEMFS_IDS_MAX;
	ret->ffree = MEMFS_IDS_MAX - fs->nodes.count;
	ret->bsize = ret->frsize = MEMFS_PAGE;
	ret->namelen = MEMFS_NAME_MAX;
	return 0;
}

/* ---- extended attributes ---- */

/* Where the attribute hangs, or where one would be added; counts those before. */
static struct memfs_xattr **xattr_at(struct memfs_node *n, const char *name, size_t *ret_count)
{
	struct memfs_xattr **at = &n->xattrs;
	size_t count = 0;

	for (; *at && strcmp((*at)->name, name); at = &(*at)->next)
		count++;
	*ret_count = count;
	return at;
}

int memfs_meta_setxattr(struct request *req, uint64_t nodeid, const char *name, const void *value,
			size_t size, uint32_t flags, uint32_t setxattr_flags)
{
	int err;
	scoped_memfs struct memfs *fs = memfs_enter(req, &err);
	struct memfs_node *n = err ? NULL : memfs_node(fs, nodeid);
	struct memfs_xattr **at, *x;
	uint8_t *copy;
	size_t count;

	(void)setxattr_flags;
	if (!n)
		return err ? err : -ESTALE;
	at = xattr_at(n, name, &count);
	if (*at && flags & XATTR_CREATE)
		return -EEXIST;
	if (!*at && flags & XATTR_REPLACE)
		return -ENODATA;
	copy = malloc(MAX(size, 1));
	if (!copy)
		return -ENOMEM;
	memcpy(copy, value, size);
	if (!*at) {
		x = count < MEMFS_XATTRS ? calloc(1, sizeof(*x)) : NULL;
		if (x)
			x->name = strdup(name);
		if (!x || !x->name) {
			free(x);
			free(copy);
			return -ENOSPC;
		}
		*at = x;
	}
	x = *at;
	free(x->value);
	x->value = copy;
	x->size = size;
	n->ctime = memfs_now();
	return 0;
}

ssize_t memfs_meta_getxattr(struct request *req, uint64_t nodeid, const char *name, void *buf,
			    size_t size)
{
	int err;
	scoped_memfs struct memfs *fs = memfs_enter(req, &err);
	struct memfs_node *n = err ? NULL : memfs_node(fs, nodeid);
	struct memfs_xattr *x;
	size_t count;

	if (!n)
		return err ? err : -ESTALE;
	x = *xattr_at(n, name, &count);
	if (!x)
		return -ENODATA;
	if (!size)
		return (ssize_t)x->size;
	if (x->size > size)
		return -ERANGE;
	memcpy(buf, x->value, x->size);
	return (ssize_t)x->size;
}

ssize_t memfs_meta_listxattr(struct request *req, uint64_t nodeid, char *buf, size_t size)
{
	int err;
	scoped_memfs struct memfs *fs = memfs_enter(req, &err);
	struct memfs_node *n = err ? NULL : memfs_node(fs, nodeid);
	size_t done = 0;

	if (!n)
		return err ? err : -ESTALE;
	for (struct memfs_xattr *x = n->xattrs; x; x = x->next) {
		size_t len = strlen(x->name) + 1;

		if (size && len > size - done)
			return -ERANGE;
		if (size)
			memcpy(buf + done, x->name, len);
		done += len;
	}
	return (ssize_t)done;
}

int memfs_meta_removexattr(struct request *req, uint64_t nodeid, const char *name)
{
	int err;
	scoped_memfs struct memfs *fs = memfs_enter(req, &err);
	struct memfs_node *n = err ? NULL : memfs_node(fs, nodeid);
	struct memfs_xattr **at, *x;
	size_t count;

	if (!n)
		return err ? err : -ESTALE;
	at = xattr_at(n, name, &count);
	x = *at;
	if (!x)
		return -ENODATA;
	*at = x->next;
	free(x->name);
	free(x->value);
	free(x);
	n->ctime = memfs_now();
	return 0;
}
