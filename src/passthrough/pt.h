/* SPDX-License-Identifier: Apache-2.0 */
/* The passthrough backend: a host directory, served through fuse_ops. */
#ifndef CULVERT_PT_H
#define CULVERT_PT_H

#include <stdbool.h>
#include <stdint.h>

#include "daxrule.h"
#include "idmap.h"
#include "ops.h"

enum pt_cache {
	PT_CACHE_AUTO,     /* timeout 1 s; data goes at each open, and when size or mtime change */
	PT_CACHE_ALWAYS,   /* timeout 1 day; data is kept */
	PT_CACHE_NEVER,    /* timeout 0, FOPEN_DIRECT_IO */
	PT_CACHE_METADATA, /* timeout 1 day for names and attributes, FOPEN_DIRECT_IO for data */
};

/* What to do about something that a guest may not understand. */
enum pt_mode {
	PT_NEVER,
	PT_AUTO,   /* where it does */
	PT_ALWAYS, /* a guest that does not is refused at INIT: EPROTO */
};

struct xattrmap;

enum pt_handles {
	PT_HANDLES_NEVER,     /* inodes are found again by their names */
	PT_HANDLES_PREFER,    /* by their file handles, where the daemon may and the host can */
	PT_HANDLES_MANDATORY, /* or else there is no share */
};

/**
 * struct pt_conf - how a directory is shared.
 * @root_fd:      O_PATH descriptor of the shared directory; duplicated.
 * @proc_fd_fd:   O_PATH directory descriptor of this process's /proc/self/fd, opened in this very
 *                process; duplicated. Threads that run requests stand in it.
 * @in_proc:      those that start one do, too: then it need not be changed.
 * @cache:        what the guest may cache.
 * @xattr:        extended attributes are passed through.
 * @xattrmap:     names of extended attributes on the host, or NULL: the guest's. Stays the caller's, and
 *                must live as long as the backend.
 * @posix_acl:    the guest sees, sets and obeys ACLs. Needs @xattr.
 * @security_label: what the guest creates gets the label that it sends. Needs @xattr.
 * @uids, @gids:  how the guest's ids become the host's and back; all zeroes: they are the same. The rules
 *                stay the caller's, and must live as long as the backend.
 * @readonly:     every change answers EROFS.
 * @announce_submounts: mount points are marked FUSE_ATTR_SUBMOUNT where the guest understands it.
 * @flock, @posix_lock: locks of this kind are the host's, where the guest understands it; else they
 *                stay within the guest.
 * @direct_io:    O_DIRECT of the guest's opens is the host's, too; else the host caches.
 * @mmap:         shared mappings of files that the guest does not cache, where it understands that.
 * @no_readdirplus: attributes never come with the names of a directory.
 * @writeback:    the guest may delay writes where it caches data at all (auto and always).
 * @noatime:      O_NOATIME of the guest's opens is kept, as far as the daemon may.
 * @killpriv:     clearing set-id bits is ours, where the guest understands that; else it does it.
 * @handles:      how inodes are opened again whose descriptors were closed.
 * @dax:          files that are for the DAX window, where there is one. The rules stay the caller's, and
 *                must live as long as the backend.
 * @max_inodes:   inodes remembered at most; 0 = 16 Mi. Beyond, a new one is ENOMEM to the guest.
 * @max_fds:      descriptors that inodes and handles may keep at most, 16 at least; 0 = RLIMIT_NOFILE
 *                less 256 (half of it, if that is less). Beyond, idle inodes are closed; when all are in
 *                use, what needs one more is ENFILE to the guest.
 * @max_handles:  files and directories open at most; 0 = @max_fds. Beyond, OPEN is ENFILE.
 * @pool_first:   where it is not known whether a READ would wait, it shall be taken as if it did.
 */
struct pt_conf {
	int root_fd;
	int proc_fd_fd;
	bool in_proc;
	enum pt_cache cache;
	bool xattr;
	const struct xattrmap *xattrmap;
	enum pt_mode posix_acl;
	enum pt_mode security_label;
	struct idmap uids;
	struct idmap gids;
	bool readonly;
	bool announce_submounts;
	bool flock;
	bool posix_lock;
	bool direct_io;
	bool mmap;
	bool no_readdirplus;
	bool writeback;
	bool noatime;
	bool killpriv;
	enum pt_handles handles;
	struct daxrules dax;
	uint32_t max_inodes;
	uint32_t max_fds;
	uint32_t max_handles;
	bool pool_first;
};

/**
 * pt_new() - a backend for pt_ops. Before any thread that runs requests.
 *
 * 0 or -errno; with PT_HANDLES_MANDATORY -EOPNOTSUPP when the file system has no handles that can be
 * opened, -ENOSYS when the kernel opens none, and -EPERM when this takes a capability that is missing.
 */
struct pt;
int pt_new(const struct pt_conf *conf, struct pt **ret);

/**
 * pt_keeps_open() - whether there are no file handles in the share, not even to know files by.
 *
 * Each inode that the guest remembers keeps a descriptor then, so they are as many as may be open.
 */
bool pt_keeps_open(struct pt *pt);

/** pt_free() - close and free everything. No request may be running. Accepts NULL. */
void pt_free(struct pt *pt);

/** pt_ops - the operations; their backend pointer is a struct pt. */
extern const struct fuse_ops pt_ops;

/**
 * struct pt_stats - figures for logs and tests. Reading them takes no lock.
 * @inodes:  inodes remembered.
 * @handles: open files and directories.
 * @fds:     descriptors kept by both.
 */
struct pt_stats {
	uint32_t inodes;
	uint32_t handles;
	uint32_t fds;
};

/** pt_stats() - the figures of now. */
void pt_stats(const struct pt *pt, struct pt_stats *ret);

#endif
