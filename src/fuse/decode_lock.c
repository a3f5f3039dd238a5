// SPDX-License-Identifier: Apache-2.0
/* Decoders of locks: GETLK, SETLK, SETLKW. */
/*
 * Theory of operation
 *
 * Locks are the guest's own business unless INIT has handed them to us, byte ranges and flock(2)
 * apart; what was not handed out answers ENOSYS. Types and ranges are checked as fcntl(2) does, so
 * a backend gets ranges that fit its off_t. No locks of our own, no state.
 */
#include <errno.h>
#include <fcntl.h>

#include "decode.h"

static int take_lk(struct request *req, struct fuse_lk_in *ret_in)
{
	decode_args(req, ret_in, sizeof(*ret_in));
	if (!session_has(req->se,
			 ret_in->lk_flags & FUSE_LK_FLOCK ? FUSE_FLOCK_LOCKS : FUSE_POSIX_LOCKS))
		return -ENOSYS;
	if (ret_in->lk_flags & ~FUSE_LK_FLOCK)
		return -EINVAL;
	switch (ret_in->lk.type) {
	case F_RDLCK:
	case F_WRLCK:
	case F_UNLCK:
		break;
	default:
		return -EINVAL;
	}
	if (ret_in->lk_flags & FUSE_LK_FLOCK)
		return 0;
	if (ret_in->lk.start > INT64_MAX || ret_in->lk.end > INT64_MAX ||
	    ret_in->lk.start > ret_in->lk.end)
		return -EINVAL;
	return 0;
}

void decode_getlk(struct request *req)
{
	struct fuse_lk_out out = {0};
	struct fuse_lk_in in;
	int err = take_lk(req, &in);

	if (err == 0 && (in.lk_flags & FUSE_LK_FLOCK || in.lk.type == F_UNLCK))
		err = -EINVAL;
	if (err == 0)
		err = req->se->ops->getlk(req, req->hdr.nodeid, &in, &out.lk);
	decode_done(req, err, &out, sizeof(out));
}

static void setlk(struct request *req, bool wait)
{
	struct fuse_lk_in in;
	int err = take_lk(req, &in);

	if (err == 0)
		err = req->se->ops->setlk(req, req->hdr.nodeid, &in, wait);
	decode_done(req, err, NULL, 0);
}

void decode_setlk(struct request *req)
{
	setlk(req, false);
}

void decode_setlkw(struct request *req)
{
	setlk(req, true);
}
