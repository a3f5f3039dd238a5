// SPDX-License-Identifier: Apache-2.0
/* What holds of every opcode as Linux sends it, over memfs. */
/*
 * Theory of operation
 *
 * The samples run in every way that their bytes can be cut up, before INIT, over a backend that can
 * do nothing and over one that may not change anything; then extensions behind names.
 * test_opcodes.c has what is particular to single ones, test_malformed.c has what no honest guest
 * sends.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "fuse_sample.h"
#include "util.h"

#define ROOT FUSE_ROOT_ID

/* Does not return NULL. */
static struct rig *start(struct scene *sc)
{
	struct rig *r = rig_new_init();

	scene_new(r, sc);
	return r;
}

static void check_sample(struct rig *r, const struct sample *s)
{
	if (s->flags & SAMPLE_NO_REPLY) {
		assert_int_equal(r->used, 0);
		return;
	}
	if (r->error != s->error || r->len != s->reply)
		fail_msg("%s: error %d, %zu bytes; wanted %d, %zu", fuse_opcode_name(s->opcode),
			 r->error, r->len, s->error, s->reply);
}

static void test_table(void **state)
{
	uint64_t seen = 0;

	(void)state;
	for (unsigned int i = 0; i < samples_count; i++) {
		assert_string_not_equal(fuse_opcode_name(samples[i].opcode), "?");
		seen |= UINT64_C(1) << samples[i].opcode;
	}
	/* All from 1 to 52 but the two that were never used. */
	assert_int_equal(seen, ((UINT64_C(1) << 53) - 2) & ~(UINT64_C(1) << 7 | UINT64_C(1) << 19));
	assert_string_equal(fuse_opcode_name(FUSE_LOOKUP), "LOOKUP");
	assert_string_equal(fuse_opcode_name(FUSE_STATX), "STATX");
	assert_string_equal(fuse_opcode_name(7), "?");
	assert_string_equal(fuse_opcode_name(19), "?");
	assert_string_equal(fuse_opcode_name(53), "?");
	assert_string_equal(fuse_opcode_name(UINT32_MAX), "?");
}

static void test_framing(void **state)
{
	static const size_t in_sizes[] = {0, 1, 2, 3, 7, 39, 41, 64, 100000};
	static const size_t out_sizes[] = {0, 1, 15, 17, 24, 4096};
	uint8_t *reply = malloc(RIG_ROOM);

	(void)state;
	assert_non_null(reply);
	for (unsigned int i = 0; i < samples_count; i++) {
		const struct sample *s = &samples[i];
		size_t len = SIZE_MAX;

		for (unsigned int j = 0; j < ARRAY_SIZE(in_sizes) * ARRAY_SIZE(out_sizes); j++) {
			struct scene sc;
			struct rig *r = start(&sc);

			r->frame.in = in_sizes[j / ARRAY_SIZE(out_sizes)];
			r->frame.out = out_sizes[j % ARRAY_SIZE(out_sizes)];
			r->frame.empty = j & 1;
			sample_build(r, &sc, s, NULL);
			rig_send(r, s->flags & SAMPLE_NO_REPLY ? 0 : RIG_ROOM);
			check_sample(r, s);
			/* The first one says how the answer is to be. */
			if (len == SIZE_MAX) {
				len = r->len;
				memcpy(reply, r->reply, len);
			}
			assert_int_equal(r->len, len);
			assert_memory_equal(r->reply, reply, len);
			rig_free(r);
		}
	}
	free(reply);
}

static void test_before_init(void **state)
{
	struct rig *r = rig_new();
	struct scene none = {2, 1, 3, 2, 4, 5, 6, 3};

	(void)state;
	for (unsigned int i = 0; i < samples_count; i++) {
		const struct sample *s = &samples[i];

		if (s->opcode == FUSE_INIT)
			continue;
		sample_build(r, &none, s, NULL);
		rig_send(r, RIG_ROOM);
		assert_int_equal(r->error, s->flags & SAMPLE_NO_REPLY ? 1 : -ENOTCONN);
	}
	rig_free(r);
}

static void test_unknown_opcodes(void **state)
{
	static const uint32_t opcodes[] = {0,    7,       19,        53,         54,
					   4096, 1048576, 436207616, 0x80000000, UINT32_MAX};
	struct rig *r = rig_new_init();

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(opcodes); i++) {
		rig_begin(r, opcodes[i], ROOT);
		rig_add(r, "junk", 4);
		rig_send(r, RIG_ROOM);
		assert_int_equal(r->error, -ENOSYS);
		rig_begin(r, opcodes[i], ROOT);
		rig_send(r, 15);
		assert_int_equal(r->used, 0);
	}
	rig_free(r);
}

/* A backend with no operations at all. */
static void test_no_ops(void **state)
{
	static const struct fuse_ops none = {.name = "none"};
	struct scene sc = {2, 1, 3, 2, 4, 5, 6, 3};
	struct rig *r = rig_new();

	(void)state;
	r->se.ops = &none;
	assert_int_equal(rig_init(r, 39, UINT64_MAX), 0);
	for (unsigned int i = 0; i < samples_count; i++) {
		const struct sample *s = &samples[i];

		if (s->flags & SAMPLE_SESSION)
			continue;
		sample_build(r, &sc, s, NULL);
		rig_send(r, RIG_ROOM);
		if (s->flags & SAMPLE_NO_REPLY)
			assert_int_equal(r->error, 1);
		else
			assert_int_equal(r->error, s->op ? -ENOSYS : s->error);
	}
	assert_int_equal(rig_call(r, FUSE_DESTROY, 0, NULL, 0, NULL), 0);
	rig_free(r);
}

static int init_readonly(void *be, struct fuse_init *init)
{
	init->readonly = true;
	return memfs_ops.init(be, init);
}

static void test_readonly(void **state)
{
	static const uint32_t writing[] = {O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC, O_ACCMODE};
	struct scene sc;
	struct rig *r = start(&sc);
	uint64_t fh;

	(void)state;
	assert_int_equal(rig_call(r, FUSE_DESTROY, 0, NULL, 0, NULL), 0);
	r->ops.init = init_readonly;
	assert_int_equal(rig_init(r, 39, UINT64_MAX), 0);
	assert_int_equal(rig_lookup(r, ROOT, "f", &sc.f), 0);
	assert_int_equal(rig_lookup(r, ROOT, "l", &sc.l), 0);
	assert_int_equal(rig_lookup(r, ROOT, "d", &sc.d), 0);
	for (unsigned int i = 0; i < samples_count; i++) {
		const struct sample *s = &samples[i];

		if (s->flags & SAMPLE_SESSION)
			continue;
		assert_int_equal(rig_open(r, sc.f, O_RDONLY, &sc.fh), 0);
		assert_int_equal(rig_opendir(r, ROOT, &sc.rh), 0);
		sample_build(r, &sc, s, NULL);
		rig_send(r, RIG_ROOM);
		if (s->flags & SAMPLE_CHANGES)
			assert_int_equal(r->error, -EROFS);
		else
			check_sample(r, s);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(writing); i++)
		assert_int_equal(rig_open(r, sc.f, writing[i], &fh), -EROFS);
	/* It ends with the session. */
	r->ops.init = memfs_ops.init;
	assert_int_equal(rig_init(r, 39, UINT64_MAX), 0);
	assert_int_equal(rig_mkdir(r, ROOT, "again", NULL), 0);
	rig_free(r);
}

/* The backend's errors reach the guest, for every opcode that has an operation. */
static void test_backend_errors(void **state)
{
	static const int errors[] = {-EIO, -ENOSPC, -ERANGE, -EDQUOT, -511};

	(void)state;
	for (unsigned int i = 0; i < samples_count; i++) {
		const struct sample *s = &samples[i];
		struct scene sc;
		struct rig *r;

		if (!s->op || s->flags & SAMPLE_NO_REPLY)
			continue;
		r = start(&sc);
		for (unsigned int j = 0; j < ARRAY_SIZE(errors); j++) {
			memfs_fail(r->fs, 1, errors[j]);
			sample_build(r, &sc, s, NULL);
			rig_send(r, RIG_ROOM);
			assert_int_equal(r->error, errors[j]);
		}
		/* What Linux would not take as an error. */
		memfs_fail(r->fs, 1, -512);
		sample_build(r, &sc, s, NULL);
		rig_send(r, RIG_ROOM);
		assert_int_equal(r->error, -EIO);
		rig_free(r);
	}
}

/* ---- what reaches the backend ---- */

static struct {
	unsigned int calls;
	uint64_t size;
	size_t left;
	uint32_t valid;
} seen;

static ssize_t read_seen(struct request *req, uint64_t nodeid, const struct fuse_read_in *in,
			 struct iov_cursor *dst)
{
	(void)req;
	(void)nodeid;
	seen.calls++;
	seen.size = in->size;
	seen.left = dst->left;
	return 0;
}

static ssize_t write_seen(struct request *req, uint64_t nodeid, const struct fuse_write_in *in,
			  struct iov_cursor *src)
{
	(void)req;
	(void)nodeid;
	seen.calls++;
	seen.size = in->size;
	seen.left = src->left;
	return (ssize_t)in->size;
}

static int readdir_seen(struct request *req, uint64_t nodeid, const struct fuse_read_in *in,
			struct direntbuf *db)
{
	(void)req;
	(void)nodeid;
	seen.calls++;
	seen.size = in->size;
	seen.left = db->left;
	return 0;
}

static int setattr_seen(struct request *req, uint64_t nodeid, const struct fuse_setattr_in *in,
			struct fuse_attr_out *ret)
{
	(void)req;
	(void)nodeid;
	(void)ret;
	seen.calls++;
	seen.valid = in->valid;
	return 0;
}

static ssize_t copy_seen(struct request *req, uint64_t nodeid,
			 const struct fuse_copy_file_range_in *in)
{
	(void)req;
	(void)nodeid;
	seen.calls++;
	seen.size = in->len;
	return (ssize_t)in->len;
}

/* A backend goes by the cursor or by the size: they say the same, and lie within what there is. */
static void test_backend_sizes(void **state)
{
	struct rig *r = rig_new_init();
	struct fuse_setattr_in set = {.valid = UINT32_MAX};
	struct fuse_copy_file_range_in copy = {.len = INT64_MAX};
	struct fuse_write_out out;
	static const uint8_t bytes[100];

	(void)state;
	r->ops.read = read_seen;
	r->ops.write = write_seen;
	r->ops.readdir = readdir_seen;
	r->ops.setattr = setattr_seen;
	r->ops.copy_file_range = copy_seen;
	for (uint32_t size = 0; size < 100; size += 7) {
		struct fuse_read_in in = {.size = size};

		for (size_t room = 16; room < 100; room += 3) {
			size_t want = MIN(size, room - 16);

			rig_begin(r, FUSE_READ, ROOT);
			rig_add(r, &in, sizeof(in));
			rig_send(r, room);
			assert_int_equal(seen.size, want);
			assert_int_equal(seen.left, want);
			seen.size = 0;
			rig_begin(r, FUSE_READDIR, ROOT);
			rig_add(r, &in, sizeof(in));
			rig_send(r, room);
			assert_int_equal(seen.size, want);
			assert_int_equal(seen.left, want);
		}
		assert_int_equal(rig_write(r, ROOT, 0, 0, bytes, size), 0);
		assert_int_equal(seen.size, size);
		assert_int_equal(seen.left, size);
	}
	assert_int_equal(rig_read(r, ROOT, 0, INT64_MAX - 10, 100), 0);
	assert_int_equal(seen.size, 10);
	assert_int_equal(seen.left, 10);

	seen.calls = 0;
	assert_int_equal(rig_write(r, ROOT, 0, INT64_MAX - 10, bytes, 11), -EFBIG);
	assert_int_equal(seen.calls, 0);
	assert_int_equal(rig_write(r, ROOT, 0, INT64_MAX - 10, bytes, 10), 0);
	assert_int_equal(seen.calls, 1);

	assert_int_equal(rig_setattr(r, ROOT, &set), 0);
	assert_int_equal(seen.valid, 0xfff);

	/* The answer has 32 bits, and one system call copies no more. */
	assert_int_equal(rig_call(r, FUSE_COPY_FILE_RANGE, ROOT, &copy, sizeof(copy), NULL), 0);
	assert_int_equal(seen.size, 0x7ffff000);
	memcpy(&out, r->reply, sizeof(out));
	assert_int_equal(out.size, 0x7ffff000);
	rig_free(r);
}

/* One that says it has done more than there was to do is not believed. */
static ssize_t read_too_much(struct request *req, uint64_t nodeid, const struct fuse_read_in *in,
			     struct iov_cursor *dst)
{
	(void)req;
	(void)nodeid;
	(void)dst;
	return (ssize_t)in->size + 1;
}

static ssize_t value_too_much(struct request *req, uint64_t nodeid, const char *name, void *buf,
			      size_t size)
{
	(void)req;
	(void)nodeid;
	(void)name;
	(void)buf;
	return (ssize_t)size + 1;
}

static void test_backend_lies(void **state)
{
	struct rig *r = rig_new_init();

	(void)state;
	r->ops.read = read_too_much;
	r->ops.getxattr = value_too_much;
	assert_int_equal(rig_read(r, ROOT, 0, 0, 100), -EIO);
	assert_int_equal(rig_getxattr(r, ROOT, "user.a", 100), -EIO);
	rig_free(r);
}

/* ---- extensions ---- */

static uint32_t seen_gid;

static int mkdir_seen(struct request *req, uint64_t parent, const char *name,
		      const struct fuse_mkdir_in *in, struct fuse_entry_out *ret)
{
	seen_gid = req->supp_gid;
	return memfs_ops.mkdir(req, parent, name, in, ret);
}

static int symlink_seen(struct request *req, uint64_t parent, const char *name, const char *target,
			struct fuse_entry_out *ret)
{
	seen_gid = req->supp_gid;
	return memfs_ops.symlink(req, parent, name, target, ret);
}

static int tmpfile_seen(struct request *req, uint64_t parent, const struct fuse_create_in *in,
			struct fuse_entry_out *ret_entry, struct fuse_open_out *ret_open)
{
	seen_gid = req->supp_gid;
	return memfs_ops.tmpfile(req, parent, in, ret_entry, ret_open);
}

#define NO_GID UINT32_MAX

/* Little-endian words; @extlen in units of 8 bytes as in the header. */
static const struct ext_case {
	uint32_t words[12];
	size_t bytes;
	uint16_t extlen;
	int error;
	uint32_t gid;
} ext_cases[] = {
	{{0}, 0, 0, 0, NO_GID},
	{{16, 32, 1, 4711}, 16, 2, 0, 4711},
	{{16, 32, 0, 0}, 16, 2, 0, NO_GID},
	{{24, 32, 1, 5, 0, 0}, 24, 3, 0, 5},
	{{16, 32, 1, 4711}, 16, 0, -EINVAL, 0}, /* bytes that the header does not announce */
	{{16, 32, 1, 4711}, 16, 1, -EINVAL, 0}, /* fewer announced than there are */
	{{16, 32, 1, 4711}, 16, 3, -EINVAL, 0}, /* more */
	{{0}, 0, 2, -EINVAL, 0},
	{{0}, 0, UINT16_MAX, -EINVAL, 0},
	{{16, 32, 2, 1}, 16, 2, -EINVAL, 0}, /* two groups */
	{{24, 32, 2, 1, 2}, 24, 3, -EINVAL, 0},
	{{16, 32, UINT32_MAX, 1}, 16, 2, -EINVAL, 0},
	{{16, 31, 1, 1}, 16, 2, -EINVAL, 0}, /* a security context */
	{{16, 0, 1, 1}, 16, 2, -EINVAL, 0},
	{{16, 33, 1, 1}, 16, 2, -EINVAL, 0}, /* not known */
	{{0, 32, 1, 1}, 16, 2, -EINVAL, 0},  /* sizes */
	{{8, 32, 1, 1}, 16, 2, -EINVAL, 0},
	{{12, 32, 1, 1}, 16, 2, -EINVAL, 0},
	{{15, 32, 1, 1}, 16, 2, -EINVAL, 0},
	{{17, 32, 1, 1}, 16, 2, -EINVAL, 0},
	{{24, 32, 1, 1}, 16, 2, -EINVAL, 0},
	{{UINT32_MAX, 32, 1, 1}, 16, 2, -EINVAL, 0},
	{{UINT32_MAX - 7, 32, 1, 1}, 16, 2, -EINVAL, 0},
	{{16, 32, 1, 1, 16, 32, 1, 2}, 32, 4, -EINVAL, 0}, /* twice */
	{{16, 32, 1, 1, 0, 0}, 24, 3, -EINVAL, 0},
};

static void ext_one(struct rig *r, uint32_t opcode, const struct ext_case *c, int error)
{
	struct fuse_create_in in = {.flags = O_RDWR, .mode = 0100755};

	rig_begin(r, opcode, ROOT);
	r->msg.hdr.total_extlen = c->extlen;
	if (opcode == FUSE_MKDIR)
		rig_add(r, &in, 8);
	if (opcode == FUSE_TMPFILE)
		rig_add(r, &in, sizeof(in));
	rig_name(r, opcode == FUSE_TMPFILE ? "/" : "name");
	if (opcode == FUSE_SYMLINK)
		rig_name(r, "target");
	rig_add(r, c->words, c->bytes);
	seen_gid = 1234567;
	rig_send(r, RIG_ROOM);
	assert_int_equal(r->error, error);
	assert_int_equal(seen_gid, error ? 1234567 : c->gid);
	if (!error && opcode != FUSE_TMPFILE)
		assert_int_equal(rig_call(r, opcode == FUSE_MKDIR ? FUSE_RMDIR : FUSE_UNLINK, ROOT,
					  NULL, 0, "name"),
				 0);
}

static void test_extensions(void **state)
{
	struct rig *r = rig_new_init();

	(void)state;
	r->ops.mkdir = mkdir_seen;
	r->ops.symlink = symlink_seen;
	r->ops.tmpfile = tmpfile_seen;
	for (unsigned int i = 0; i < ARRAY_SIZE(ext_cases); i++) {
		const struct ext_case *c = &ext_cases[i];
		/* What is behind an unused name belongs to the name. */
		bool part = c->error && c->bytes && c->extlen * 8u < c->bytes;

		ext_one(r, FUSE_MKDIR, c, c->error);
		ext_one(r, FUSE_SYMLINK, c, c->error);
		if (!part)
			ext_one(r, FUSE_TMPFILE, c, c->error);
	}
	rig_free(r);

	/* Not agreed on: the field means nothing, and nothing may follow. */
	r = rig_new();
	r->ops.mkdir = mkdir_seen;
	assert_int_equal(rig_init(r, 39, UINT64_MAX & ~FUSE_CREATE_SUPP_GROUP), 0);
	ext_one(r, FUSE_MKDIR, &(struct ext_case){.extlen = 0x5a5a, .gid = NO_GID}, 0);
	ext_one(r, FUSE_MKDIR, &ext_cases[1], -EINVAL);
	rig_free(r);
}

/* The flags of OPEN and CREATE that other kernels leave to chance. */
static uint32_t seen_flags;

static int open_seen(struct request *req, uint64_t nodeid, const struct fuse_open_in *in,
		     struct fuse_open_out *ret)
{
	seen_flags = in->open_flags;
	return memfs_ops.open(req, nodeid, in, ret);
}

static int create_seen(struct request *req, uint64_t parent, const char *name,
		       const struct fuse_create_in *in, struct fuse_entry_out *ret_entry,
		       struct fuse_open_out *ret_open)
{
	seen_flags = in->open_flags;
	return memfs_ops.create(req, parent, name, in, ret_entry, ret_open);
}

static int init_killpriv(void *be, struct fuse_init *init)
{
	init->want |= FUSE_HANDLE_KILLPRIV_V2;
	return memfs_ops.init(be, init);
}

static void test_open_flags(void **state)
{
	struct fuse_open_in in = {.open_flags = FUSE_OPEN_KILL_SUIDGID};
	struct fuse_create_in create = {.open_flags = FUSE_OPEN_KILL_SUIDGID};
	struct rig *r = rig_new();

	(void)state;
	r->ops.open = open_seen;
	r->ops.create = create_seen;
	for (int agreed = 0; agreed < 2; agreed++) {
		struct scene sc;

		r->ops.init = agreed ? init_killpriv : memfs_ops.init;
		assert_int_equal(rig_init(r, 39, UINT64_MAX), 0);
		if (!agreed)
			scene_new(r, &sc);
		assert_int_equal(rig_lookup(r, ROOT, "f", &sc.f), 0);
		assert_int_equal(rig_call(r, FUSE_OPEN, sc.f, &in, sizeof(in), NULL), 0);
		assert_int_equal(seen_flags, agreed ? FUSE_OPEN_KILL_SUIDGID : 0);
		seen_flags = 99;
		assert_int_equal(rig_call(r, FUSE_CREATE, ROOT, &create, sizeof(create),
					  agreed ? "1" : "0"),
				 0);
		assert_int_equal(seen_flags, agreed ? FUSE_OPEN_KILL_SUIDGID : 0);
	}
	rig_free(r);
}

/* A guest without KILLPRIV_V2 relies on us where OPEN truncates. */
static void test_open_trunc_kills(void **state)
{
	struct fuse_create_in create = {.flags = O_RDWR | O_TRUNC};
	struct fuse_open_in in = {.flags = O_RDWR | O_TRUNC};
	struct rig *r = rig_new_init();
	struct scene sc;

	(void)state;
	r->ops.open = open_seen;
	r->ops.create = create_seen;
	scene_new(r, &sc);
	for (uint32_t uid = 0; uid < 2; uid++) {
		rig_begin(r, FUSE_OPEN, sc.f);
		r->msg.hdr.uid = uid;
		rig_add(r, &in, sizeof(in));
		rig_send(r, RIG_ROOM);
		assert_int_equal(seen_flags, uid ? FUSE_OPEN_KILL_SUIDGID : 0);
		rig_begin(r, FUSE_CREATE, ROOT);
		r->msg.hdr.uid = uid;
		rig_add(r, &create, sizeof(create));
		rig_name(r, "f");
		rig_send(r, RIG_ROOM);
		assert_int_equal(seen_flags, uid ? FUSE_OPEN_KILL_SUIDGID : 0);
	}
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),          cmocka_unit_test(test_framing),
		cmocka_unit_test(test_before_init),    cmocka_unit_test(test_unknown_opcodes),
		cmocka_unit_test(test_no_ops),         cmocka_unit_test(test_readonly),
		cmocka_unit_test(test_backend_errors), cmocka_unit_test(test_backend_sizes),
		cmocka_unit_test(test_backend_lies),   cmocka_unit_test(test_extensions),
		cmocka_unit_test(test_open_flags),     cmocka_unit_test(test_open_trunc_kills),
	};

	return cmocka_run_group_tests_name("dispatch", tests, NULL, NULL);
}
