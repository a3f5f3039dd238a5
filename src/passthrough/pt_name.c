// SPDX-License-Identifier: Apache-2.0
/* Operations on names: look up, make, remove, rename, link. */
/*
 * Theory of operation
 *
 * Each acts on one component relative to the directory's O_PATH descriptor. What makes something new
 * runs as the caller (cred.h), with a second try where the caller's groups, which we do not know,
 * would have allowed it.
 *
 * Before a name goes (UNLINK, RMDIR, the target of a RENAME) the inode behind it is looked for among
 * those that the guest knows; if that name is the one it would be opened again by, its descriptor is
 * pinned first and kept afterwards, so the guest can go on using a deleted file. A RENAME tells the
 * records their new names. When no descriptor is to be had the removal goes on all the same: it may
 * be what makes room.
 *
 * System calls, with directories whose descriptors are open: LOOKUP 1 (2 if it is new; see
 * inode_lookup()); MKNOD, MKDIR, SYMLINK 1 + LOOKUP, 4 more to switch ids; UNLINK, RMDIR 4; RENAME 3,
 * 5 where it replaces; LINK 2. A umask costs 2 more, a label 3.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cred.h"
#include "fd.h"
#include "pt_impl.h"
#include "util.h"

int pt_lookup(struct request *req, uint64_t parent, const char *name, struct fuse_entry_out *ret)
{
	struct pt *pt = req_backend(req);
	scoped_node struct pt_node dir = {0};
	int r = pt_node_use(req, parent, &dir);

	return r < 0 ? r : pt_find(pt, &dir, name, -1, ret);
}

/* What MKNOD, MKDIR and SYMLINK make; @target is a symlink's. */
struct made {
	uint32_t mode;
	uint32_t umask;
	uint32_t rdev;
	const char *target;
};

/* seccomp: symlinkat, mkdirat, mknodat */
static int make_once(int dirfd, const char *name, const struct made *what)
{
	int r;

	if (what->target)
		r = symlinkat(what->target, dirfd, name);
	else if (S_ISDIR(what->mode))
		r = mkdirat(dirfd, name, what->mode & 07777);
	else
		r = mknodat(dirfd, name, what->mode, what->rdev);
	return r < 0 ? -errno : 0;
}

/*
 * Put the label on what was just made, and look that up. By its descriptor, so that what is labelled and
 * what the guest gets are one.
 */
static int labelled(struct request *req, const struct pt_node *dir, const char *name,
		    struct fuse_entry_out *ret)
{
	scoped_fd int fd = openat(dir->pin.fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = pt_label(req, fd);
	if (r == 0)
		r = pt_find(req_backend(req), dir, name, fd, ret);
	else
		pt_label_failed(dir->pin.fd, name, fd);
	return r;
}

static int make(struct request *req, uint64_t parent, const char *name, const struct made *what,
		struct fuse_entry_out *ret)
{
	struct pt *pt = req_backend(req);
	scoped_node struct pt_node dir = {0};
	struct cred cred;
	bool masked;
	int r = pt_node_get(pt, parent, &dir);

	if (r)
		return r;
	r = pt_become(req, &cred);
	if (r)
		return r;
	masked = pt_umask(pt, what->umask);
	do {
		r = make_once(dir.pin.fd, name, what);
	} while (r == -EACCES && cred_widen(&cred));
	pt_umask_end(masked);
	cred_end(&cred);
	if (r == 0 && unlikely(req->label))
		return labelled(req, &dir, name, ret);
	return r < 0 ? r : pt_find(pt, &dir, name, -1, ret);
}

int pt_symlink(struct request *req, uint64_t parent, const char *name, const char *target,
	       struct fuse_entry_out *ret)
{
	return make(req, parent, name, &(struct made){.mode = S_IFLNK, .target = target}, ret);
}

int pt_mknod(struct request *req, uint64_t parent, const char *name, const struct fuse_mknod_in *in,
	     struct fuse_entry_out *ret)
{
	if (S_ISDIR(in->mode) || S_ISLNK(in->mode))
		return -EINVAL;
	return make(req, parent, name,
		    &(struct made){.mode = in->mode, .umask = in->umask, .rdev = in->rdev}, ret);
}

int pt_mkdir(struct request *req, uint64_t parent, const char *name, const struct fuse_mkdir_in *in,
	     struct fuse_entry_out *ret)
{
	return make(req, parent, name,
		    &(struct made){.mode = S_IFDIR | (in->mode & 07777), .umask = in->umask}, ret);
}

/* The inode at (@dir, @name), pinned, if the guest knows it and would find it by that name alone. */
static void hold(struct pt *pt, const struct pt_node *dir, const char *name, struct pt_node *ret)
{
	const struct inode_at at = {.dir = dir->ino, .dirfd = dir->pin.fd, .name = name, .fd = -1};

	ret->pt = pt;
	ret->ino = inode_hold(&pt->inodes, &at, &ret->pin);
}

/* seccomp: unlinkat */
static int remove_name(struct request *req, uint64_t parent, const char *name, int flags)
{
	struct pt *pt = req_backend(req);
	scoped_node struct pt_node dir = {0}, gone = {0};
	int r = pt_node_get(pt, parent, &dir);

	if (r)
		return r;
	hold(pt, &dir, name, &gone);
	if (unlinkat(dir.pin.fd, name, flags) < 0)
		return -errno;
	if (gone.ino)
		inode_unlinked(&pt->inodes, gone.ino, dir.ino, name);
	return 0;
}

int pt_unlink(struct request *req, uint64_t parent, const char *name)
{
	return remove_name(req, parent, name, 0);
}

int pt_rmdir(struct request *req, uint64_t parent, const char *name)
{
	return remove_name(req, parent, name, AT_REMOVEDIR);
}

static struct inode *peek(struct pt *pt, const struct pt_node *dir, const char *name)
{
	const struct inode_at at = {.dir = dir->ino, .dirfd = dir->pin.fd, .name = name, .fd = -1};

	return inode_peek(&pt->inodes, &at);
}

/* Tell the records about a RENAME that was done. @moved is NULL where the guest does not know it. */
static void renamed(struct pt *pt, struct inode *moved, const struct pt_node *from,
		    const char *name, struct inode *other, const struct pt_node *to,
		    const char *newname, bool exchange)
{
	struct inode_table *t = &pt->inodes;

	/* Two names of one inode: the kernel has done nothing. */
	if (moved && moved == other)
		return;
	if (other && exchange)
		inode_renamed(t, other, from->ino, name);
	else if (other)
		inode_unlinked(t, other, to->ino, newname);
	if (moved)
		inode_renamed(t, moved, to->ino, newname);
}

/* A whiteout is a new file at the old place, and what is new belongs to the caller. */
/* seccomp: renameat2 */
static int rename_once(struct request *req, int from, const char *name, int to, const char *newname,
		       uint32_t flags)
{
	struct cred cred = {0};
	int r = 0;

	if (flags & RENAME_WHITEOUT)
		r = pt_become(req, &cred);
	if (r)
		return r;
	do {
		/* renameat2(3) calls another one when there are no flags. */
		r = syscall(SYS_renameat2, from, name, to, newname, flags) < 0 ? -errno : 0;
	} while (r == -EACCES && cred_widen(&cred));
	cred_end(&cred);
	return r;
}

int pt_rename(struct request *req, uint64_t parent, const char *name, uint64_t newparent,
	      const char *newname, uint32_t flags)
{
	struct pt *pt = req_backend(req);
	scoped_node struct pt_node from = {0}, to = {0}, gone = {0};
	bool exchange = flags & RENAME_EXCHANGE;
	struct inode *moved, *other = NULL;
	int r = pt_node_get(pt, parent, &from);

	if (r == 0)
		r = pt_node_get(pt, newparent, &to);
	if (r)
		return r;
	moved = peek(pt, &from, name);
	if (exchange)
		other = peek(pt, &to, newname);
	else if (!(flags & RENAME_NOREPLACE))
		hold(pt, &to, newname, &gone);
	r = rename_once(req, from.pin.fd, name, to.pin.fd, newname, flags);
	if (r == 0)
		renamed(pt, moved, &from, name, exchange ? other : gone.ino, &to, newname,
			exchange);
	inode_put(&pt->inodes, other);
	inode_put(&pt->inodes, moved);
	return r;
}

/* seccomp: linkat */
int pt_link(struct request *req, uint64_t nodeid, uint64_t newparent, const char *newname,
	    struct fuse_entry_out *ret)
{
	struct pt *pt = req_backend(req);
	scoped_node struct pt_node node = {0}, dir = {0};
	int r = pt_node_get(pt, nodeid, &node);
	struct pt_fdname name;

	if (r == 0)
		r = pt_node_get(pt, newparent, &dir);
	if (r)
		return r;
	name = pt_fdname(node.pin.fd);
	if (linkat(pt->conf.proc_fd_fd, name.s, dir.pin.fd, newname, AT_SYMLINK_FOLLOW) < 0)
		return -errno;
	return pt_find(pt, &dir, newname, node.pin.fd, ret);
}

/* One system call. */
/* seccomp: readlinkat */
ssize_t pt_readlink(struct request *req, uint64_t nodeid, char *buf, size_t size)
{
	struct pt *pt = req_backend(req);
	scoped_node struct pt_node node = {0};
	int r = pt_node_get(pt, nodeid, &node);
	ssize_t n;

	if (r)
		return r;
	if (node.ino->type != S_IFLNK >> 12 || size == 0)
		return -EINVAL;
	n = readlinkat(node.pin.fd, "", buf, size);
	return n < 0 ? -errno : n;
}
