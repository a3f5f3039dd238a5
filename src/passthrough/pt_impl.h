/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the passthrough backend share among themselves. */
#ifndef CULVERT_PT_IMPL_H
#define CULVERT_PT_IMPL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "cred.h"
#include "handle.h"
#include "inode.h"
#include "pt.h"
#include "pt_lock.h"
#include "util.h"
#include "xattrmap.h"

/**
 * struct pt - a shared directory.
 * @conf:    as given; its descriptors are our own. Constant.
 * @valid:   seconds for which names and attributes may be cached. Constant.
 * @inodes, @handles: what the guest can name. They lock for themselves.
 * @locks:   what the guest has locked; locks for itself.
 * @capability: the host's name of security.capability where the map gives it another, so that the
 *           host's kernel does not know to remove it when a file changes; else empty. Constant.
 * @window:  the DAX window, where a session had one; set at INIT, with the queues quiesced.
 * @ids:     what all threads are between requests; constant.
 * @agreed:  INIT flags of the session. Written while the queues are quiesced.
 */
struct pt {
	struct pt_conf conf;
	uint64_t valid;
	char capability[XATTRMAP_NAME_SIZE];
	_Atomic uint64_t agreed;
	struct window *window;
	struct cred_ids ids;
	struct inode_table inodes;
	struct handle_table handles;
	struct pt_locks locks;
};

/**
 * struct pt_node - an inode in use with its O_PATH descriptor.
 *
 * `scoped_node struct pt_node dir = {0};` gives both back at the end of the block. @kept: it is the thread's,
 * and stays.
 */
struct pt_node {
	struct pt *pt;
	struct inode *ino;
	struct fdcache_pin pin;
	bool kept;
};

#define scoped_node __attribute__((cleanup(pt_node_put)))

/** pt_node_get() - by nodeid; 0, -ESTALE or another error of inode_open(). */
int pt_node_get(struct pt *pt, uint64_t nodeid, struct pt_node *ret);

/**
 * pt_node_use() - the same for the request that runs, by the one before if that was about the same inode.
 *
 * What it takes is left for the next one, if @req->keeps: then neither this nor pt_node_put() writes to what
 * threads share.
 */
int pt_node_use(const struct request *req, uint64_t nodeid, struct pt_node *ret);

/** pt_node_put() - accepts one that holds nothing. */
void pt_node_put(struct pt_node *node);

/** struct pt_file - a handle in use; `scoped_file struct pt_file f = {0};`. */
struct pt_file {
	struct pt *pt;
	struct handle_ref ref;
};

#define scoped_file __attribute__((cleanup(pt_file_put)))

/** pt_file_get() - by fh; 0 or -EBADF. */
int pt_file_get(struct pt *pt, uint64_t fh, uint64_t nodeid, enum handle_kind kind,
		struct pt_file *ret);

/** pt_file_use() - the same of a file, for the request that runs: as pt_node_use(). */
int pt_file_use(const struct request *req, uint64_t fh, uint64_t nodeid, struct pt_file *ret);

/** pt_file_put() - accepts one that holds nothing. */
void pt_file_put(struct pt_file *file);

/* A descriptor's name in /proc/self/fd. */
struct pt_fdname {
	char s[16];
};

/** pt_fdname() - where the thread's working directory or @pt->conf.proc_fd_fd is the base. */
struct pt_fdname pt_fdname(int fd);

/** pt_has() - whether INIT agreed on @flags. */
static inline bool pt_has(const struct pt *pt, uint64_t flags)
{
	return (atomic_load_explicit(&pt->agreed, memory_order_relaxed) & flags) == flags;
}

/**
 * pt_umask() - the caller's umask for what this thread creates next, if the guest leaves it to us.
 *
 * Returns whether there is something to take back with pt_umask_end(). No system call for 0.
 */
static inline bool pt_umask(const struct pt *pt, uint32_t mask)
{
	if (!(mask & 0777) || !pt_has(pt, FUSE_DONT_MASK))
		return false;
	umask(mask & 0777);
	return true;
}

/** pt_umask_end() - none again. */
static inline void pt_umask_end(bool masked)
{
	if (masked)
		umask(0);
}

/** pt_become() - cred_begin() as the caller, in the host's ids; -EPERM where it may be none of them. */
int pt_become(const struct request *req, struct cred *ret);

/** pt_kill() - cred_kill() for the caller. */
void pt_kill(const struct request *req, struct cred *ret);

/** pt_owner() - the owner that SETATTR sets, in the host's ids; 0 or -EPERM and nothing has changed. */
int pt_owner(const struct pt *pt, struct fuse_setattr_in *in);

/** pt_acl_translates() - the value of the host's attribute @name has ids in it, and there are rules. */
bool pt_acl_translates(const struct pt *pt, const char *name);

/**
 * pt_acl_to_host() - an ACL from the guest, in the host's ids.
 * @ret: @size bytes, to be freed; NULL if that is 0.
 *
 * Returns 0; -EPERM for an id that is forbidden; -EINVAL, -EOPNOTSUPP, -E2BIG for what is no ACL; -ENOMEM.
 */
int pt_acl_to_host(const struct pt *pt, const void *value, size_t size, void **ret);

/** pt_acl_to_guest() - an ACL from the host, in place. 0, or -EIO for what is no ACL. */
int pt_acl_to_guest(const struct pt *pt, void *value, size_t size);

/** pt_attr() - attributes in the wire's form. */
void pt_attr(const struct pt *pt, const struct statx *stx, struct fuse_attr *ret);

/** pt_attr_out() - the same of an inode, with how long they are valid. */
void pt_attr_out(struct pt *pt, uint64_t nodeid, const struct statx *stx,
		 struct fuse_attr_out *ret);

/**
 * pt_find() - LOOKUP of @name in @dir, or of what stands behind @fd if that is not negative.
 *
 * Counts a lookup. 0 or -errno. inode_lookup() says which system calls.
 */
int pt_find(struct pt *pt, const struct pt_node *dir, const char *name, int fd,
	    struct fuse_entry_out *ret);

/**
 * pt_reopen() - open(2) of an inode for use; regular files and directories only.
 * @flags: open(2) flags; O_CLOEXEC and O_NOCTTY are added.
 *
 * Within the budget: the caller calls fdcache_release() after closing it, or gives it to
 * handle_new(). One system call. Returns the descriptor or -errno.
 */
int pt_reopen(struct pt *pt, const struct pt_node *node, int flags);

/** pt_open_flags() - what of the guest's open flags the host gets. */
int pt_open_flags(const struct pt *pt, uint32_t flags);

/** pt_fopen() - FOPEN_* for a fresh handle, by the cache mode. */
uint32_t pt_fopen(const struct pt *pt, enum handle_kind kind);

/** pt_dax_begin() - a session begins: INIT's part of DAX. */
void pt_dax_begin(struct pt *pt, struct fuse_init *init);

/** pt_dax_end() - the session is over. */
void pt_dax_end(struct pt *pt);

/** pt_dax_forget() - the guest may have forgotten an inode. */
void pt_dax_forget(struct pt *pt, uint64_t nodeid);

/**
 * pt_dax_size() - the size that the guest may be told of: what is mapped is continued so far first.
 *
 * This and what follows: threads that may wait for the front-end where a file of it could grow; see
 * ROW_SIZE in fuse/decode.h.
 */
uint64_t pt_dax_size(struct pt *pt, uint64_t nodeid, uint64_t size);

/**
 * pt_dax_may_grow() - before a file is made to reach at least to @end.
 * @fd: of it, of any kind.
 *
 * 0, or -EIO where the guest would not see the new end in what it has mapped.
 */
int pt_dax_may_grow(struct pt *pt, uint64_t nodeid, int fd, uint64_t end);

/** pt_dax_grown() - and after it; 0, or -EIO where it does not see all of it. */
int pt_dax_grown(struct pt *pt, uint64_t nodeid, int fd);

/**
 * pt_dax_attr() - FUSE_ATTR_DAX, or 0.
 * @name: of the file, or NULL: that by which the inode is known.
 *
 * Threads that may wait, as above.
 */
uint32_t pt_dax_attr(struct pt *pt, uint64_t nodeid, const char *name, const struct statx *stx);

/** pt_xattr_init() - once @pt->conf is set. */
void pt_xattr_init(struct pt *pt);

/**
 * pt_label() - give what was created the label that came with the request.
 * @fd: open on it, O_PATH or not.
 *
 * Only where one came. Returns 0; -EINVAL for a name outside security.*; -EPERM, -EOPNOTSUPP or -ERANGE by
 * the map; -errno of setxattr(2). One system call.
 */
int pt_label(const struct request *req, int fd);

/** pt_label_failed() - remove (@dirfd, @name) if @fd is still open on what is there. */
void pt_label_failed(int dirfd, const char *name, int fd);

/* pt_changed() where there is something to do. */
void pt_capability_drop(const struct pt *pt, int fd);

/**
 * pt_changed() - the data or the owner of a file have changed: file capabilities go.
 * @fd: open on it, O_PATH or not.
 *
 * The host's kernel does that unless they have another name there. Else one system call.
 */
static inline void pt_changed(const struct pt *pt, int fd)
{
	if (unlikely(pt->capability[0]))
		pt_capability_drop(pt, fd);
}

/* Operations, by file. Contracts: struct fuse_ops. */
int pt_lookup(struct request *req, uint64_t parent, const char *name, struct fuse_entry_out *ret);
int pt_symlink(struct request *req, uint64_t parent, const char *name, const char *target,
	       struct fuse_entry_out *ret);
int pt_mknod(struct request *req, uint64_t parent, const char *name, const struct fuse_mknod_in *in,
	     struct fuse_entry_out *ret);
int pt_mkdir(struct request *req, uint64_t parent, const char *name, const struct fuse_mkdir_in *in,
	     struct fuse_entry_out *ret);
int pt_unlink(struct request *req, uint64_t parent, const char *name);
int pt_rmdir(struct request *req, uint64_t parent, const char *name);
int pt_rename(struct request *req, uint64_t parent, const char *name, uint64_t newparent,
	      const char *newname, uint32_t flags);
int pt_link(struct request *req, uint64_t nodeid, uint64_t newparent, const char *newname,
	    struct fuse_entry_out *ret);
ssize_t pt_readlink(struct request *req, uint64_t nodeid, char *buf, size_t size);

int pt_open(struct request *req, uint64_t nodeid, const struct fuse_open_in *in,
	    struct fuse_open_out *ret);
int pt_create(struct request *req, uint64_t parent, const char *name,
	      const struct fuse_create_in *in, struct fuse_entry_out *ret_entry,
	      struct fuse_open_out *ret_open);
int pt_tmpfile(struct request *req, uint64_t parent, const struct fuse_create_in *in,
	       struct fuse_entry_out *ret_entry, struct fuse_open_out *ret_open);

ssize_t pt_read(struct request *req, uint64_t nodeid, const struct fuse_read_in *in,
		struct iov_cursor *dst);
ssize_t pt_write(struct request *req, uint64_t nodeid, const struct fuse_write_in *in,
		 struct iov_cursor *src);
int pt_flush(struct request *req, uint64_t nodeid, const struct fuse_flush_in *in);
int pt_release(struct request *req, uint64_t nodeid, const struct fuse_release_in *in);
int pt_fsync(struct request *req, uint64_t nodeid, uint64_t fh, bool datasync);
int pt_fallocate(struct request *req, uint64_t nodeid, const struct fuse_fallocate_in *in);
int pt_lseek(struct request *req, uint64_t nodeid, const struct fuse_lseek_in *in,
	     uint64_t *ret_off);
ssize_t pt_copy_file_range(struct request *req, uint64_t nodeid,
			   const struct fuse_copy_file_range_in *in);

int pt_setupmapping(struct request *req, uint64_t nodeid, const struct fuse_setupmapping_in *in);
int pt_removemapping(struct request *req, const struct fuse_removemapping_one *one);

int pt_opendir(struct request *req, uint64_t nodeid, const struct fuse_open_in *in,
	       struct fuse_open_out *ret);
int pt_readdir(struct request *req, uint64_t nodeid, const struct fuse_read_in *in,
	       struct direntbuf *db);
int pt_releasedir(struct request *req, uint64_t nodeid, const struct fuse_release_in *in);
int pt_fsyncdir(struct request *req, uint64_t nodeid, uint64_t fh, bool datasync);

int pt_getattr(struct request *req, uint64_t nodeid, const uint64_t *fh, struct fuse_attr_out *ret);
int pt_statx(struct request *req, uint64_t nodeid, const uint64_t *fh, uint32_t flags,
	     uint32_t mask, struct fuse_statx_out *ret);
int pt_setattr(struct request *req, uint64_t nodeid, const struct fuse_setattr_in *in,
	       struct fuse_attr_out *ret);
int pt_statfs(struct request *req, uint64_t nodeid, struct fuse_kstatfs *ret);
int pt_syncfs(struct request *req, uint64_t nodeid);
int pt_access(struct request *req, uint64_t nodeid, uint32_t mask);

int pt_setxattr(struct request *req, uint64_t nodeid, const char *name, const void *value,
		size_t size, uint32_t flags, uint32_t setxattr_flags);
ssize_t pt_getxattr(struct request *req, uint64_t nodeid, const char *name, void *buf, size_t size);
ssize_t pt_listxattr(struct request *req, uint64_t nodeid, char *buf, size_t size);
int pt_removexattr(struct request *req, uint64_t nodeid, const char *name);
ssize_t pt_ioctl(struct request *req, uint64_t nodeid, const struct fuse_ioctl_in *in,
		 const void *data, void *ret);

#endif
