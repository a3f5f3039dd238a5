// SPDX-License-Identifier: Apache-2.0
/* A session over memfs and requests made by hand, for the tests of src/fuse and src/memfs. */
/*
 * Theory of operation
 *
 * A message is laid out as a list of pieces, each on the heap by itself and of exactly its size;
 * the room for the reply likewise. After the request has run, the reply is put together again and
 * checked for what holds of every one: done was called once, the length in the header is what was
 * used, the unique is the request's, an error has no payload, and nothing was written behind what
 * was used.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "fuse_rig.h"
#include "util.h"

#define FILL 0xa5

/* Instead of the C library's: two runs of a test give the same bytes. */
int clock_gettime(clockid_t id, struct timespec *ts)
{
	(void)id;
	*ts = (struct timespec){.tv_sec = RIG_TIME, .tv_nsec = 5};
	return 0;
}

static void on_done(struct request *req, size_t used)
{
	struct rig *r = container_of(req, struct rig, req);

	r->done++;
	r->used = used;
}

/* ---- pieces ---- */

struct pieces {
	struct iovec *iov;
	unsigned int cnt;
	unsigned int cap;
};

static void piece(struct pieces *p, const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	assert_non_null(copy);
	if (bytes)
		memcpy(copy, bytes, len);
	else
		memset(copy, FILL, len);
	if (p->cnt == p->cap) {
		p->cap = p->cap ? p->cap * 2 : 16;
		p->iov = realloc(p->iov, p->cap * sizeof(*p->iov));
		assert_non_null(p->iov);
	}
	p->iov[p->cnt++] = (struct iovec){.iov_base = copy, .iov_len = len};
}

static void cut_up(struct pieces *p, const uint8_t *bytes, size_t len, size_t size, size_t first,
		   bool empty)
{
	size_t at = 0;

	while (at < len) {
		size_t n = MIN(len - at, size ? size : at ? len : first);

		if (empty)
			piece(p, NULL, 0);
		piece(p, bytes ? bytes + at : NULL, n);
		at += n;
	}
	if (empty)
		piece(p, NULL, 0);
}

static void pieces_free(struct pieces *p)
{
	for (unsigned int i = 0; i < p->cnt; i++)
		free(p->iov[i].iov_base);
	free(p->iov);
}

static void gather(const struct pieces *p, uint8_t *buf)
{
	for (unsigned int i = 0; i < p->cnt; i++) {
		memcpy(buf, p->iov[i].iov_base, p->iov[i].iov_len);
		buf += p->iov[i].iov_len;
	}
}

/* ---- sending ---- */

static void check_reply(struct rig *r, const struct pieces *out, size_t room)
{
	struct fuse_out_header hdr;
	uint8_t *all = malloc(room ? room : 1);

	assert_non_null(all);
	gather(out, all);
	assert_in_range(r->used, 0, room);
	for (size_t i = r->used; i < room; i++)
		assert_int_equal(all[i], FILL);
	r->error = 1;
	r->len = 0;
	if (r->used) {
		assert_true(r->used >= sizeof(hdr));
		memcpy(&hdr, all, sizeof(hdr));
		assert_int_equal(hdr.len, r->used);
		assert_int_equal(hdr.unique, r->req.hdr.unique);
		assert_true(hdr.error <= 0 && hdr.error > -512);
		r->error = hdr.error;
		r->len = r->used - sizeof(hdr);
		if (hdr.error)
			assert_int_equal(r->len, 0);
		memcpy(r->reply, all + sizeof(hdr), r->len);
	}
	free(all);
}

void rig_send(struct rig *r, size_t room)
{
	struct rig_msg *m = &r->msg;
	size_t total = sizeof(m->hdr) + m->len;
	struct pieces in = {0}, out = {0};
	uint8_t *bytes = malloc(total);

	assert_non_null(bytes);
	m->hdr.unique = m->unique_zero ? 0 : (r->unique += 2);
	if (!m->len_wrong)
		m->hdr.len = (uint32_t)total;
	memcpy(bytes, &m->hdr, sizeof(m->hdr));
	memcpy(bytes + sizeof(m->hdr), m->body, m->len);
	if (m->cut_header)
		total = sizeof(m->hdr) - m->cut_header;
	cut_up(&in, bytes, total, r->frame.in, sizeof(m->hdr), r->frame.empty);
	cut_up(&out, NULL, room, r->frame.out, sizeof(struct fuse_out_header), r->frame.empty);

	r->done = 0;
	r->req.se = &r->se;
	r->req.done = on_done;
	r->req.state = REQ_FREE;
	iov_init(&r->req.in, in.iov, in.cnt);
	iov_init(&r->req.out, out.iov, out.cnt);
	if (fuse_receive(&r->req) != FUSE_ANSWERED) {
		assert_int_equal(r->done, 0);
		fuse_dispatch(&r->req);
	}
	assert_int_equal(r->done, 1);
	check_reply(r, &out, room);
	pieces_free(&in);
	pieces_free(&out);
	free(bytes);
}

void rig_begin(struct rig *r, uint32_t opcode, uint64_t nodeid)
{
	struct rig_msg *m = &r->msg;

	memset(&m->hdr, 0, sizeof(m->hdr));
	m->hdr.opcode = opcode;
	m->hdr.nodeid = nodeid;
	m->hdr.uid = 1000;
	m->hdr.gid = 1001;
	m->hdr.pid = 42;
	m->len = 0;
	m->len_wrong = false;
	m->unique_zero = false;
	m->cut_header = 0;
}

void rig_add(struct rig *r, const void *bytes, size_t len)
{
	assert_true(r->msg.len + len <= RIG_MAX);
	if (len)
		memcpy(r->msg.body + r->msg.len, bytes, len);
	r->msg.len += len;
}

void rig_name(struct rig *r, const char *name)
{
	rig_add(r, name, strlen(name) + 1);
}

/* ---- beginning and end ---- */

struct rig *rig_new(void)
{
	static uint8_t body[RIG_MAX], reply[RIG_MAX];
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->msg.body = body;
	r->reply = reply;
	assert_int_equal(memfs_new(1024 * 1024, &r->fs), 0);
	r->ops = memfs_ops;
	assert_int_equal(session_init(&r->se, &r->ops, r->fs), 0);
	return r;
}

int rig_init(struct rig *r, uint32_t minor, uint64_t flags)
{
	struct fuse_init_in in = {
		.major = 7,
		.minor = minor,
		.max_readahead = 131072,
		.flags = (uint32_t)flags,
		.flags2 = (uint32_t)(flags >> 32),
	};

	return rig_call(r, FUSE_INIT, 0, &in, flags & FUSE_INIT_EXT ? sizeof(in) : 16, NULL);
}

struct rig *rig_new_init(void)
{
	struct rig *r = rig_new();

	assert_int_equal(rig_init(r, 39, UINT64_MAX), 0);
	return r;
}

void rig_free(struct rig *r)
{
	session_done(&r->se);
	memfs_free(r->fs);
	free(r);
}

/* ---- single operations ---- */

int rig_call(struct rig *r, uint32_t opcode, uint64_t nodeid, const void *args, size_t args_len,
	     const char *name)
{
	rig_begin(r, opcode, nodeid);
	rig_add(r, args, args_len);
	if (name)
		rig_name(r, name);
	rig_send(r, RIG_ROOM);
	return r->error;
}

static void take(struct rig *r, size_t at, void *ret, size_t len)
{
	assert_true(at + len <= r->len);
	memcpy(ret, r->reply + at, len);
}

static int take_id(struct rig *r, uint64_t *ret_id)
{
	struct fuse_entry_out entry;

	if (!r->error && ret_id) {
		take(r, 0, &entry, sizeof(entry));
		*ret_id = entry.nodeid;
	}
	return r->error;
}

static int take_fh(struct rig *r, size_t at, uint64_t *ret_fh)
{
	struct fuse_open_out open;

	if (!r->error && ret_fh) {
		take(r, at, &open, sizeof(open));
		*ret_fh = open.fh;
	}
	return r->error;
}

int rig_lookup(struct rig *r, uint64_t parent, const char *name, uint64_t *ret_id)
{
	rig_call(r, FUSE_LOOKUP, parent, NULL, 0, name);
	return take_id(r, ret_id);
}

int rig_mkdir(struct rig *r, uint64_t parent, const char *name, uint64_t *ret_id)
{
	struct fuse_mkdir_in in = {.mode = 0755};

	rig_call(r, FUSE_MKDIR, parent, &in, sizeof(in), name);
	return take_id(r, ret_id);
}

int rig_create(struct rig *r, uint64_t parent, const char *name, uint32_t flags, uint64_t *ret_id,
	       uint64_t *ret_fh)
{
	struct fuse_create_in in = {.flags = flags, .mode = 0100644};

	rig_call(r, FUSE_CREATE, parent, &in, sizeof(in), name);
	take_fh(r, sizeof(struct fuse_entry_out), ret_fh);
	return take_id(r, ret_id);
}

int rig_symlink(struct rig *r, uint64_t parent, const char *name, const char *target,
		uint64_t *ret_id)
{
	rig_begin(r, FUSE_SYMLINK, parent);
	rig_name(r, name);
	rig_name(r, target);
	rig_send(r, RIG_ROOM);
	return take_id(r, ret_id);
}

int rig_open(struct rig *r, uint64_t id, uint32_t flags, uint64_t *ret_fh)
{
	struct fuse_open_in in = {.flags = flags};

	rig_call(r, FUSE_OPEN, id, &in, sizeof(in), NULL);
	return take_fh(r, 0, ret_fh);
}

int rig_opendir(struct rig *r, uint64_t id, uint64_t *ret_fh)
{
	struct fuse_open_in in = {0};

	rig_call(r, FUSE_OPENDIR, id, &in, sizeof(in), NULL);
	return take_fh(r, 0, ret_fh);
}

int rig_release(struct rig *r, uint64_t id, uint64_t fh, bool dir)
{
	struct fuse_release_in in = {.fh = fh};

	return rig_call(r, dir ? FUSE_RELEASEDIR : FUSE_RELEASE, id, &in, sizeof(in), NULL);
}

int rig_write(struct rig *r, uint64_t id, uint64_t fh, uint64_t off, const void *data, size_t len)
{
	struct fuse_write_in in = {.fh = fh, .offset = off, .size = (uint32_t)len};

	rig_begin(r, FUSE_WRITE, id);
	rig_add(r, &in, sizeof(in));
	rig_add(r, data, len);
	rig_send(r, RIG_ROOM);
	return r->error;
}

int rig_read(struct rig *r, uint64_t id, uint64_t fh, uint64_t off, uint32_t len)
{
	struct fuse_read_in in = {.fh = fh, .offset = off, .size = len};

	rig_begin(r, FUSE_READ, id);
	rig_add(r, &in, sizeof(in));
	rig_send(r, sizeof(struct fuse_out_header) + len);
	return r->error;
}

int rig_readdir(struct rig *r, uint64_t id, uint64_t fh, uint64_t off, uint32_t len, bool plus)
{
	struct fuse_read_in in = {.fh = fh, .offset = off, .size = len};

	rig_begin(r, plus ? FUSE_READDIRPLUS : FUSE_READDIR, id);
	rig_add(r, &in, sizeof(in));
	rig_send(r, sizeof(struct fuse_out_header) + len);
	return r->error;
}

int rig_rename(struct rig *r, uint64_t from, const char *name, uint64_t to, const char *newname,
	       uint32_t flags)
{
	struct fuse_rename2_in in = {.newdir = to, .flags = flags};

	rig_begin(r, flags ? FUSE_RENAME2 : FUSE_RENAME, from);
	rig_add(r, &in, flags ? sizeof(in) : sizeof(struct fuse_rename_in));
	rig_name(r, name);
	rig_name(r, newname);
	rig_send(r, RIG_ROOM);
	return r->error;
}

int rig_link(struct rig *r, uint64_t id, uint64_t parent, const char *name)
{
	struct fuse_link_in in = {.oldnodeid = id};

	return rig_call(r, FUSE_LINK, parent, &in, sizeof(in), name);
}

int rig_unlink(struct rig *r, uint64_t parent, const char *name)
{
	return rig_call(r, FUSE_UNLINK, parent, NULL, 0, name);
}

int rig_rmdir(struct rig *r, uint64_t parent, const char *name)
{
	return rig_call(r, FUSE_RMDIR, parent, NULL, 0, name);
}

int rig_getattr(struct rig *r, uint64_t id, struct fuse_attr *ret)
{
	struct fuse_getattr_in in = {0};
	struct fuse_attr_out out;

	rig_call(r, FUSE_GETATTR, id, &in, sizeof(in), NULL);
	if (!r->error) {
		take(r, 0, &out, sizeof(out));
		*ret = out.attr;
	}
	return r->error;
}

int rig_setattr(struct rig *r, uint64_t id, const struct fuse_setattr_in *in)
{
	return rig_call(r, FUSE_SETATTR, id, in, sizeof(*in), NULL);
}

int rig_setxattr(struct rig *r, uint64_t id, const char *name, const void *value, size_t len,
		 uint32_t flags)
{
	struct fuse_setxattr_in in = {.size = (uint32_t)len, .flags = flags};

	rig_begin(r, FUSE_SETXATTR, id);
	rig_add(r, &in,
		session_has(&r->se, FUSE_SETXATTR_EXT) ? sizeof(in) : FUSE_COMPAT_SETXATTR_IN_SIZE);
	rig_name(r, name);
	rig_add(r, value, len);
	rig_send(r, RIG_ROOM);
	return r->error;
}

int rig_getxattr(struct rig *r, uint64_t id, const char *name, uint32_t size)
{
	struct fuse_getxattr_in in = {.size = size};

	return rig_call(r, FUSE_GETXATTR, id, &in, sizeof(in), name);
}

void rig_forget(struct rig *r, uint64_t id, uint64_t count)
{
	struct fuse_forget_in in = {.nlookup = count};

	rig_begin(r, FUSE_FORGET, id);
	rig_add(r, &in, sizeof(in));
	rig_send(r, 0);
	assert_int_equal(r->error, 1);
}
