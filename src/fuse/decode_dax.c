// SPDX-License-Identifier: Apache-2.0
/* Decoders of what puts files into the DAX window and takes them out. */
/*
 * Theory of operation
 *
 * Every range is held against the window, and against the largest file that there can be, before the
 * backend sees it. A list of ranges to remove goes on behind one that is wrong or fails, as Linux uses all
 * of them again whatever the answer. No locks, no state.
 */
#include <assert.h>
#include <errno.h>

#include "decode.h"
#include "util.h"
#include "window.h"

/* Linux sends as many as fit in a page, and the largest page that there is has 64 KiB. */
#define REMOVE_MAX 4096u

#define SETUP_FLAGS (FUSE_SETUPMAPPING_FLAG_READ | FUSE_SETUPMAPPING_FLAG_WRITE)

static_assert(sizeof(struct fuse_setupmapping_in) == 40, "fuse_setupmapping_in");
static_assert(sizeof(struct fuse_removemapping_in) == 4, "fuse_removemapping_in");
static_assert(sizeof(struct fuse_removemapping_one) == 16, "fuse_removemapping_one");

static int check_setup(const struct request *req, const struct fuse_setupmapping_in *in)
{
	if (!session_has(req->se, FUSE_MAP_ALIGNMENT))
		return -ENOSYS;
	if (!in->flags || in->flags & ~(uint64_t)SETUP_FLAGS)
		return -EINVAL;
	if (in->flags & FUSE_SETUPMAPPING_FLAG_WRITE &&
	    atomic_load_explicit(&req->se->readonly, memory_order_relaxed))
		return -EROFS;
	if (!window_holds(req->se->window, in->moffset, in->len) || in->foffset % window_align() ||
	    in->foffset > INT64_MAX - in->len)
		return -EINVAL;
	return 0;
}

void decode_setupmapping(struct request *req)
{
	struct fuse_setupmapping_in in;
	int err;

	decode_args(req, &in, sizeof(in));
	err = check_setup(req, &in);
	if (!err)
		err = req->se->ops->setupmapping(req, req->hdr.nodeid, &in);
	decode_done(req, err, NULL, 0);
}

static int remove_one(struct request *req)
{
	struct fuse_removemapping_one one;

	iov_read(&req->in, &one, sizeof(one));
	if (!window_holds(req->se->window, one.moffset, one.len))
		return -EINVAL;
	return req->se->ops->removemapping(req, &one);
}

static int remove_all(struct request *req, uint32_t count)
{
	int err = 0;

	for (uint32_t i = 0; i < count; i++) {
		int r = remove_one(req);

		err = err ? err : r;
	}
	return err;
}

void decode_removemapping(struct request *req)
{
	struct fuse_removemapping_in in;
	int err;

	decode_args(req, &in, sizeof(in));
	if (!session_has(req->se, FUSE_MAP_ALIGNMENT))
		err = -ENOSYS;
	else if (!in.count || in.count > REMOVE_MAX ||
		 in.count > req->in.left / sizeof(struct fuse_removemapping_one))
		err = -EINVAL;
	else
		err = remove_all(req, in.count);
	decode_done(req, err, NULL, 0);
}
