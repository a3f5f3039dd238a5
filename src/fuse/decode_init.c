// SPDX-License-Identifier: Apache-2.0
/* INIT, DESTROY, INTERRUPT and the two ways to FORGET: requests about the session itself. */
/*
 * Theory of operation
 *
 * INIT and DESTROY run on the control thread with the queues quiesced; they are the only writers of
 * what was agreed on. The rest runs on any queue's thread.
 *
 * INIT flags are a table: what we know how to speak at all, and what we ask for unless the backend
 * decides otherwise. The backend sees what the guest offers of the former and has the last word.
 */
#include <assert.h>
#include <errno.h>

#include "decode.h"
#include "log.h"
#include "util.h"

static_assert(sizeof(struct fuse_init_in) == 64, "fuse_init_in");
static_assert(sizeof(struct fuse_init_out) == 64, "fuse_init_out");
static_assert(sizeof(struct fuse_forget_one) == 16, "fuse_forget_one");

#define INIT_IN_SHORT 16u /* before FUSE_INIT_EXT */

struct init_flag {
	uint64_t flag;
	bool want;
};

/*
 * Not here, and so never agreed on:
 *
 * EXPORT_SUPPORT: the guest would look up "." and "..", which no backend gets to see.
 * SPLICE_*, ABORT_ERROR: are about /dev/fuse.
 * NO_OPEN_SUPPORT, NO_OPENDIR_SUPPORT, HAS_IOCTL_DIR, HAS_EXPIRE_ONLY: say what the guest can do;
 *	there is nothing to agree on.
 */
static const struct init_flag init_flags[] = {
	/* Reads of one file may be under way at once: there is no order among them that we keep. */
	{FUSE_ASYNC_READ, true},
	/* Else locks stay within the guest's kernel, which is quick: options of the backend's. */
	{FUSE_POSIX_LOCKS, false},
	{FUSE_FLOCK_LOCKS, false},
	/* O_TRUNC comes with OPEN instead of as a SETATTR before it: one request less. */
	{FUSE_ATOMIC_O_TRUNC, true},
	/* Ignored since Linux 4.20, and needed before for writes of more than a page. */
	{FUSE_BIG_WRITES, true},
	/* The guest applies the umask itself; with ACLs that is wrong: the backend's to add. */
	{FUSE_DONT_MASK, false},
	/* Pages go when size or mtime have changed; not with "always": the backend's to drop. */
	{FUSE_AUTO_INVAL_DATA, true},
	{FUSE_EXPLICIT_INVAL_DATA, false},
	/* Attributes with the names, where the guest sees that they are used. */
	{FUSE_DO_READDIRPLUS, true},
	{FUSE_READDIRPLUS_AUTO, true},
	/* Direct I/O larger than a request goes out as several at once. */
	{FUSE_ASYNC_DIO, true},
	/* Makes the guest own size and mtime: an option of the backend's. */
	{FUSE_WRITEBACK_CACHE, false},
	/* Lookups in one directory need not wait for each other: backends lock. */
	{FUSE_PARALLEL_DIROPS, true},
	/* Set-id bits are cleared by the guest unless the backend says that it sees to it. */
	{FUSE_HANDLE_KILLPRIV, false},
	{FUSE_HANDLE_KILLPRIV_V2, false},
	/* The guest checks ACLs: only with a backend that stores them. */
	{FUSE_POSIX_ACL, false},
	/* Requests of 1 MiB instead of 128 KiB. */
	{FUSE_MAX_PAGES, true},
	/* Targets are cut to st_size, which is 0 in some file systems: the backend's to know. */
	{FUSE_CACHE_SYMLINKS, false},
	/* Mount points of the host become mount points of the guest: an option of the backend's. */
	{FUSE_SUBMOUNTS, false},
	/* SETXATTR has room for flags. */
	{FUSE_SETXATTR_EXT, true},
	/* Flags above bit 31. */
	{FUSE_INIT_EXT, true},
	/* The one group of the caller that matters in a set-gid directory comes along. */
	{FUSE_CREATE_SUPP_GROUP, true},
	/* A security label comes with what is created: an option of the backend's. */
	{FUSE_SECURITY_CTX, false},
	/* Shared mappings of files opened with FOPEN_DIRECT_IO: an option of the backend's. */
	{FUSE_DIRECT_IO_ALLOW_MMAP, false},
	/* Files may be mapped into the DAX window: where there is one, and a backend that maps. */
	{FUSE_MAP_ALIGNMENT, false},
	/* Which of them, it is ours to say: an option of the backend's. */
	{FUSE_HAS_INODE_DAX, false},
};

/* Bytes of the arguments that the request must have, or a negative errno. */
static int check_version(const struct fuse_init_in *in, uint32_t body)
{
	if (in->major != FUSE_KERNEL_VERSION)
		return in->major < FUSE_KERNEL_VERSION ? -EPROTO : 0;
	if (body < INIT_IN_SHORT)
		return -EINVAL;
	if (in->minor < FUSE_ABI_MINOR_MIN)
		return -EPROTO;
	if (in->flags & FUSE_INIT_EXT && body < sizeof(*in))
		return -EINVAL;
	return 0;
}

static uint64_t offered(const struct fuse_init_in *in)
{
	uint64_t flags = in->flags;

	if (flags & FUSE_INIT_EXT)
		flags |= (uint64_t)in->flags2 << 32;
	return flags;
}

/* What the guest, we and the backend all speak; the backend's errno if it cannot start. */
static int negotiate(struct session *se, uint64_t flags, struct fuse_init *init)
{
	int err;

	*init = (struct fuse_init){
		.time_gran = 1,
		/* Requests in the background wait for queue entries, not for each other. */
		.max_background = UINT16_MAX,
		.congestion_threshold = UINT16_MAX / 4 * 3,
	};
	for (size_t i = 0; i < ARRAY_SIZE(init_flags); i++) {
		init->capable |= flags & init_flags[i].flag;
		if (init_flags[i].want)
			init->want |= flags & init_flags[i].flag;
	}
	if (flags & FUSE_MAP_ALIGNMENT && se->window && window_ready(se->window))
		init->window = se->window;
	else
		init->capable &= ~(uint64_t)(FUSE_MAP_ALIGNMENT | FUSE_HAS_INODE_DAX);
	err = se->ops->init ? se->ops->init(se->be, init) : 0;
	if (err)
		return err;
	init->want &= init->capable;
	if (!(init->want & FUSE_INIT_EXT))
		init->want &= UINT32_MAX;
	return 0;
}

void decode_init(struct request *req)
{
	struct session *se = req->se;
	struct fuse_init_out out = {.major = FUSE_KERNEL_VERSION, .minor = FUSE_ABI_MINOR};
	struct fuse_init_in in;
	struct fuse_init init;
	int err;

	decode_args(req, &in, sizeof(in));
	err = check_version(&in, decode_body(req));
	/* To a newer major version we say ours; it then asks again. */
	if (err || in.major > FUSE_KERNEL_VERSION) {
		decode_done(req, err, &out, sizeof(out));
		return;
	}

	session_end(se);
	err = negotiate(se, offered(&in), &init);
	if (err) {
		decode_done(req, err, NULL, 0);
		return;
	}
	out.minor = MIN(in.minor, (uint32_t)FUSE_ABI_MINOR);
	out.max_readahead = in.max_readahead;
	out.flags = (uint32_t)init.want;
	out.flags2 = (uint32_t)(init.want >> 32);
	out.max_background = init.max_background;
	out.congestion_threshold = init.congestion_threshold;
	out.max_write = se->write_limit;
	out.time_gran = init.time_gran;
	if (init.want & FUSE_MAX_PAGES)
		out.max_pages = (uint16_t)(se->write_limit / 4096);
	if (init.want & FUSE_MAP_ALIGNMENT)
		out.map_alignment = (uint16_t)__builtin_ctzll(window_align());

	atomic_store(&se->minor, out.minor);
	atomic_store(&se->flags, init.want);
	atomic_store(&se->max_write, out.max_write);
	atomic_store(&se->readonly, init.readonly);
	atomic_store(&se->active, true);
	log_debug("session of protocol 7.%u, flags %#llx", out.minor,
		  (unsigned long long)init.want);
	decode_done(req, 0, &out, sizeof(out));
}

void decode_destroy(struct request *req)
{
	/* Another queue's DESTROY may have come first. */
	int err = atomic_load(&req->se->active) ? 0 : -ENOTCONN;

	session_end(req->se);
	req_reply_err(req, err);
}

/*
 * A request that is waiting for something is marked, and its own answer is all that the guest gets.
 * Of one that is not there, the guest may have reordered the two, so it is told to try again: Linux
 * does while the request has no answer.
 */
void decode_interrupt(struct request *req)
{
	struct fuse_interrupt_in in;

	decode_args(req, &in, sizeof(in));
	if (session_interrupt(req->se, in.unique))
		req_reply_none(req);
	else
		req_reply_err(req, -EAGAIN);
}

void decode_forget(struct request *req)
{
	struct fuse_forget_in in;

	decode_args(req, &in, sizeof(in));
	req->se->ops->forget(req->se->be, req->hdr.nodeid, in.nlookup);
	req_reply_none(req);
}

/* All of the list is there, or none of it is believed. */
void decode_batch_forget(struct request *req)
{
	struct fuse_batch_forget_in in;
	struct fuse_forget_one one;

	decode_args(req, &in, sizeof(in));
	if (req->in.left / sizeof(one) >= in.count) {
		for (uint32_t i = 0; i < in.count; i++) {
			if (iov_read(&req->in, &one, sizeof(one)) != sizeof(one))
				break;
			req->se->ops->forget(req->se->be, one.nodeid, one.nlookup);
		}
	}
	req_reply_none(req);
}

/* NOTIFY_REPLY: an answer to a question that we never asked. */
void decode_ignore(struct request *req)
{
	req_reply_none(req);
}
