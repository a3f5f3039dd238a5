/* SPDX-License-Identifier: Apache-2.0 */
/* What a storage backend provides. */
#ifndef CULVERT_OPS_H
#define CULVERT_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "direntbuf.h"
#include "fuse_abi.h"
#include "request.h"
#include "window.h"

/**
 * struct fuse_init - INIT, between the session and the backend.
 * @capable: flags that the guest offers and the session knows how to speak.
 * @want:    in: what the session would agree on; out: what the backend wants. Bits outside @capable
 *           are dropped.
 * @window:  the DAX window, where the guest has one and the front-end can map into it; else NULL. Stays
 *           for as long as the backend.
 * @readonly: nothing may be changed: the session answers EROFS before it calls the backend (out, false).
 * @time_gran: granularity of timestamps in ns (out, 1).
 * @max_background, @congestion_threshold: as in fuse_init_out (out, preset).
 */
struct fuse_init {
	uint64_t capable;
	uint64_t want;
	struct window *window;
	bool readonly;
	uint32_t time_gran;
	uint16_t max_background;
	uint16_t congestion_threshold;
};

/* Bytes that an IOCTL carries each way at most. */
#define FUSE_IOCTL_BUF 64u

/**
 * struct fuse_ops - a backend.
 *
 * Common to all: @req carries the caller (req->hdr.uid, .gid, .pid, req->supp_gid) and reaches the
 * backend by req_backend(). A negative errno is the guest's error; 0 is success with the outputs filled;
 * functions that return ssize_t give a length. Outputs are zeroed before the call. Any of them that
 * takes a request may instead return REQ_PENDING and later call req_reply_*() itself; structures, names
 * and buffers that it was handed are gone by then, but for those in @req itself. With @req->no_wait it
 * may return REQ_WOULD_WAIT. A NULL entry answers ENOSYS: the guest's kernel then never asks again.
 *
 * With FUSE_SECURITY_CTX, what is created has the label @req->label, or does not come to be. With
 * FUSE_DONT_MASK, in->umask is the backend's to apply, unless a default ACL stands in its place.
 *
 * Names are one component: 1 to NAME_MAX bytes, no '/', neither "." nor "..", terminated. Ids come
 * unchecked from the guest: an unknown nodeid is -ESTALE, a handle that is unknown, of another node or
 * of another kind is -EBADF. There is room in the reply for everything that the operation can return.
 *
 * Calls come from any queue or pool thread, at once, in any order; the backend locks. A successful
 * lookup, mknod, mkdir, symlink, link, create, tmpfile, and each READDIRPLUS entry with a nodeid counts
 * one lookup on the node, which forget takes back.
 */
struct fuse_ops {
	const char *name;

	/* Once per session, queues quiesced. The root (FUSE_ROOT_ID) exists from then on. */
	int (*init)(void *be, struct fuse_init *init);
	/* The session is over: forget all nodes and handles; those in use go with their last user. */
	void (*destroy)(void *be);
	/* A thread is going to run requests: its own cwd, umask, groups… 0 or -errno. */
	int (*thread_init)(void *be);
	/*
	 * It runs none for now: what requests with @keeps have left to the next one goes. Called before a
	 * request without, too.
	 */
	void (*rest)(void *be);

	void (*forget)(void *be, uint64_t nodeid, uint64_t nlookup);
	int (*lookup)(struct request *req, uint64_t parent, const char *name,
		      struct fuse_entry_out *ret);
	/* @fh: a handle of the node, or NULL. */
	int (*getattr)(struct request *req, uint64_t nodeid, const uint64_t *fh,
		       struct fuse_attr_out *ret);
	int (*statx)(struct request *req, uint64_t nodeid, const uint64_t *fh, uint32_t flags,
		     uint32_t mask, struct fuse_statx_out *ret);
	/* in->valid has only bits that the protocol knows. */
	int (*setattr)(struct request *req, uint64_t nodeid, const struct fuse_setattr_in *in,
		       struct fuse_attr_out *ret);
	/* Length of the target; at most @size. */
	ssize_t (*readlink)(struct request *req, uint64_t nodeid, char *buf, size_t size);
	int (*symlink)(struct request *req, uint64_t parent, const char *name, const char *target,
		       struct fuse_entry_out *ret);
	int (*mknod)(struct request *req, uint64_t parent, const char *name,
		     const struct fuse_mknod_in *in, struct fuse_entry_out *ret);
	int (*mkdir)(struct request *req, uint64_t parent, const char *name,
		     const struct fuse_mkdir_in *in, struct fuse_entry_out *ret);
	int (*unlink)(struct request *req, uint64_t parent, const char *name);
	int (*rmdir)(struct request *req, uint64_t parent, const char *name);
	/* @flags: RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT. */
	int (*rename)(struct request *req, uint64_t parent, const char *name, uint64_t newparent,
		      const char *newname, uint32_t flags);
	int (*link)(struct request *req, uint64_t nodeid, uint64_t newparent, const char *newname,
		    struct fuse_entry_out *ret);

	int (*open)(struct request *req, uint64_t nodeid, const struct fuse_open_in *in,
		    struct fuse_open_out *ret);
	int (*create)(struct request *req, uint64_t parent, const char *name,
		      const struct fuse_create_in *in, struct fuse_entry_out *ret_entry,
		      struct fuse_open_out *ret_open);
	int (*tmpfile)(struct request *req, uint64_t parent, const struct fuse_create_in *in,
		       struct fuse_entry_out *ret_entry, struct fuse_open_out *ret_open);
	/* Up to @size bytes at @off into @dst; the bytes read. @in for flags and lock owner. */
	ssize_t (*read)(struct request *req, uint64_t nodeid, const struct fuse_read_in *in,
			struct iov_cursor *dst);
	/* in->size bytes from @src, which holds exactly as many; the bytes written. */
	ssize_t (*write)(struct request *req, uint64_t nodeid, const struct fuse_write_in *in,
			 struct iov_cursor *src);
	int (*flush)(struct request *req, uint64_t nodeid, const struct fuse_flush_in *in);
	int (*release)(struct request *req, uint64_t nodeid, const struct fuse_release_in *in);
	int (*fsync)(struct request *req, uint64_t nodeid, uint64_t fh, bool datasync);
	int (*fallocate)(struct request *req, uint64_t nodeid, const struct fuse_fallocate_in *in);
	int (*lseek)(struct request *req, uint64_t nodeid, const struct fuse_lseek_in *in,
		     uint64_t *ret_off);
	/* The bytes copied. */
	ssize_t (*copy_file_range)(struct request *req, uint64_t nodeid,
				   const struct fuse_copy_file_range_in *in);

	int (*opendir)(struct request *req, uint64_t nodeid, const struct fuse_open_in *in,
		       struct fuse_open_out *ret);
	/* Fill @db from offset in->offset on; 0 with an empty buffer is the end. */
	int (*readdir)(struct request *req, uint64_t nodeid, const struct fuse_read_in *in,
		       struct direntbuf *db);
	int (*releasedir)(struct request *req, uint64_t nodeid, const struct fuse_release_in *in);
	int (*fsyncdir)(struct request *req, uint64_t nodeid, uint64_t fh, bool datasync);

	/*
	 * Locks, where INIT agreed on them: of byte ranges by in->owner (FUSE_POSIX_LOCKS), and with
	 * FUSE_LK_FLOCK in in->lk_flags of the whole file by in->fh (FUSE_FLOCK_LOCKS; setlk only). Type
	 * and range are checked; both ends are included, INT64_MAX is the end of the file whatever its
	 * size. getlk: @ret is the first lock in the way (pid 0: of nobody in the guest), or has the type
	 * F_UNLCK. setlk is -EAGAIN where the lock is taken; with @wait it is REQ_PENDING then, and answered
	 * when granted, or soon after ->interrupt. FLUSH ends what its lock_owner has in the file,
	 * RELEASE what came by the handle.
	 */
	int (*getlk)(struct request *req, uint64_t nodeid, const struct fuse_lk_in *in,
		     struct fuse_file_lock *ret);
	int (*setlk)(struct request *req, uint64_t nodeid, const struct fuse_lk_in *in, bool wait);
	/*
	 * req->interrupted was set: if it waits (REQ_PENDING), answer it soon. Called under the session's
	 * lock for any request that is pending, on any thread: it must not sleep nor answer itself.
	 */
	void (*interrupt)(void *be, const struct request *req);

	/*
	 * Where INIT agreed on FUSE_MAP_ALIGNMENT. in->foffset and in->len are within what a file can be,
	 * the range in the window is one that window_holds(). in->fh means nothing: Linux sends none. Called
	 * by threads that may wait for the front-end.
	 */
	int (*setupmapping)(struct request *req, uint64_t nodeid,
			    const struct fuse_setupmapping_in *in);
	int (*removemapping)(struct request *req, const struct fuse_removemapping_one *one);

	int (*statfs)(struct request *req, uint64_t nodeid, struct fuse_kstatfs *ret);
	int (*syncfs)(struct request *req, uint64_t nodeid);
	int (*access)(struct request *req, uint64_t nodeid, uint32_t mask);

	/* @flags: XATTR_CREATE, XATTR_REPLACE; @setxattr_flags: FUSE_SETXATTR_ACL_KILL_SGID. */
	int (*setxattr)(struct request *req, uint64_t nodeid, const char *name, const void *value,
			size_t size, uint32_t flags, uint32_t setxattr_flags);
	/* @size 0 asks for the length; else the value goes to @buf, -ERANGE if it is longer. */
	ssize_t (*getxattr)(struct request *req, uint64_t nodeid, const char *name, void *buf,
			    size_t size);
	ssize_t (*listxattr)(struct request *req, uint64_t nodeid, char *buf, size_t size);
	int (*removexattr)(struct request *req, uint64_t nodeid, const char *name);

	/*
	 * in->cmd on in->fh: in->in_size bytes come in @data, at most in->out_size go to @ret; how many.
	 * Both are at most FUSE_IOCTL_BUF. -ENOTTY for what is not known.
	 */
	ssize_t (*ioctl)(struct request *req, uint64_t nodeid, const struct fuse_ioctl_in *in,
			 const void *data, void *ret);
};

#endif
