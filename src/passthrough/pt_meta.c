// SPDX-License-Identifier: Apache-2.0
/* Attributes of inodes and file systems. */
/*
 * Theory of operation
 *
 * Attributes come from statx(2) on a descriptor: the open file's where the guest names one, else the
 * inode's O_PATH descriptor. They are changed through the descriptor's name in /proc/self/fd.
 *
 * SETATTR is one change to the guest and several calls here. Size comes first, since it is what can
 * fail for lack of room and what needs the permissions as they are; then the owner, because changing
 * it clears set-id bits; then the mode, which can set them; times last, because all else changes
 * them. A call that fails leaves what was done before it.
 *
 * No locks here.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cred.h"
#include "fd.h"
#include "pt_impl.h"
#include "util.h"

/* An inode, by an open file of it or by its O_PATH descriptor. */
struct target {
	struct pt_file file;
	struct pt_node node;
	int fd;
};

static void target_put(struct target *t)
{
	pt_file_put(&t->file);
	pt_node_put(&t->node);
}

#define scoped_target __attribute__((cleanup(target_put)))

static int target_get(struct pt *pt, uint64_t nodeid, const uint64_t *fh, struct target *ret)
{
	int r;

	if (fh) {
		r = pt_file_get(pt, *fh, nodeid, HANDLE_FILE, &ret->file);
		if (r < 0)
			r = pt_file_get(pt, *fh, nodeid, HANDLE_DIR, &ret->file);
		if (r == 0)
			ret->fd = ret->file.ref.file->fd;
	} else {
		r = pt_node_get(pt, nodeid, &ret->node);
		if (r == 0)
			ret->fd = ret->node.pin.fd;
	}
	return r;
}

/* One system call. */
int pt_getattr(struct request *req, uint64_t nodeid, const uint64_t *fh, struct fuse_attr_out *ret)
{
	struct pt *pt = req_backend(req);
	scoped_target struct target t = {0};
	struct statx stx;
	int r = target_get(pt, nodeid, fh, &t);

	if (r == 0)
		r = ident_stat(t.fd, "", AT_EMPTY_PATH, &stx);
	if (r == 0)
		pt_attr_out(pt, nodeid, &stx, ret);
	return r;
}

static struct fuse_sx_time sx_time(const struct statx_timestamp *ts)
{
	return (struct fuse_sx_time){.tv_sec = ts->tv_sec, .tv_nsec = ts->tv_nsec};
}

static void fill_statx(const struct pt *pt, const struct statx *stx, struct fuse_statx *ret)
{
	*ret = (struct fuse_statx){
		.mask = stx->stx_mask & (STATX_BASIC_STATS | STATX_BTIME),
		.blksize = stx->stx_blksize,
		.attributes = stx->stx_attributes,
		.nlink = stx->stx_nlink,
		.uid = idmap_to_guest(&pt->conf.uids, stx->stx_uid),
		.gid = idmap_to_guest(&pt->conf.gids, stx->stx_gid),
		.mode = stx->stx_mode,
		.ino = stx->stx_ino,
		.size = stx->stx_size,
		.blocks = stx->stx_blocks,
		.attributes_mask = stx->stx_attributes_mask,
		.atime = sx_time(&stx->stx_atime),
		.btime = sx_time(&stx->stx_btime),
		.ctime = sx_time(&stx->stx_ctime),
		.mtime = sx_time(&stx->stx_mtime),
		.rdev_major = stx->stx_rdev_major,
		.rdev_minor = stx->stx_rdev_minor,
		.dev_major = stx->stx_dev_major,
		.dev_minor = stx->stx_dev_minor,
	};
}

/* One system call. What was not asked for is filled in as well: it costs nothing. */
int pt_statx(struct request *req, uint64_t nodeid, const uint64_t *fh, uint32_t flags,
	     uint32_t mask, struct fuse_statx_out *ret)
{
	struct pt *pt = req_backend(req);
	scoped_target struct target t = {0};
	struct statx stx;
	int r = target_get(pt, nodeid, fh, &t);

	(void)mask;
	if (r == 0)
		r = ident_stat(t.fd, "", AT_EMPTY_PATH | ((int)flags & AT_STATX_SYNC_TYPE), &stx);
	if (r)
		return r;
	*ret = (struct fuse_statx_out){.attr_valid = pt->valid};
	fill_statx(pt, &stx, &ret->stat);
	ret->stat.size = pt_dax_size(pt, nodeid, stx.stx_size);
	return 0;
}

/* By the guest's handle if it gave one, else by the descriptor's name. */
/* seccomp: ftruncate, truncate */
static int set_size(struct pt *pt, const struct pt_node *node, uint64_t nodeid,
		    const struct fuse_setattr_in *in)
{
	const struct pt_fdname name = pt_fdname(node->pin.fd);
	scoped_file struct pt_file file = {0};
	int r;

	if (in->valid & FATTR_FH) {
		r = pt_file_get(pt, in->fh, nodeid, HANDLE_FILE, &file);
		if (r < 0)
			return r;
	} else if (node->ino->type == S_IFDIR >> 12) {
		return -EISDIR;
	} else if (node->ino->type != S_IFREG >> 12) {
		return -EINVAL;
	}
	r = pt_dax_may_grow(pt, nodeid, node->pin.fd, in->size);
	if (r < 0)
		return r;
	if (in->valid & FATTR_FH)
		return ftruncate(file.ref.file->fd, (off_t)in->size) < 0 ? -errno : 0;
	return truncate(name.s, (off_t)in->size) < 0 ? -errno : 0;
}

/* seccomp: fchownat */
static int set_owner(const struct pt_node *node, const struct fuse_setattr_in *in)
{
	uid_t uid = in->valid & FATTR_UID ? in->uid : (uid_t)-1;
	gid_t gid = in->valid & FATTR_GID ? in->gid : (gid_t)-1;

	if (fchownat(node->pin.fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	/* An id that the daemon's user namespace does not have is none that it may give. */
	return errno == EINVAL ? -EPERM : -errno;
}

static struct timespec set_time(uint32_t valid, uint32_t set, uint32_t now, uint64_t sec,
				uint32_t nsec)
{
	if (!(valid & set))
		return (struct timespec){.tv_nsec = UTIME_OMIT};
	if (valid & now)
		return (struct timespec){.tv_nsec = UTIME_NOW};
	return (struct timespec){.tv_sec = (time_t)sec, .tv_nsec = nsec};
}

/* seccomp: utimensat */
static int set_times(struct pt *pt, const struct pt_node *node, const struct fuse_setattr_in *in)
{
	const struct pt_fdname name = pt_fdname(node->pin.fd);
	const struct timespec times[2] = {
		set_time(in->valid, FATTR_ATIME, FATTR_ATIME_NOW, in->atime, in->atimensec),
		set_time(in->valid, FATTR_MTIME, FATTR_MTIME_NOW, in->mtime, in->mtimensec),
	};

	return utimensat(pt->conf.proc_fd_fd, name.s, times, 0) < 0 ? -errno : 0;
}

/* seccomp: fchmodat */
static int set_mode(struct pt *pt, const struct pt_node *node, uint32_t mode)
{
	const struct pt_fdname name = pt_fdname(node->pin.fd);

	if (node->ino->type == S_IFLNK >> 12)
		return -EOPNOTSUPP;
	return fchmodat(pt->conf.proc_fd_fd, name.s, mode & 07777, 0) < 0 ? -errno : 0;
}

#define SETATTR_CHANGES \
	(FATTR_MODE | FATTR_UID | FATTR_GID | FATTR_SIZE | FATTR_ATIME | FATTR_MTIME | FATTR_CTIME)

/*
 * Is this a change by which set-id bits fall, for the lack of CAP_FSETID? A guest with KILLPRIV_V2 says so.
 * Without, Linux sends a mode that lacks them, but leaves a set-group-id bit without x alone, which falls
 * for callers who are not in the file's group: a change of nothing (a write, where that was all), of the
 * size, or of the mode by one who does not own the file (a write that took set-user-id away). A change of
 * the owner, or of nothing, is left to us in this respect in any case: the flag that Linux sends along
 * with the first is there for all callers, root too.
 */
static bool kills(struct request *req, const struct pt_node *node, const struct fuse_setattr_in *in)
{
	const struct pt *pt = req_backend(req);
	struct statx stx;

	if (!(in->valid & SETATTR_CHANGES) || in->valid & (FATTR_UID | FATTR_GID))
		return req->hdr.uid != 0;
	if (in->valid & FATTR_KILL_SUIDGID)
		return true;
	if (req->hdr.uid == 0 || pt_has(pt, FUSE_HANDLE_KILLPRIV_V2))
		return false;
	if (in->valid & FATTR_SIZE)
		return true;
	if (!(in->valid & FATTR_MODE) || (in->mode & (S_ISGID | S_IXGRP)) != S_ISGID)
		return false;
	return ident_stat(node->pin.fd, "", AT_EMPTY_PATH, &stx) == 0 &&
	       idmap_to_guest(&pt->conf.uids, stx.stx_uid) != req->hdr.uid;
}

/* What fell with the owner must not come back with the mode that Linux sends along. */
static uint32_t mode_left(const struct pt_node *node, const struct fuse_setattr_in *in)
{
	struct statx stx;

	if (!(in->valid & (FATTR_UID | FATTR_GID)) || (in->mode & (S_ISGID | S_IXGRP)) != S_ISGID ||
	    ident_stat(node->pin.fd, "", AT_EMPTY_PATH, &stx) < 0)
		return in->mode;
	return (in->mode & ~(uint32_t)S_ISGID) | (stx.stx_mode & S_ISGID);
}

/* @kill: set-id bits fall. */
static int change(struct pt *pt, const struct pt_node *node, uint64_t nodeid,
		  const struct fuse_setattr_in *in, bool kill)
{
	int r = 0;

	if (in->valid & FATTR_SIZE)
		r = set_size(pt, node, nodeid, in);
	/* No change at all is what chown(2) with -1 and -1 comes to: it moves the change time. */
	if (r == 0 && (in->valid & (FATTR_UID | FATTR_GID) || !(in->valid & SETATTR_CHANGES)))
		r = set_owner(node, in);
	if (r == 0 && in->valid & FATTR_MODE)
		r = set_mode(pt, node, kill ? mode_left(node, in) : in->mode);
	if (r == 0 && in->valid & (FATTR_ATIME | FATTR_MTIME))
		r = set_times(pt, node, in);
	return r;
}

/* One system call for each kind of change and one for the reply. */
int pt_setattr(struct request *req, uint64_t nodeid, const struct fuse_setattr_in *in,
	       struct fuse_attr_out *ret)
{
	struct pt *pt = req_backend(req);
	scoped_node struct pt_node node = {0};
	struct fuse_setattr_in host = *in;
	struct cred cred = {0};
	struct statx stx;
	bool kill;
	int r = pt_node_get(pt, nodeid, &node);

	if (r == 0)
		r = pt_owner(pt, &host);
	if (r)
		return r;
	kill = kills(req, &node, in);
	if (kill)
		pt_kill(req, &cred);
	if (in->valid & (FATTR_SIZE | FATTR_UID | FATTR_GID))
		pt_changed(pt, node.pin.fd);
	r = change(pt, &node, nodeid, &host, kill);
	cred_end(&cred);
	if (r == 0)
		r = ident_stat(node.pin.fd, "", AT_EMPTY_PATH, &stx);
	if (r == 0)
		pt_attr_out(pt, nodeid, &stx, ret);
	return r;
}

/* One system call. */
/* seccomp: fstatfs */
int pt_statfs(struct request *req, uint64_t nodeid, struct fuse_kstatfs *ret)
{
	struct pt *pt = req_backend(req);
	scoped_node struct pt_node node = {0};
	struct statvfs st;
	int r = pt_node_get(pt, nodeid, &node);

	if (r)
		return r;
	if (fstatvfs(node.pin.fd, &st) < 0)
		return -errno;
	*ret = (struct fuse_kstatfs){
		.blocks = st.f_blocks,
		.bfree = st.f_bfree,
		.bavail = st.f_bavail,
		.files = st.f_files,
		.ffree = st.f_ffree,
		.bsize = (uint32_t)st.f_bsize,
		.namelen = (uint32_t)st.f_namemax,
		.frsize = (uint32_t)st.f_frsize,
	};
	return 0;
}

/* seccomp: syncfs */
static int sync_node(struct pt *pt, const struct pt_node *node)
{
	int fd = pt_reopen(pt, node, O_RDONLY | O_NONBLOCK), r;

	if (fd < 0)
		return fd;
	r = syncfs(fd) < 0 ? -errno : 0;
	fd_close(&fd);
	fdcache_release(&pt->inodes.fds);
	return r;
}

/* Mounts beneath that the guest takes for part of this one. */
static int sync_others(struct pt *pt, uint16_t mount)
{
	int r = 0;

	for (uint32_t m = 1; m < IDENT_MOUNTS; m++) {
		scoped_node struct pt_node node = {.pt = pt, .pin = {.fd = -1}};

		node.ino = m == mount ? NULL : inode_mount_top(&pt->inodes, m);
		if (!node.ino)
			continue;
		if (node.ino->type == S_IFDIR >> 12 && pt_has(pt, FUSE_SUBMOUNTS))
			continue;
		if (inode_open(&pt->inodes, node.ino, &node.pin) == 0) {
			int one = sync_node(pt, &node);

			r = r ? r : one;
		}
	}
	return r;
}

/*
 * The guest means what it sees as one file system: the inode's own mount, and those mounts that it
 * was not told of. Three system calls each.
 */
int pt_syncfs(struct request *req, uint64_t nodeid)
{
	struct pt *pt = req_backend(req);
	scoped_node struct pt_node node = {0};
	int r = pt_node_get(pt, nodeid, &node), others;

	if (r)
		return r;
	r = sync_node(pt, &node);
	others = sync_others(pt, node.ino->mount);
	return r ? r : others;
}

/*
 * By mode bits, with the one group that is known. A guest that checks permissions itself, as Linux
 * does over virtio-fs, never asks. One system call.
 */
int pt_access(struct request *req, uint64_t nodeid, uint32_t mask)
{
	struct pt *pt = req_backend(req);
	scoped_node struct pt_node node = {0};
	struct statx stx;
	uint32_t bits;
	int r = pt_node_get(pt, nodeid, &node);

	if (r == 0)
		r = ident_stat(node.pin.fd, "", AT_EMPTY_PATH, &stx);
	if (r)
		return r;
	mask &= R_OK | W_OK | X_OK;
	if (req->hdr.uid == 0)
		bits = R_OK | W_OK |
		       (S_ISDIR(stx.stx_mode) || stx.stx_mode & 0111 ? (uint32_t)X_OK : 0);
	else if (req->hdr.uid == idmap_to_guest(&pt->conf.uids, stx.stx_uid))
		bits = stx.stx_mode >> 6;
	else if (req->hdr.gid == idmap_to_guest(&pt->conf.gids, stx.stx_gid))
		bits = stx.stx_mode >> 3;
	else
		bits = stx.stx_mode;
	return mask & ~bits ? -EACCES : 0;
}
