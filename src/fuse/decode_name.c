// SPDX-License-Identifier: Apache-2.0
/* Decoders of what looks up, makes, renames and removes names. */
/*
 * Theory of operation
 *
 * Names were checked by fuse_receive() and stand in the request, so they outlive a decoder that
 * leaves the request to its backend. Everything else here is a local copy, extensions and the label in
 * them too: they are gone when the operation returns. No locks, no state.
 */
#include <errno.h>
#include <limits.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/stat.h>

#include "decode.h"
#include "util.h"

static void reply_entry(struct request *req, int err, const struct fuse_entry_out *out)
{
	decode_done(req, err, out, sizeof(*out));
}

void decode_lookup(struct request *req)
{
	struct fuse_entry_out out = {0};
	int err = req->se->ops->lookup(req, req->hdr.nodeid, req->name[0], &out);

	reply_entry(req, err, &out);
}

/* A symlink's target, terminated, and the extensions behind it. */
static int take_target(struct request *req, char *target, struct decode_exts *exts)
{
	char buf[PATH_MAX + DECODE_EXT_MAX];
	uint32_t body = decode_body(req) - req->tail, ext, len;
	size_t have = decode_tail(req, buf, MIN(body, sizeof(buf)));

	ext = decode_ext_len(req, body - (uint32_t)MIN(strnlen(buf, have) + 1, body));
	if (ext > body || ext > sizeof(exts->bytes))
		return -EINVAL;
	/* The target ends in the first NUL, and what is behind it is an extension or a mistake. */
	len = body - ext;
	if (len > PATH_MAX)
		return -ENAMETOOLONG;
	if (have != body || !len || strnlen(buf, len) != len - 1)
		return -EINVAL;
	if (len == 1)
		return -ENOENT;
	memcpy(target, buf, len);
	memcpy(exts->bytes, buf + len, ext);
	return decode_ext(req, exts, ext);
}

void decode_symlink(struct request *req)
{
	struct fuse_entry_out out = {0};
	struct decode_exts exts;
	char target[PATH_MAX];
	int err = take_target(req, target, &exts);

	if (!err)
		err = req->se->ops->symlink(req, req->hdr.nodeid, req->name[0], target, &out);
	reply_entry(req, err, &out);
}

void decode_mknod(struct request *req)
{
	struct fuse_entry_out out = {0};
	struct fuse_mknod_in in;
	struct decode_exts exts;
	int err = decode_exts(req, &exts);

	if (err) {
		req_reply_err(req, err);
		return;
	}
	decode_args(req, &in, sizeof(in));
	switch (in.mode & S_IFMT) {
	case 0:
	case S_IFREG:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		err = req->se->ops->mknod(req, req->hdr.nodeid, req->name[0], &in, &out);
		break;
	case S_IFDIR:
		err = -EPERM;
		break;
	default:
		err = -EINVAL;
		break;
	}
	reply_entry(req, err, &out);
}

void decode_mkdir(struct request *req)
{
	struct fuse_entry_out out = {0};
	struct fuse_mkdir_in in;
	struct decode_exts exts;
	int err = decode_exts(req, &exts);

	decode_args(req, &in, sizeof(in));
	if (!err)
		err = req->se->ops->mkdir(req, req->hdr.nodeid, req->name[0], &in, &out);
	reply_entry(req, err, &out);
}

void decode_unlink(struct request *req)
{
	decode_done(req, req->se->ops->unlink(req, req->hdr.nodeid, req->name[0]), NULL, 0);
}

void decode_rmdir(struct request *req)
{
	decode_done(req, req->se->ops->rmdir(req, req->hdr.nodeid, req->name[0]), NULL, 0);
}

static void rename_to(struct request *req, uint64_t newparent, uint32_t flags)
{
	uint32_t known = RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT;
	int err;

	if (flags & ~known ||
	    (flags & RENAME_EXCHANGE && flags & (RENAME_NOREPLACE | RENAME_WHITEOUT)))
		err = -EINVAL;
	else
		err = req->se->ops->rename(req, req->hdr.nodeid, req->name[0], newparent,
					   req->name[1], flags);
	decode_done(req, err, NULL, 0);
}

void decode_rename(struct request *req)
{
	struct fuse_rename_in in;

	decode_args(req, &in, sizeof(in));
	rename_to(req, in.newdir, 0);
}

void decode_rename2(struct request *req)
{
	struct fuse_rename2_in in;

	decode_args(req, &in, sizeof(in));
	rename_to(req, in.newdir, in.flags);
}

void decode_link(struct request *req)
{
	struct fuse_entry_out out = {0};
	struct fuse_link_in in;
	int err;

	decode_args(req, &in, sizeof(in));
	err = req->se->ops->link(req, in.oldnodeid, req->hdr.nodeid, req->name[0], &out);
	reply_entry(req, err, &out);
}

static void take_create(struct request *req, struct fuse_create_in *ret_in)
{
	decode_args(req, ret_in, sizeof(*ret_in));
	ret_in->open_flags = decode_open_flags(req, ret_in->flags, ret_in->open_flags);
}

struct entry_open {
	struct fuse_entry_out entry;
	struct fuse_open_out open;
};

void decode_create(struct request *req)
{
	struct entry_open out = {0};
	struct fuse_create_in in;
	struct decode_exts exts;
	int err = decode_exts(req, &exts);

	take_create(req, &in);
	if (!err)
		err = req->se->ops->create(req, req->hdr.nodeid, req->name[0], &in, &out.entry,
					   &out.open);
	decode_done(req, err, &out, sizeof(out));
}

void decode_tmpfile(struct request *req)
{
	struct entry_open out = {0};
	struct fuse_create_in in;
	struct decode_exts exts;
	int err = decode_exts(req, &exts);

	take_create(req, &in);
	if (!err)
		err = req->se->ops->tmpfile(req, req->hdr.nodeid, &in, &out.entry, &out.open);
	decode_done(req, err, &out, sizeof(out));
}
