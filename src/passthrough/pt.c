// SPDX-License-Identifier: Apache-2.0
/* The passthrough backend: set-up, what the operations share, and their table. */
/*
 * Theory of operation
 *
 * A request names inodes by nodeid and open files by fh. Inodes are used through O_PATH descriptors
 * (inode.h), open files through their own (handle.h); both are references in use for the length of
 * the operation, so that FORGET and RELEASE can come at any time. What READ, WRITE and LOOKUP ask for
 * over and over, one open file or one directory, the queue's thread keeps until another kind of request comes
 * or it sleeps (request.keeps): requests of one batch, and of several queues, then change no count that
 * they share. It keeps one at a time, so that a request that gets stuck holds on to nothing but its own.
 * Names are resolved one component at a time, relative to the directory's descriptor.
 *
 * What O_PATH descriptors are not good for (chmod, setxattr, truncate, link, open) goes through their
 * names in /proc/self/fd, which is the working directory of each thread that runs requests: "37" is
 * descriptor 37. The kernel follows such a link to the open file itself, so there is no race. Only
 * regular files and directories are ever opened for use.
 *
 * Threads: any number; nothing here is shared but the tables, which lock for themselves. Their own
 * file system context (unshare(2)) gives the threads their umask and working directory; credentials
 * are per thread in Linux.
 *
 * Budget. All descriptors that outlive a request are counted in fdcache. Those that one request opens
 * and closes (three at most) are not: the reserve below RLIMIT_NOFILE is for them and for the rest of
 * the daemon.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cred.h"
#include "fd.h"
#include "log.h"
#include "pt_impl.h"
#include "util.h"

/* 16 Mi inodes are 1.6 GB at worst; what is not used takes no memory. */
#define MAX_INODES_DEFAULT (16u << 20)
/* Descriptors that are not for the guest: rings, guest memory, requests that open and close. */
#define FD_RESERVE 256u
#define FD_MIN     16u
#define FD_MAX     (1u << 20)

#define DAY 86400u

static uint32_t fd_budget(void)
{
	struct rlimit lim;
	uint64_t n = 1024;

	if (getrlimit(RLIMIT_NOFILE, &lim) == 0)
		n = lim.rlim_cur;
	n -= MIN(FD_RESERVE, n / 2);
	return (uint32_t)MAX(FD_MIN, MIN(n, FD_MAX));
}

static uint64_t valid_for(enum pt_cache cache)
{
	switch (cache) {
	case PT_CACHE_AUTO:
		return 1;
	case PT_CACHE_ALWAYS:
	case PT_CACHE_METADATA:
		return DAY;
	case PT_CACHE_NEVER:
		break;
	}
	return 0;
}

/* The host has taken an inode's name away: an open file of it is as good. */
static int rescue(struct inode_table *t, struct inode *ino, struct fdcache_pin *ret)
{
	struct pt *pt = container_of(t, struct pt, inodes);
	scoped_file struct pt_file file = {0};

	if (handle_any(&pt->handles, inode_id(t, ino), &file.ref) < 0)
		return -ESTALE;
	file.pt = pt;
	return inode_open_as(t, ino, file.ref.file->fd, ret);
}

static int use_handles(struct pt *pt)
{
	int r = 0;

	if (pt->conf.handles != PT_HANDLES_NEVER)
		r = inode_use_handles(&pt->inodes);
	return pt->conf.handles == PT_HANDLES_MANDATORY ? r : 0;
}

int pt_new(const struct pt_conf *conf, struct pt **ret)
{
	struct pt *pt = aligned_alloc(64, (sizeof(*pt) + 63) & ~(size_t)63);
	int r;

	if (!pt)
		return -ENOMEM;
	memset(pt, 0, sizeof(*pt));
	pt->conf = *conf;
	pt->conf.root_fd = -1;
	pt->valid = valid_for(conf->cache);
	pt_xattr_init(pt);
	pt->conf.proc_fd_fd = fcntl(conf->proc_fd_fd, F_DUPFD_CLOEXEC, 0);
	if (pt->conf.proc_fd_fd < 0) {
		r = -errno;
		free(pt);
		return r;
	}
	if (!pt->conf.max_inodes)
		pt->conf.max_inodes = MAX_INODES_DEFAULT;
	if (!pt->conf.max_fds)
		pt->conf.max_fds = fd_budget();
	pt->conf.max_fds = MAX(FD_MIN, MIN(pt->conf.max_fds, FD_MAX));
	if (!pt->conf.max_handles || pt->conf.max_handles > pt->conf.max_fds)
		pt->conf.max_handles = pt->conf.max_fds;
	r = cred_ids_get(&pt->ids);
	if (r == 0)
		r = inode_table_init(&pt->inodes, conf->root_fd, pt->conf.proc_fd_fd,
				     pt->conf.max_inodes, pt->conf.max_fds);
	if (r == 0) {
		r = use_handles(pt);
		pt->inodes.rescue = rescue;
		pt->inodes.eager = pt->valid == 0;
		if (r == 0)
			r = handle_table_init(&pt->handles, pt->conf.max_handles, &pt->inodes.fds);
		if (r == 0) {
			r = pt_lock_init(pt);
			if (r < 0)
				handle_table_done(&pt->handles);
		}
		if (r < 0)
			inode_table_done(&pt->inodes);
	}
	if (r < 0) {
		fd_close(&pt->conf.proc_fd_fd);
		free(pt);
		return r;
	}
	*ret = pt;
	return 0;
}

bool pt_keeps_open(struct pt *pt)
{
	return !inode_has_handles(&pt->inodes);
}

void pt_free(struct pt *pt)
{
	/* What a thread is stuck in stays behind, with the process. */
	if (!pt || !pt_lock_done(pt))
		return;
	handle_table_done(&pt->handles);
	inode_table_done(&pt->inodes);
	fd_close(&pt->conf.proc_fd_fd);
	free(pt);
}

void pt_stats(const struct pt *pt, struct pt_stats *ret)
{
	ret->inodes = atomic_load_explicit(&pt->inodes.slots.live, memory_order_relaxed);
	ret->handles = atomic_load_explicit(&pt->handles.slots.live, memory_order_relaxed);
	ret->fds = atomic_load_explicit(&pt->inodes.fds.used, memory_order_relaxed);
}

int pt_node_get(struct pt *pt, uint64_t nodeid, struct pt_node *ret)
{
	struct pt_node node = {.pt = pt, .ino = inode_get(&pt->inodes, nodeid)};
	int r;

	if (unlikely(!node.ino))
		return -ESTALE;
	r = inode_open(&pt->inodes, node.ino, &node.pin);
	if (unlikely(r < 0)) {
		inode_put(&pt->inodes, node.ino);
		return r;
	}
	*ret = node;
	return 0;
}

/* What this thread keeps for its next request, by its nodeid or fh: one of the two, or nothing. */
static _Thread_local struct {
	uint64_t id;
	struct pt_node node;
	struct pt_file file;
} kept;

static void pt_rest(void *be)
{
	(void)be;
	pt_node_put(&kept.node);
	pt_file_put(&kept.file);
}

int pt_node_use(const struct request *req, uint64_t nodeid, struct pt_node *ret)
{
	struct pt *pt = req_backend(req);
	int r;

	if (unlikely(!req->keeps))
		return pt_node_get(pt, nodeid, ret);
	if (!kept.node.ino || kept.id != nodeid || !inode_known(kept.node.ino)) {
		pt_rest(pt);
		r = pt_node_get(pt, nodeid, &kept.node);
		if (unlikely(r < 0))
			return r;
		kept.id = nodeid;
	}
	*ret = kept.node;
	ret->kept = true;
	return 0;
}

void pt_node_put(struct pt_node *node)
{
	if (!node->ino || node->kept)
		return;
	fdcache_unpin(&node->pt->inodes.fds, &node->pin);
	inode_put(&node->pt->inodes, node->ino);
	node->ino = NULL;
}

int pt_file_get(struct pt *pt, uint64_t fh, uint64_t nodeid, enum handle_kind kind,
		struct pt_file *ret)
{
	int r = handle_get(&pt->handles, fh, nodeid, kind, &ret->ref);

	if (r == 0)
		ret->pt = pt;
	return r;
}

int pt_file_use(const struct request *req, uint64_t fh, uint64_t nodeid, struct pt_file *ret)
{
	struct pt *pt = req_backend(req);
	int r;

	if (unlikely(!req->keeps))
		return pt_file_get(pt, fh, nodeid, HANDLE_FILE, ret);
	if (!kept.file.pt || kept.id != fh ||
	    !handle_good(kept.file.ref.rec, nodeid, HANDLE_FILE)) {
		pt_rest(pt);
		r = pt_file_get(pt, fh, nodeid, HANDLE_FILE, &kept.file);
		if (unlikely(r < 0))
			return r;
		kept.id = fh;
	}
	/* Without @pt: pt_file_put() leaves it alone. */
	ret->ref = kept.file.ref;
	return 0;
}

void pt_file_put(struct pt_file *file)
{
	if (file->pt)
		handle_put(&file->pt->handles, &file->ref);
	file->pt = NULL;
}

struct pt_fdname pt_fdname(int fd)
{
	struct pt_fdname name;

	snprintf(name.s, sizeof(name.s), "%d", fd);
	return name;
}

void pt_attr(const struct pt *pt, const struct statx *stx, struct fuse_attr *ret)
{
	*ret = (struct fuse_attr){
		.ino = stx->stx_ino,
		.size = stx->stx_size,
		.blocks = stx->stx_blocks,
		.atime = (uint64_t)stx->stx_atime.tv_sec,
		.mtime = (uint64_t)stx->stx_mtime.tv_sec,
		.ctime = (uint64_t)stx->stx_ctime.tv_sec,
		.atimensec = stx->stx_atime.tv_nsec,
		.mtimensec = stx->stx_mtime.tv_nsec,
		.ctimensec = stx->stx_ctime.tv_nsec,
		.mode = stx->stx_mode,
		.nlink = stx->stx_nlink,
		.uid = idmap_to_guest(&pt->conf.uids, stx->stx_uid),
		.gid = idmap_to_guest(&pt->conf.gids, stx->stx_gid),
		/* The guest decodes what new_encode_dev() makes: makedev() of small numbers. */
		.rdev = (uint32_t)makedev(stx->stx_rdev_major, stx->stx_rdev_minor),
		.blksize = stx->stx_blksize,
	};
}

void pt_attr_out(struct pt *pt, uint64_t nodeid, const struct statx *stx, struct fuse_attr_out *ret)
{
	ret->attr_valid = pt->valid;
	ret->attr_valid_nsec = 0;
	ret->dummy = 0;
	pt_attr(pt, stx, &ret->attr);
	ret->attr.size = pt_dax_size(pt, nodeid, stx->stx_size);
	ret->attr.flags |= pt_dax_attr(pt, nodeid, NULL, stx);
}

int pt_find(struct pt *pt, const struct pt_node *dir, const char *name, int fd,
	    struct fuse_entry_out *ret)
{
	const struct inode_at at = {.dir = dir->ino, .dirfd = dir->pin.fd, .name = name, .fd = fd};
	struct inode_found found;
	struct statx stx;
	int r = inode_lookup(&pt->inodes, &at, &stx, &found);

	if (r < 0)
		return r;
	ret->nodeid = found.id;
	ret->generation = 0;
	ret->entry_valid = ret->attr_valid = pt->valid;
	ret->entry_valid_nsec = ret->attr_valid_nsec = 0;
	pt_attr(pt, &stx, &ret->attr);
	ret->attr.size = pt_dax_size(pt, found.id, stx.stx_size);
	ret->attr.flags |= pt_dax_attr(pt, found.id, name, &stx);
	if (unlikely(found.mount != dir->ino->mount) && S_ISDIR(stx.stx_mode) &&
	    pt_has(pt, FUSE_SUBMOUNTS))
		ret->attr.flags |= FUSE_ATTR_SUBMOUNT;
	return 0;
}

/* seccomp: openat */
int pt_reopen(struct pt *pt, const struct pt_node *node, int flags)
{
	const struct pt_fdname name = pt_fdname(node->pin.fd);
	int fd, r;

	if (node->ino->type != S_IFREG >> 12 && node->ino->type != S_IFDIR >> 12)
		return node->ino->type == S_IFLNK >> 12 ? -ELOOP : -ENXIO;
	r = fdcache_reserve(&pt->inodes.fds);
	if (r < 0)
		return r;
	/* Takes 0.6 of the time, but wants the right to search the directory, which opening it does not. */
	fd = node->ino->type == S_IFDIR >> 12 ? openat(node->pin.fd, ".", flags | O_CLOEXEC) : -1;
	if (fd < 0)
		fd = openat(pt->conf.proc_fd_fd, name.s, flags | O_CLOEXEC | O_NOCTTY);
	if (fd < 0 && errno == EPERM && flags & O_NOATIME)
		fd = openat(pt->conf.proc_fd_fd, name.s,
			    (flags & ~O_NOATIME) | O_CLOEXEC | O_NOCTTY);
	if (fd < 0) {
		r = errno == EMFILE ? -ENFILE : -errno;
		fdcache_release(&pt->inodes.fds);
		return r;
	}
	return fd;
}

int pt_open_flags(const struct pt *pt, uint32_t flags)
{
	int keep = O_ACCMODE | O_TRUNC | O_DSYNC | O_SYNC | O_LARGEFILE;

	/* Not O_APPEND: it comes with each WRITE. */
	if (pt->conf.direct_io)
		keep |= O_DIRECT;
	if (pt->conf.noatime)
		keep |= O_NOATIME;
	return (int)flags & keep;
}

uint32_t pt_fopen(const struct pt *pt, enum handle_kind kind)
{
	bool dir = kind == HANDLE_DIR;

	switch (pt->conf.cache) {
	case PT_CACHE_ALWAYS:
		return dir ? FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR : FOPEN_KEEP_CACHE;
	case PT_CACHE_METADATA:
		return dir ? FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR : FOPEN_DIRECT_IO;
	case PT_CACHE_NEVER:
		return dir ? 0 : FOPEN_DIRECT_IO;
	case PT_CACHE_AUTO:
		break;
	}
	return 0;
}

/* Add @flags, all or none of them. */
static int want_mode(struct fuse_init *init, enum pt_mode mode, uint64_t flags, const char *what)
{
	if (mode == PT_NEVER)
		return 0;
	if ((init->capable & flags) == flags) {
		init->want |= flags;
		return 0;
	}
	log_debug("the guest does not know %s", what);
	return mode == PT_ALWAYS ? -EPROTO : 0;
}

/* For ACLs the guest must leave the umask to us, and say when set-group-id falls with them. */
#define ACL_FLAGS (FUSE_POSIX_ACL | FUSE_DONT_MASK | FUSE_SETXATTR_EXT)

static bool caches_data(const struct pt *pt)
{
	return pt->conf.cache == PT_CACHE_AUTO || pt->conf.cache == PT_CACHE_ALWAYS;
}

static int pt_init(void *be, struct fuse_init *init)
{
	struct pt *pt = be;
	int r = want_mode(init, pt->conf.posix_acl, ACL_FLAGS, "POSIX ACLs");

	if (r == 0)
		r = want_mode(init, pt->conf.security_label, FUSE_SECURITY_CTX, "security labels");
	if (r)
		return r;

	/* With "always" the guest alone decides when data is stale. */
	if (pt->conf.cache == PT_CACHE_ALWAYS)
		init->want &= ~(uint64_t)FUSE_AUTO_INVAL_DATA;
	/* With "never", nothing that READDIRPLUS brings could be kept. */
	if (pt->conf.cache == PT_CACHE_NEVER || pt->conf.no_readdirplus)
		init->want &= ~(uint64_t)(FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO);
	if (pt->conf.announce_submounts)
		init->want |= FUSE_SUBMOUNTS;
	if (pt->conf.flock)
		init->want |= FUSE_FLOCK_LOCKS;
	if (pt->conf.posix_lock)
		init->want |= FUSE_POSIX_LOCKS;
	if (pt->conf.writeback && caches_data(pt))
		init->want |= FUSE_WRITEBACK_CACHE;
	if (pt->conf.mmap && !caches_data(pt))
		init->want |= FUSE_DIRECT_IO_ALLOW_MMAP;
	if (pt->conf.killpriv)
		init->want |= FUSE_HANDLE_KILLPRIV_V2;
	pt_dax_begin(pt, init);
	init->readonly = pt->conf.readonly;
	atomic_store(&pt->agreed, init->want & init->capable);
	return 0;
}

static void pt_destroy(void *be)
{
	struct pt *pt = be;

	handle_table_clear(&pt->handles);
	pt_lock_clear(pt);
	pt_dax_end(pt);
	inode_table_clear(&pt->inodes);
	atomic_store(&pt->agreed, 0);
}

/* seccomp: unshare 0==CLONE_FS, umask */
static int pt_thread_init(void *be)
{
	struct pt *pt = be;

	if (unshare(CLONE_FS) < 0)
		return -errno;
	umask(0);
	if (!pt->conf.in_proc && fchdir(pt->conf.proc_fd_fd) < 0)
		return -errno;
	return cred_thread_init(&pt->ids);
}

static void pt_forget(void *be, uint64_t nodeid, uint64_t nlookup)
{
	struct pt *pt = be;

	inode_forget(&pt->inodes, nodeid, nlookup);
	pt_lock_forget(pt, nodeid);
	pt_dax_forget(pt, nodeid);
}

const struct fuse_ops pt_ops = {
	.name = "passthrough",
	.init = pt_init,
	.destroy = pt_destroy,
	.thread_init = pt_thread_init,
	.rest = pt_rest,
	.forget = pt_forget,
	.lookup = pt_lookup,
	.getattr = pt_getattr,
	.statx = pt_statx,
	.setattr = pt_setattr,
	.readlink = pt_readlink,
	.symlink = pt_symlink,
	.mknod = pt_mknod,
	.mkdir = pt_mkdir,
	.unlink = pt_unlink,
	.rmdir = pt_rmdir,
	.rename = pt_rename,
	.link = pt_link,
	.open = pt_open,
	.create = pt_create,
	.tmpfile = pt_tmpfile,
	.read = pt_read,
	.write = pt_write,
	.flush = pt_flush,
	.release = pt_release,
	.fsync = pt_fsync,
	.fallocate = pt_fallocate,
	.lseek = pt_lseek,
	.copy_file_range = pt_copy_file_range,
	.getlk = pt_getlk,
	.setlk = pt_setlk,
	.interrupt = pt_interrupt,
	.setupmapping = pt_setupmapping,
	.removemapping = pt_removemapping,
	.opendir = pt_opendir,
	.readdir = pt_readdir,
	.releasedir = pt_releasedir,
	.fsyncdir = pt_fsyncdir,
	.statfs = pt_statfs,
	.syncfs = pt_syncfs,
	.access = pt_access,
	.setxattr = pt_setxattr,
	.getxattr = pt_getxattr,
	.listxattr = pt_listxattr,
	.removexattr = pt_removexattr,
	.ioctl = pt_ioctl,
};
