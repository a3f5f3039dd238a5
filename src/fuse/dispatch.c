// SPDX-License-Identifier: Apache-2.0
/* From bytes to a backend operation: the opcode table and what is common to all opcodes. */
/*
 * Theory of operation
 *
 * fuse_receive() does on the queue's thread all that can be said of a request without the backend,
 * in this order: header whole and as long as what the guest sent; opcode known and served; session
 * begun; share not read-only; arguments and names well formed; room for the reply. Only then does it
 * say where the request is to run, and fuse_dispatch() calls the row's decoder there, which looks at
 * the rest before it calls the backend. So nothing that could change something is begun whose outcome
 * could not be told.
 *
 * Guest memory is read once: the header into @hdr, arguments and names into @body. What is left in
 * @in is data, which goes to the backend as a cursor (WRITE) or is copied once by the decoder
 * (targets, extensions, attribute values, BATCH_FORGET's list).
 *
 * A row is all that there is to know of an opcode; adding one is a line here and a decoder in
 * decode_*.c. There are no locks here; what is shared is the session's, see session.c.
 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <linux/limits.h>
#include <string.h>

#include "decode.h"
#include "log.h"
#include "util.h"

#define IN_HDR ((uint32_t)sizeof(struct fuse_in_header))

static_assert(sizeof(struct fuse_in_header) == 40, "fuse_in_header");

/*
 * The table: opcode, bytes of fixed arguments, names, bytes of the reply, where it runs, flags,
 * operation, decoder. What has no decoder answers ENOSYS: BMAP is for block devices, POLL then takes
 * every file as ready. INIT asks for its first 8 bytes, as a newer major version may have changed the
 * rest.
 */
#define IN(type)      sizeof(struct fuse_##type##_in)
#define OUT(type)     sizeof(struct fuse_##type##_out)
#define ENTRY_OPEN    (OUT(entry) + OUT(open))
#define EARLY         ROW_EARLY
#define NO_REPLY      ROW_NO_REPLY
#define GROWING       ROW_GROWING
#define ROOM_OPTIONAL ROW_ROOM_OPTIONAL
#define CHANGES       ROW_CHANGES
#define CREATES       (ROW_CHANGES | ROW_EXT | ROW_SIZE)
#define TAIL          ROW_TAIL
#define SIZE          ROW_SIZE
#define KEEPS         ROW_KEEPS
#define XATTR_NAME    ROW_XATTR_NAME
#define NAME_UNUSED   ROW_NAME_UNUSED
#define NONE          name /* the member of struct fuse_ops that is no operation; it has offset 0 */
#define decode_NONE   NULL

static_assert(offsetof(struct fuse_ops, NONE) == 0, "NONE");

// clang-format off
#define ROWS(X) \
	X(LOOKUP,          0,                   1, OUT(entry), INLINE,    SIZE | KEEPS, \
	  lookup, lookup) \
	X(FORGET,          IN(forget),          0, 0,          INLINE,    NO_REPLY, \
	  forget, forget) \
	X(GETATTR,         IN(getattr),         0, OUT(attr),  INLINE,    SIZE, \
	  getattr, getattr) \
	X(SETATTR,         IN(setattr),         0, OUT(attr),  MAY_BLOCK, CHANGES | SIZE, \
	  setattr, setattr) \
	X(READLINK,        0,                   0, 0,          INLINE,    0, readlink, readlink) \
	X(SYMLINK,         0,                   1, OUT(entry), MAY_BLOCK, CREATES | TAIL, \
	  symlink, symlink) \
	X(MKNOD,           IN(mknod),           1, OUT(entry), MAY_BLOCK, CREATES, mknod, mknod) \
	X(MKDIR,           IN(mkdir),           1, OUT(entry), MAY_BLOCK, CREATES, mkdir, mkdir) \
	X(UNLINK,          0,                   1, 0,          MAY_BLOCK, CHANGES, unlink, unlink) \
	X(RMDIR,           0,                   1, 0,          MAY_BLOCK, CHANGES, rmdir, rmdir) \
	X(RENAME,          IN(rename),          2, 0,          MAY_BLOCK, CHANGES, rename, rename) \
	X(LINK,            IN(link),            1, OUT(entry), MAY_BLOCK, CHANGES | SIZE, \
	  link, link) \
	X(OPEN,            IN(open),            0, OUT(open),  MAY_BLOCK, 0, open, open) \
	X(READ,            IN(read),            0, 0,          TRIES,     KEEPS, read, read) \
	X(WRITE,           IN(write),           0, OUT(write), MAY_BLOCK, CHANGES | SIZE | KEEPS, \
	  write, write) \
	X(STATFS,          0,                   0, OUT(statfs), WAITS, 0, statfs, statfs) \
	X(RELEASE,         IN(release),         0, 0,          MAY_BLOCK, 0, release, release) \
	X(FSYNC,           IN(fsync),           0, 0,          WAITS,     0, fsync, fsync) \
	X(SETXATTR,        IN(setxattr),        1, 0,          MAY_BLOCK, \
	  CHANGES | TAIL | XATTR_NAME, setxattr, setxattr) \
	X(GETXATTR,        IN(getxattr),        1, 0,          MAY_BLOCK, XATTR_NAME, \
	  getxattr, getxattr) \
	X(LISTXATTR,       IN(getxattr),        0, 0,          MAY_BLOCK, 0, listxattr, listxattr) \
	X(REMOVEXATTR,     0,                   1, 0,          MAY_BLOCK, CHANGES | XATTR_NAME, \
	  removexattr, removexattr) \
	X(FLUSH,           IN(flush),           0, 0,          MAY_BLOCK, 0, flush, flush) \
	X(INIT,            8,                   0, OUT(init),  EXCLUSIVE, EARLY | GROWING, \
	  NONE, init) \
	X(OPENDIR,         IN(open),            0, OUT(open),  MAY_BLOCK, 0, opendir, opendir) \
	X(READDIR,         IN(read),            0, 0,          MAY_BLOCK, 0, readdir, readdir) \
	X(RELEASEDIR,      IN(release),         0, 0,          MAY_BLOCK, 0, \
	  releasedir, releasedir) \
	X(FSYNCDIR,        IN(fsync),           0, 0,          WAITS,     0, fsyncdir, fsyncdir) \
	X(GETLK,           IN(lk),              0, OUT(lk),    MAY_BLOCK, 0, getlk, getlk) \
	X(SETLK,           IN(lk),              0, 0,          MAY_BLOCK, 0, setlk, setlk) \
	X(SETLKW,          IN(lk),              0, 0,          MAY_WAIT,  0, setlk, setlkw) \
	X(ACCESS,          IN(access),          0, 0,          INLINE,    0, access, access) \
	X(CREATE,          IN(create),          1, ENTRY_OPEN, MAY_BLOCK, CREATES, create, create) \
	X(INTERRUPT,       IN(interrupt),       0, 0,          INLINE,    ROOM_OPTIONAL, \
	  NONE, interrupt) \
	X(BMAP,            IN(bmap),            0, 0,          INLINE,    0, NONE, NONE) \
	X(DESTROY,         0,                   0, 0,          EXCLUSIVE, 0, NONE, destroy) \
	X(IOCTL,           IN(ioctl),           0, OUT(ioctl), MAY_BLOCK, 0, ioctl, ioctl) \
	X(POLL,            IN(poll),            0, 0,          INLINE,    0, NONE, NONE) \
	X(NOTIFY_REPLY,    0,                   0, 0,          INLINE,    NO_REPLY, NONE, ignore) \
	X(BATCH_FORGET,    IN(batch_forget),    0, 0,          INLINE,    NO_REPLY, \
	  forget, batch_forget) \
	X(FALLOCATE,       IN(fallocate),       0, 0,          WAITS,     CHANGES | SIZE, \
	  fallocate, fallocate) \
	X(READDIRPLUS,     IN(read),            0, 0,          MAY_BLOCK, SIZE, \
	  readdir, readdirplus) \
	X(RENAME2,         IN(rename2),         2, 0,          MAY_BLOCK, CHANGES, \
	  rename, rename2) \
	X(LSEEK,           IN(lseek),           0, OUT(lseek), MAY_BLOCK, 0, lseek, lseek) \
	X(COPY_FILE_RANGE, IN(copy_file_range), 0, OUT(write), WAITS,     CHANGES | SIZE, \
	  copy_file_range, copy_file_range) \
	X(SETUPMAPPING,    IN(setupmapping),    0, 0,          MAPS,      0, \
	  setupmapping, setupmapping) \
	X(REMOVEMAPPING,   IN(removemapping),   0, 0,          MAPS,      0, \
	  removemapping, removemapping) \
	X(SYNCFS,          IN(syncfs),          0, 0,          WAITS,     0, syncfs, syncfs) \
	X(TMPFILE,         IN(create),          0, ENTRY_OPEN, MAY_BLOCK, CREATES | NAME_UNUSED, \
	  tmpfile, tmpfile) \
	X(STATX,           IN(statx),           0, OUT(statx), INLINE,    SIZE, statx, statx)

#define X_ROW(opcode, args_, names_, room_, class_, flags_, op_, dec_) \
	[FUSE_##opcode] = { \
		.name = #opcode, .args = (args_), .names = (names_), .room = (room_), \
		.class = FUSE_##class_, .flags = (flags_), \
		.op = offsetof(struct fuse_ops, op_), .decode = decode_##dec_, \
	},
#define X_COUNT(...) +1
#define X_SIZE(opcode, args_, names_, ...) \
	static_assert((args_) + (names_) * (NAME_MAX + 1u) <= REQ_BODY_MAX, \
		      #opcode ": does not fit request.body");
// clang-format on

static const struct fuse_row rows[] = {ROWS(X_ROW)};
ROWS(X_SIZE)

/* 1 to 52, but for 7 and 19, which were never used. */
static_assert(ARRAY_SIZE(rows) == FUSE_STATX + 1, "an opcode beyond the table");
static_assert(0 ROWS(X_COUNT) == FUSE_STATX - 2, "an opcode without a row");

/*
 * The request that this thread runs has returned REQ_WOULD_WAIT. Not in the request, which may be answered
 * and used again before fuse_dispatch() returns.
 */
static _Thread_local bool would_wait;

static const struct fuse_row *row_of(uint32_t opcode)
{
	if (opcode >= ARRAY_SIZE(rows) || !rows[opcode].name)
		return NULL;
	return &rows[opcode];
}

const char *fuse_opcode_name(uint32_t opcode)
{
	const struct fuse_row *row = row_of(opcode);

	return row ? row->name : "?";
}

static bool served(const struct request *req)
{
	const struct fuse_row *row = req->row;
	void *op = NULL;

	if (!row || !row->decode)
		return false;
	if (!row->op)
		return true;
	memcpy(&op, (const char *)req->se->ops + row->op, sizeof(op));
	return op;
}

uint32_t decode_body(const struct request *req)
{
	return req->hdr.len - IN_HDR;
}

/* SETXATTR's arguments grew in 7.33, and Linux sends the long ones only when that was agreed on. */
static uint32_t fixed_args(const struct request *req)
{
	if (req->hdr.opcode == FUSE_SETXATTR && !session_has(req->se, FUSE_SETXATTR_EXT))
		return FUSE_COMPAT_SETXATTR_IN_SIZE;
	return req->row->args;
}

size_t decode_tail(struct request *req, void *buf, size_t len)
{
	size_t have = MIN(len, req->body_len - req->tail);

	memcpy(buf, req->body + req->tail, have);
	return have + iov_read(&req->in, (char *)buf + have, len - have);
}

uint32_t decode_ext_len(const struct request *req, uint32_t left)
{
	bool label = session_has(req->se, FUSE_SECURITY_CTX);

	if (!(req->row->flags & ROW_EXT))
		return 0;
	if (!label && !session_has(req->se, FUSE_CREATE_SUPP_GROUP))
		return 0;
	if (label && !req->hdr.total_extlen)
		return left;
	return req->hdr.total_extlen * 8u;
}

/* Linux sends the one group that the directory has. */
static int ext_groups(struct request *req, const uint8_t *at, size_t len)
{
	uint32_t count, gid;

	if (!session_has(req->se, FUSE_CREATE_SUPP_GROUP) || len < sizeof(count))
		return -EINVAL;
	memcpy(&count, at, sizeof(count));
	if (count > 1)
		return -EINVAL;
	if (count == 1) {
		if (len < sizeof(count) + sizeof(gid))
			return -EINVAL;
		memcpy(&gid, at + sizeof(count), sizeof(gid));
		req->supp_gid = gid;
	}
	return 0;
}

/* Linux sends one label, or none where there is no policy. */
static int ext_label(struct request *req, uint32_t count, const uint8_t *at, size_t len,
		     struct req_label *label)
{
	struct fuse_secctx ctx;
	const uint8_t *nul;

	if (!session_has(req->se, FUSE_SECURITY_CTX) || count > 1)
		return -EINVAL;
	if (!count)
		return 0;
	if (len < sizeof(ctx))
		return -EINVAL;
	memcpy(&ctx, at, sizeof(ctx));
	at += sizeof(ctx);
	len -= sizeof(ctx);
	nul = memchr(at, '\0', MIN(len, XATTR_NAME_MAX + 1u));
	if (!nul || nul == at)
		return -EINVAL;
	len -= (size_t)(nul + 1 - at);
	if (!ctx.size || ctx.size > len)
		return -EINVAL;
	*label = (struct req_label){(const char *)at, nul + 1, ctx.size};
	req->label = label;
	return 0;
}

int decode_ext(struct request *req, struct decode_exts *exts, size_t len)
{
	bool groups_seen = false, label_seen = false;
	const uint8_t *at = exts->bytes;

	while (len) {
		struct fuse_ext_header xh;
		bool *seen;
		int err;

		if (len < sizeof(xh))
			return -EINVAL;
		memcpy(&xh, at, sizeof(xh));
		if (xh.size > len || xh.size % 8 || xh.size < sizeof(xh))
			return -EINVAL;
		/* The type of a label is how many there are. */
		seen = xh.type <= FUSE_MAX_NR_SECCTX ? &label_seen : &groups_seen;
		if (*seen)
			return -EINVAL;
		*seen = true;
		if (xh.type <= FUSE_MAX_NR_SECCTX)
			err = ext_label(req, xh.type, at + sizeof(xh), xh.size - sizeof(xh),
					&exts->label);
		else if (xh.type == FUSE_EXT_GROUPS)
			err = ext_groups(req, at + sizeof(xh), xh.size - sizeof(xh));
		else
			err = -EINVAL;
		if (err)
			return err;
		at += xh.size;
		len -= xh.size;
	}
	return 0;
}

int decode_exts(struct request *req, struct decode_exts *exts)
{
	uint32_t len = decode_body(req) - req->tail;

	if (len > sizeof(exts->bytes) || decode_tail(req, exts->bytes, len) != len)
		return -EINVAL;
	return decode_ext(req, exts, len);
}

void decode_done(struct request *req, int err, const void *buf, size_t len)
{
	if (err == REQ_PENDING)
		return;
	if (err == REQ_WOULD_WAIT) {
		would_wait = true;
		return;
	}
	if (err)
		req_reply_err(req, err);
	else
		req_reply_buf(req, buf, len);
}

static int check_component(const char *name, size_t len)
{
	if (memchr(name, '/', len))
		return -EINVAL;
	if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))
		return -EINVAL;
	return 0;
}

/* The errors are those of the system call that the guest's kernel would have come to. */
static int take_name(struct request *req, uint32_t *off, const char **ret_name)
{
	bool xattr = req->row->flags & ROW_XATTR_NAME;
	const char *name = (const char *)req->body + *off;
	uint32_t have = req->body_len - *off;
	const char *nul = memchr(name, '\0', MIN(have, NAME_MAX + 1u));
	size_t len;
	int err;

	if (!nul) {
		if (have <= NAME_MAX)
			return -EINVAL;
		return xattr ? -ERANGE : -ENAMETOOLONG;
	}
	len = (size_t)(nul - name);
	if (!len)
		return xattr ? -ERANGE : -EINVAL;
	if (!xattr) {
		err = check_component(name, len);
		if (err)
			return err;
	}
	*ret_name = name;
	*off += (uint32_t)len + 1;
	return 0;
}

/* What is behind the name of which nobody needs to know. */
static uint32_t skip_unused(const struct request *req, uint32_t off)
{
	const uint8_t *nul = memchr(req->body + off, '\0', req->body_len - off);

	return nul ? (uint32_t)(nul + 1 - req->body) : req->body_len;
}

/* Arguments and names into @body; extensions stay for the decoder. */
static int take_body(struct request *req)
{
	const struct fuse_row *row = req->row;
	bool more = row->names || row->flags & ROW_NAME_UNUSED;
	uint32_t body = decode_body(req), fixed = fixed_args(req), off = fixed, ext;
	int err;

	if (body < fixed)
		return -EINVAL;
	req->body_len = MIN(body, more || row->flags & ROW_GROWING ? REQ_BODY_MAX : fixed);
	if (iov_read(&req->in, req->body, req->body_len) != req->body_len)
		return -EINVAL;
	if (!more)
		return 0;
	for (uint8_t i = 0; i < row->names; i++) {
		err = take_name(req, &off, &req->name[i]);
		if (err)
			return err;
	}
	req->tail = off;
	if (row->flags & ROW_TAIL)
		return 0;
	if (row->flags & ROW_NAME_UNUSED)
		req->tail = skip_unused(req, off);
	ext = decode_ext_len(req, body - req->tail);
	if (body - off < ext || ext > DECODE_EXT_MAX)
		return -EINVAL;
	if (row->flags & ROW_NAME_UNUSED)
		req->tail = body - ext;
	return req->tail + ext != body || req->tail > req->body_len ? -EINVAL : 0;
}

static int check(struct request *req, size_t sent)
{
	const struct fuse_row *row = req->row;
	struct session *se = req->se;

	if (req->faulted)
		return -EFAULT;
	if (req->hdr.len != sent || sent < IN_HDR)
		return -EINVAL;
	/* An answer to 0 would be a notification. */
	if (!req->hdr.unique && !(row && row->flags & ROW_NO_REPLY))
		return -EINVAL;
	if (!atomic_load_explicit(&se->active, memory_order_acquire) &&
	    !(row && row->flags & ROW_EARLY))
		return -ENOTCONN;
	if (!served(req))
		return -ENOSYS;
	if (row->flags & ROW_CHANGES && atomic_load_explicit(&se->readonly, memory_order_relaxed))
		return -EROFS;
	return take_body(req);
}

/*
 * Where the front-end has to be waited for when a file has grown, its size is told by those who may wait;
 * so is, before anything is known of the front-end, whether a file is for the window.
 */
static enum fuse_class class_of(const struct request *req)
{
	const struct window *w = req->se->window;
	enum window_kind kind;

	if (likely(!w) || !(req->row->flags & ROW_SIZE))
		return req->row->class;
	kind = window_kind(w);
	if ((kind == WINDOW_STRICT && session_has(req->se, FUSE_MAP_ALIGNMENT)) ||
	    (kind == WINDOW_UNKNOWN && session_has(req->se, FUSE_HAS_INODE_DAX)))
		return FUSE_MAPS;
	return req->row->class;
}

enum fuse_class fuse_receive(struct request *req)
{
	size_t sent = req->in.left, got;
	int err;

	req_begin(req);
	got = iov_read(&req->in, &req->hdr, sizeof(req->hdr));
	if (unlikely(got < sizeof(req->hdr))) {
		/* What is there serves the reply. */
		memset((char *)&req->hdr + got, 0, sizeof(req->hdr) - got);
		if (got != MIN(sent, sizeof(req->hdr)))
			req->faulted = true;
	}
	req->row = row_of(req->hdr.opcode);
	log_debug("%s unique %llu nodeid %llu: %u bytes, room for %zu",
		  fuse_opcode_name(req->hdr.opcode), (unsigned long long)req->hdr.unique,
		  (unsigned long long)req->hdr.nodeid, req->hdr.len, req->out.left);

	err = check(req, sent);
	if (req->row && req->row->flags & ROW_NO_REPLY) {
		if (!err)
			return req->row->class;
		req_reply_none(req);
		return FUSE_ANSWERED;
	}
	if (!err && req->row->room > req_room(req))
		err = -EIO;
	if (!err && !(req->row->flags & ROW_ROOM_OPTIONAL) &&
	    req->out.left < sizeof(struct fuse_out_header))
		err = -EIO;
	if (err) {
		req_reply_err(req, err);
		return FUSE_ANSWERED;
	}
	req->keeps = req->row->flags & ROW_KEEPS;
	return class_of(req);
}

bool fuse_dispatch(struct request *req)
{
	would_wait = false;
	req->row->decode(req);
	return !would_wait;
}
