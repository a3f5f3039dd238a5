// SPDX-License-Identifier: Apache-2.0
/* Decoders of what happens on open files and directories. */
/*
 * Theory of operation
 *
 * Data is never copied here: READ hands the backend a cursor at the reply's payload, WRITE one at
 * what the guest sent, READDIR a buffer that writes entries into the reply. Offsets are unsigned on
 * the wire and signed in every system call, so they are checked here with the errno that the call
 * would give. No locks, no state.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "decode.h"
#include "util.h"

#define READDIR_MAX (1u << 20)  /* bytes of one READDIR */
#define COPY_MAX    0x7ffff000u /* what one system call moves; the answer has 32 bits */

static void take_open(struct request *req, struct fuse_open_in *ret_in)
{
	decode_args(req, ret_in, sizeof(*ret_in));
	ret_in->open_flags = decode_open_flags(req, ret_in->flags, ret_in->open_flags);
}

void decode_open(struct request *req)
{
	struct fuse_open_out out = {0};
	struct fuse_open_in in;
	int err = -EROFS;

	take_open(req, &in);
	if (!atomic_load_explicit(&req->se->readonly, memory_order_relaxed) ||
	    ((in.flags & O_ACCMODE) == O_RDONLY && !(in.flags & O_TRUNC)))
		err = req->se->ops->open(req, req->hdr.nodeid, &in, &out);
	decode_done(req, err, &out, sizeof(out));
}

void decode_opendir(struct request *req)
{
	struct fuse_open_out out = {0};
	struct fuse_open_in in;
	int err;

	take_open(req, &in);
	err = req->se->ops->opendir(req, req->hdr.nodeid, &in, &out);
	decode_done(req, err, &out, sizeof(out));
}

/*
 * A short answer means the end of the file to the guest, so the size is cut only to what there is
 * room for, and to the largest offset there can be.
 */
void decode_read(struct request *req)
{
	struct iov_cursor dst = req_payload(req);
	struct fuse_read_in in;
	ssize_t n;

	decode_args(req, &in, sizeof(in));
	if (in.offset > INT64_MAX) {
		req_reply_err(req, -EINVAL);
		return;
	}
	in.size = (uint32_t)MIN(MIN((uint64_t)in.size, dst.left), INT64_MAX - in.offset);
	iov_truncate(&dst, in.size);
	n = req->se->ops->read(req, req->hdr.nodeid, &in, &dst);
	if (n > (ssize_t)in.size)
		n = -EIO;
	if (n < 0)
		decode_done(req, (int)n, NULL, 0);
	else
		req_reply_data(req, (size_t)n);
}

static void reply_size(struct request *req, ssize_t n)
{
	struct fuse_write_out out = {0};

	if (n > 0)
		out.size = (uint32_t)n;
	decode_done(req, n < 0 ? (int)n : 0, &out, sizeof(out));
}

static int check_write(struct request *req, const struct fuse_write_in *in)
{
	if (in->size != req->in.left)
		return -EINVAL;
	if (in->size > atomic_load_explicit(&req->se->max_write, memory_order_relaxed))
		return -EINVAL;
	if (in->offset > INT64_MAX)
		return -EINVAL;
	if (in->size > INT64_MAX - in->offset)
		return -EFBIG;
	return 0;
}

void decode_write(struct request *req)
{
	struct fuse_write_in in;
	ssize_t n;

	decode_args(req, &in, sizeof(in));
	n = check_write(req, &in);
	if (!n)
		n = req->se->ops->write(req, req->hdr.nodeid, &in, &req->in);
	reply_size(req, n);
}

void decode_flush(struct request *req)
{
	struct fuse_flush_in in;

	decode_args(req, &in, sizeof(in));
	decode_done(req, req->se->ops->flush(req, req->hdr.nodeid, &in), NULL, 0);
}

void decode_release(struct request *req)
{
	struct fuse_release_in in;

	decode_args(req, &in, sizeof(in));
	decode_done(req, req->se->ops->release(req, req->hdr.nodeid, &in), NULL, 0);
}

void decode_releasedir(struct request *req)
{
	struct fuse_release_in in;

	decode_args(req, &in, sizeof(in));
	decode_done(req, req->se->ops->releasedir(req, req->hdr.nodeid, &in), NULL, 0);
}

void decode_fsync(struct request *req)
{
	struct fuse_fsync_in in;

	decode_args(req, &in, sizeof(in));
	decode_done(req,
		    req->se->ops->fsync(req, req->hdr.nodeid, in.fh,
					in.fsync_flags & FUSE_FSYNC_FDATASYNC),
		    NULL, 0);
}

void decode_fsyncdir(struct request *req)
{
	struct fuse_fsync_in in;

	decode_args(req, &in, sizeof(in));
	decode_done(req,
		    req->se->ops->fsyncdir(req, req->hdr.nodeid, in.fh,
					   in.fsync_flags & FUSE_FSYNC_FDATASYNC),
		    NULL, 0);
}

void decode_syncfs(struct request *req)
{
	decode_done(req, req->se->ops->syncfs(req, req->hdr.nodeid), NULL, 0);
}

static void read_dir(struct request *req, bool plus)
{
	struct direntbuf db = {.dst = req_payload(req), .plus = plus};
	struct fuse_read_in in;
	int err;

	decode_args(req, &in, sizeof(in));
	if (in.offset > INT64_MAX) {
		req_reply_err(req, -EINVAL);
		return;
	}
	in.size = MIN(MIN(in.size, READDIR_MAX), (uint32_t)db.dst.left);
	db.left = in.size;
	err = req->se->ops->readdir(req, req->hdr.nodeid, &in, &db);
	if (err)
		decode_done(req, err, NULL, 0);
	else
		req_reply_data(req, db.used);
}

void decode_readdir(struct request *req)
{
	read_dir(req, false);
}

void decode_readdirplus(struct request *req)
{
	read_dir(req, true);
}

void decode_fallocate(struct request *req)
{
	struct fuse_fallocate_in in;
	int err;

	decode_args(req, &in, sizeof(in));
	if (in.offset > INT64_MAX || in.length > INT64_MAX || !in.length)
		err = -EINVAL;
	else if (in.length > INT64_MAX - in.offset)
		err = -EFBIG;
	else
		err = req->se->ops->fallocate(req, req->hdr.nodeid, &in);
	decode_done(req, err, NULL, 0);
}

/* Of the positions that lseek(2) knows only these are not the guest's own business. */
void decode_lseek(struct request *req)
{
	struct fuse_lseek_out out = {0};
	struct fuse_lseek_in in;
	int err = -EINVAL;

	decode_args(req, &in, sizeof(in));
	if (in.whence == SEEK_DATA || in.whence == SEEK_HOLE) {
		if (in.offset > INT64_MAX)
			err = -ENXIO;
		else
			err = req->se->ops->lseek(req, req->hdr.nodeid, &in, &out.offset);
	}
	decode_done(req, err, &out, sizeof(out));
}

void decode_copy_file_range(struct request *req)
{
	struct fuse_copy_file_range_in in;
	ssize_t n;

	decode_args(req, &in, sizeof(in));
	if (in.flags || in.off_in > INT64_MAX || in.off_out > INT64_MAX) {
		n = -EINVAL;
	} else if (in.len > INT64_MAX - in.off_in || in.len > INT64_MAX - in.off_out) {
		n = -EOVERFLOW;
	} else {
		in.len = MIN(in.len, (uint64_t)COPY_MAX);
		n = req->se->ops->copy_file_range(req, req->hdr.nodeid, &in);
	}
	reply_size(req, n);
}
