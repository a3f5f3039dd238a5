// SPDX-License-Identifier: Apache-2.0
/* Decoders of attributes, extended attributes and link targets. */
/*
 * Theory of operation
 *
 * Values of unbounded size go through a buffer of ours, because an operation wants them in one
 * piece: on the stack while they are small, as nearly all are, else on the heap and at most 64 KiB,
 * which is as much as Linux takes or gives. No locks, no state.
 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <linux/limits.h>
#include <linux/xattr.h>
#include <stdlib.h>

#include "decode.h"
#include "util.h"

#define NSEC        1000000000u
#define VALUE_SMALL 4096u /* bytes of a value that go on the stack */

static_assert(sizeof(struct fuse_statx_out) == 288, "fuse_statx_out");
static_assert(sizeof(struct fuse_attr_out) == 104, "fuse_attr_out");
static_assert(sizeof(struct fuse_setattr_in) == 88, "fuse_setattr_in");

void decode_getattr(struct request *req)
{
	struct fuse_attr_out out = {0};
	struct fuse_getattr_in in;
	const uint64_t *fh;
	int err;

	decode_args(req, &in, sizeof(in));
	fh = in.getattr_flags & FUSE_GETATTR_FH ? &in.fh : NULL;
	err = req->se->ops->getattr(req, req->hdr.nodeid, fh, &out);
	decode_done(req, err, &out, sizeof(out));
}

void decode_statx(struct request *req)
{
	struct fuse_statx_out out = {0};
	struct fuse_statx_in in;
	const uint64_t *fh;
	int err;

	decode_args(req, &in, sizeof(in));
	fh = in.getattr_flags & FUSE_GETATTR_FH ? &in.fh : NULL;
	err = req->se->ops->statx(req, req->hdr.nodeid, fh, in.sx_flags, in.sx_mask, &out);
	decode_done(req, err, &out, sizeof(out));
}

#define FATTR_KNOWN                                                                                \
	((uint32_t)(FATTR_MODE | FATTR_UID | FATTR_GID | FATTR_SIZE | FATTR_ATIME | FATTR_MTIME |  \
		    FATTR_FH | FATTR_ATIME_NOW | FATTR_MTIME_NOW | FATTR_LOCKOWNER | FATTR_CTIME | \
		    FATTR_KILL_SUIDGID))

/* Nanoseconds that mean something else to utimensat(2), and ids that mean none, stop here. */
static int check_setattr(const struct fuse_setattr_in *in)
{
	if (in->valid & FATTR_SIZE && in->size > INT64_MAX)
		return -EINVAL;
	if (in->valid & FATTR_ATIME && !(in->valid & FATTR_ATIME_NOW) && in->atimensec >= NSEC)
		return -EINVAL;
	if (in->valid & FATTR_MTIME && !(in->valid & FATTR_MTIME_NOW) && in->mtimensec >= NSEC)
		return -EINVAL;
	if (in->valid & FATTR_CTIME && in->ctimensec >= NSEC)
		return -EINVAL;
	if (in->valid & FATTR_UID && in->uid == (uint32_t)-1)
		return -EINVAL;
	if (in->valid & FATTR_GID && in->gid == (uint32_t)-1)
		return -EINVAL;
	return 0;
}

void decode_setattr(struct request *req)
{
	struct fuse_attr_out out = {0};
	struct fuse_setattr_in in;
	int err;

	decode_args(req, &in, sizeof(in));
	in.valid &= FATTR_KNOWN;
	err = check_setattr(&in);
	if (!err)
		err = req->se->ops->setattr(req, req->hdr.nodeid, &in, &out);
	decode_done(req, err, &out, sizeof(out));
}

/* Answer with the @len bytes at @buf that an operation was given @size bytes for. */
static void reply_value(struct request *req, ssize_t len, const void *buf, size_t size)
{
	if (len > (ssize_t)size)
		len = -EIO;
	if (len < 0)
		decode_done(req, (int)len, NULL, 0);
	else
		req_reply_buf(req, buf, (size_t)len);
}

void decode_readlink(struct request *req)
{
	char buf[PATH_MAX];
	size_t size = MIN(req_room(req), sizeof(buf));

	reply_value(req, req->se->ops->readlink(req, req->hdr.nodeid, buf, size), buf, size);
}

void decode_statfs(struct request *req)
{
	struct fuse_statfs_out out = {0};
	int err = req->se->ops->statfs(req, req->hdr.nodeid, &out.st);

	decode_done(req, err, &out, sizeof(out));
}

void decode_access(struct request *req)
{
	struct fuse_access_in in;

	decode_args(req, &in, sizeof(in));
	decode_done(req, req->se->ops->access(req, req->hdr.nodeid, in.mask), NULL, 0);
}

void decode_setxattr(struct request *req)
{
	struct fuse_setxattr_in in = {0};
	char small[VALUE_SMALL], *big = NULL, *value = small;
	bool ext = session_has(req->se, FUSE_SETXATTR_EXT);
	int err;

	decode_args(req, &in, ext ? sizeof(in) : FUSE_COMPAT_SETXATTR_IN_SIZE);
	if (in.size > XATTR_SIZE_MAX) {
		req_reply_err(req, -E2BIG);
		return;
	}
	if (in.size != decode_body(req) - req->tail ||
	    in.flags & ~(uint32_t)(XATTR_CREATE | XATTR_REPLACE)) {
		req_reply_err(req, -EINVAL);
		return;
	}
	if (in.size > sizeof(small)) {
		value = big = malloc(in.size);
		if (!big) {
			req_reply_err(req, -ENOMEM);
			return;
		}
	}
	if (decode_tail(req, value, in.size) != in.size)
		err = -EINVAL;
	else
		err = req->se->ops->setxattr(req, req->hdr.nodeid, req->name[0], value, in.size,
					     in.flags, in.setxattr_flags);
	free(big);
	decode_done(req, err, NULL, 0);
}

/* GETXATTR and LISTXATTR: a length when it is asked for with size 0, else the value. */
static void get_value(struct request *req, uint32_t asked)
{
	const struct fuse_ops *ops = req->se->ops;
	size_t size = MIN(MIN(req_room(req), asked), (size_t)XATTR_SIZE_MAX);
	struct fuse_getxattr_out out = {0};
	char small[VALUE_SMALL], *big = NULL, *value = small;
	ssize_t len;

	/* Room for nothing must not become the question for a length. */
	if (!size && (asked || req_room(req) < sizeof(out))) {
		req_reply_err(req, asked ? -ERANGE : -EIO);
		return;
	}
	if (size > sizeof(small)) {
		value = big = malloc(size);
		if (!big) {
			req_reply_err(req, -ENOMEM);
			return;
		}
	}
	if (req->name[0])
		len = ops->getxattr(req, req->hdr.nodeid, req->name[0], value, size);
	else
		len = ops->listxattr(req, req->hdr.nodeid, value, size);
	if (size) {
		reply_value(req, len, value, size);
	} else {
		if (len > 0)
			out.size = (uint32_t)len;
		decode_done(req, len < 0 ? (int)len : 0, &out, sizeof(out));
	}
	free(big);
}

void decode_getxattr(struct request *req)
{
	struct fuse_getxattr_in in;

	decode_args(req, &in, sizeof(in));
	get_value(req, in.size);
}

void decode_listxattr(struct request *req)
{
	decode_getxattr(req);
}

void decode_removexattr(struct request *req)
{
	decode_done(req, req->se->ops->removexattr(req, req->hdr.nodeid, req->name[0]), NULL, 0);
}

/* Whoever sends more than this means nothing that a backend knows. */
void decode_ioctl(struct request *req)
{
	struct {
		struct fuse_ioctl_out head;
		uint8_t data[FUSE_IOCTL_BUF];
	} out = {0};
	uint8_t data[FUSE_IOCTL_BUF];
	struct fuse_ioctl_in in;
	ssize_t n;

	decode_args(req, &in, sizeof(in));
	if (in.in_size > sizeof(data) || in.out_size > sizeof(out.data))
		n = -ENOTTY;
	else if (decode_body(req) - sizeof(in) != in.in_size ||
		 req_room(req) < sizeof(out.head) + in.out_size ||
		 iov_read(&req->in, data, in.in_size) != in.in_size)
		n = -EINVAL;
	else
		n = req->se->ops->ioctl(req, req->hdr.nodeid, &in, data, out.data);
	decode_done(req, n < 0 ? (int)n : 0, &out, sizeof(out.head) + (n < 0 ? 0 : (size_t)n));
}
