// SPDX-License-Identifier: Apache-2.0
/* Requests that no honest guest sends: exactly one answer, and nothing done. */
/*
 * Theory of operation
 *
 * Every sample is spoilt in each way that a table or a loop can name: cut short at every byte, with
 * bytes too many, with a header that lies, with too little room for the answer, with names and
 * numbers that must be refused. That there is exactly one answer, well formed and within its room,
 * is checked by rig_send() for all of them; that nothing was done, by counting what the tree holds.
 * In the end, a generator spoils them at random.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fuse_sample.h"
#include "rnd.h"
#include "util.h"

#define ROOT FUSE_ROOT_ID

/* One tree for many requests, as long as they change nothing. */
struct still {
	struct rig *r;
	struct scene sc;
	struct memfs_stats before;
};

static void still_new(struct still *st)
{
	st->r = rig_new_init();
	scene_new(st->r, &st->sc);
	memfs_stats(st->r->fs, &st->before);
}

static void still_check(struct still *st, const struct sample *s)
{
	struct memfs_stats after;

	memfs_stats(st->r->fs, &after);
	if (memcmp(&st->before, &after, sizeof(after)))
		fail_msg("%s did something", fuse_opcode_name(s->opcode));
	assert_true(st->r->se.active);
}

static void still_done(struct still *st)
{
	struct fuse_attr attr;

	/* Nothing was renamed, removed or written either. */
	assert_int_equal(rig_lookup(st->r, ROOT, "f", NULL), 0);
	assert_int_equal(rig_lookup(st->r, ROOT, "g", NULL), 0);
	assert_int_equal(rig_lookup(st->r, ROOT, "e", NULL), 0);
	assert_int_equal(rig_getattr(st->r, st->sc.f, &attr), 0);
	assert_int_equal(attr.size, sizeof(SAMPLE_DATA) - 1);
	assert_int_equal(attr.mode, 0100644);
	assert_int_equal(rig_getxattr(st->r, st->sc.f, SAMPLE_XATTR, 100), 0);
	assert_int_equal(rig_getxattr(st->r, st->sc.f, "user.b", 100), -ENODATA);
	assert_int_equal(rig_read(st->r, st->sc.f, st->sc.fh, 0, 100), 0);
	assert_memory_equal(st->r->reply, SAMPLE_DATA, sizeof(SAMPLE_DATA) - 1);
	rig_free(st->r);
}

/* @error, or no answer where there never is one, or ENOSYS where nobody looks. */
static void still_send(struct still *st, const struct sample *s, size_t room, int error)
{
	struct rig *r = st->r;

	rig_send(r, room);
	if (s->flags & SAMPLE_NO_REPLY)
		error = 1;
	else if (s->error == -ENOSYS && error == -EINVAL)
		error = -ENOSYS;
	if (r->error != error)
		fail_msg("%s of %zu bytes: error %d, not %d", fuse_opcode_name(s->opcode),
			 r->msg.len, r->error, error);
	still_check(st, s);
}

static void test_truncated(void **state)
{
	struct still st;

	(void)state;
	still_new(&st);
	for (unsigned int i = 0; i < samples_count; i++) {
		const struct sample *s = &samples[i];
		size_t full;

		sample_build(st.r, &st.sc, s, NULL);
		full = st.r->msg.len;
		for (size_t len = 0; len < full; len++) {
			/* Where the name means nothing it may be short. */
			if (s->flags & SAMPLE_ANY_NAME && len >= s->args)
				break;
			sample_build(st.r, &st.sc, s, NULL);
			st.r->msg.len = len;
			still_send(&st, s, RIG_ROOM, -EINVAL);
		}
	}
	still_done(&st);
}

static void test_trailing(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < samples_count; i++) {
		const struct sample *s = &samples[i];

		for (size_t more = 1; more < 20; more++) {
			static const uint8_t junk[20] = "x/../\0junk";
			struct still st;

			still_new(&st);
			sample_build(st.r, &st.sc, s, NULL);
			rig_add(st.r, junk, more);
			if ((s->names && !(s->flags & SAMPLE_ANY_NAME)) ||
			    s->opcode == FUSE_WRITE) {
				still_send(&st, s, RIG_ROOM, -EINVAL);
				still_done(&st);
				continue;
			}
			rig_send(st.r, RIG_ROOM);
			assert_int_equal(st.r->error, s->flags & SAMPLE_NO_REPLY ? 1 : s->error);
			rig_free(st.r);
		}
	}
}

static void test_header_length(void **state)
{
	struct still st;

	(void)state;
	still_new(&st);
	for (unsigned int i = 0; i < samples_count; i++) {
		const struct sample *s = &samples[i];
		const uint32_t lens[] = {0, 1, 39, 40, 41, 4096, INT32_MAX, 0x80000000, UINT32_MAX};

		for (unsigned int j = 0; j < ARRAY_SIZE(lens) + 2; j++) {
			uint32_t sent;

			sample_build(st.r, &st.sc, s, NULL);
			sent = 40 + (uint32_t)st.r->msg.len;
			st.r->msg.len_wrong = true;
			if (j < ARRAY_SIZE(lens))
				st.r->msg.hdr.len = lens[j];
			else
				st.r->msg.hdr.len = sent + (j & 1 ? 1u : UINT32_MAX);
			if (st.r->msg.hdr.len == sent)
				continue;
			rig_send(st.r, RIG_ROOM);
			assert_int_equal(st.r->error, s->flags & SAMPLE_NO_REPLY ? 1 : -EINVAL);
			still_check(&st, s);
		}
	}
	still_done(&st);
}

static void test_header_short(void **state)
{
	struct still st;

	(void)state;
	still_new(&st);
	for (unsigned int i = 0; i < samples_count; i++) {
		const struct sample *s = &samples[i];

		for (size_t cut = 1; cut <= 40; cut++) {
			/* The fifth byte tells that it wants no answer: opcodes are small. */
			bool silent = s->flags & SAMPLE_NO_REPLY && cut <= 35;

			sample_build(st.r, &st.sc, s, NULL);
			st.r->msg.cut_header = cut;
			rig_send(st.r, RIG_ROOM);
			assert_int_equal(st.r->error, silent ? 1 : -EINVAL);
			/* The answer carries what there was of the unique. */
			if (!silent && cut <= 24)
				assert_int_equal(st.r->req.hdr.unique, st.r->unique);
			still_check(&st, s);
		}
	}
	still_done(&st);
}

static void test_unique_zero(void **state)
{
	struct still st;

	(void)state;
	still_new(&st);
	for (unsigned int i = 0; i < samples_count; i++) {
		const struct sample *s = &samples[i];

		if (s->flags & SAMPLE_NO_REPLY)
			continue;
		sample_build(st.r, &st.sc, s, NULL);
		st.r->msg.unique_zero = true;
		rig_send(st.r, RIG_ROOM);
		assert_int_equal(st.r->error, -EINVAL);
		still_check(&st, s);
	}
	still_done(&st);
}

static void test_room(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < samples_count; i++) {
		const struct sample *s = &samples[i];
		size_t full = 16 + s->reply;
		struct still st;

		still_new(&st);
		for (size_t room = 0; room < full; room++) {
			if (s->flags & (SAMPLE_NO_REPLY | SAMPLE_SHRINKS) && room >= 16)
				break;
			if (s->flags & SAMPLE_NO_REPLY)
				continue;
			sample_build(st.r, &st.sc, s, NULL);
			rig_send(st.r, room);
			assert_int_equal(st.r->used, room < 16 ? 0 : 16);
			assert_int_equal(st.r->error, room < 16 ? 1 : -EIO);
			still_check(&st, s);
		}
		still_done(&st);

		/* What answers less in less room does not answer wrong. */
		for (size_t room = 16; s->flags & SAMPLE_SHRINKS && room < full; room++) {
			still_new(&st);
			sample_build(st.r, &st.sc, s, NULL);
			rig_send(st.r, room);
			if (st.r->error)
				assert_true(st.r->error == -EINVAL || st.r->error == -ERANGE);
			else
				assert_int_equal(st.r->used, 16 + st.r->len);
			rig_free(st.r);
		}

		/* Exactly enough is enough. */
		still_new(&st);
		sample_build(st.r, &st.sc, s, NULL);
		rig_send(st.r, s->flags & SAMPLE_NO_REPLY ? 0 : full);
		assert_int_equal(st.r->error, s->flags & SAMPLE_NO_REPLY ? 1 : s->error);
		assert_int_equal(st.r->len, s->error ? 0 : s->reply);
		rig_free(st.r);
	}
}

/* A question for a length needs room for it. */
static void test_room_lengths(void **state)
{
	struct fuse_getxattr_in in = {.size = 0};
	struct still st;

	(void)state;
	still_new(&st);
	for (size_t room = 0; room < 24; room++) {
		rig_begin(st.r, FUSE_GETXATTR, st.sc.f);
		rig_add(st.r, &in, sizeof(in));
		rig_name(st.r, SAMPLE_XATTR);
		rig_send(st.r, room);
		assert_int_equal(st.r->error, room < 16 ? 1 : -EIO);
		rig_begin(st.r, FUSE_LISTXATTR, st.sc.f);
		rig_add(st.r, &in, sizeof(in));
		rig_send(st.r, room);
		assert_int_equal(st.r->error, room < 16 ? 1 : -EIO);
	}
	still_done(&st);
}

/* An address of the chain was no guest memory: what there is of it is not run. */
static void test_faulted(void **state)
{
	struct still st;

	(void)state;
	still_new(&st);
	st.r->req.faulted = true;
	for (unsigned int i = 0; i < samples_count; i++) {
		const struct sample *s = &samples[i];

		for (size_t room = 0; room < 40; room++) {
			sample_build(st.r, &st.sc, s, NULL);
			rig_send(st.r, room);
			assert_int_equal(st.r->error,
					 room < 16 || s->flags & SAMPLE_NO_REPLY ? 1 : -EFAULT);
			still_check(&st, s);
		}
	}
	st.r->req.faulted = false;
	still_done(&st);
}

/* ---- names ---- */

static const struct bad_name {
	const char *bytes;
	size_t len; /* with its NUL if there is one */
	int error;
	int xattr; /* the error where it is the name of an attribute; 1 = it is a good one */
} bad_names[] = {
	{"", 1, -EINVAL, -ERANGE},     {".", 2, -EINVAL, 1},
	{"..", 3, -EINVAL, 1},         {"/", 2, -EINVAL, 1},
	{"//", 3, -EINVAL, 1},         {"a/", 3, -EINVAL, 1},
	{"/a", 3, -EINVAL, 1},         {"a/b", 4, -EINVAL, 1},
	{"../x", 5, -EINVAL, 1},       {"./x", 4, -EINVAL, 1},
	{"f\0x", 4, -EINVAL, -EINVAL}, /* more behind the last name */
	{"f\0", 3, -EINVAL, -EINVAL},  {"no end", 6, -EINVAL, -EINVAL},
};

static void build_named(struct still *st, const struct sample *s, unsigned int which,
			const void *bytes, size_t len)
{
	struct rig *r = st->r;
	uint8_t tail[64];
	size_t name_at = s->args, name_len, tail_len;

	sample_build(r, &st->sc, s, NULL);
	for (unsigned int i = 0; i < which; i++)
		name_at += strlen((char *)r->msg.body + name_at) + 1;
	name_len = strlen((char *)r->msg.body + name_at) + 1;
	tail_len = r->msg.len - name_at - name_len;
	assert_in_range(tail_len, 0, sizeof(tail));
	memcpy(tail, r->msg.body + name_at + name_len, tail_len);
	r->msg.len = name_at;
	rig_add(r, bytes, len);
	rig_add(r, tail, tail_len);
}

static void test_bad_names(void **state)
{
	struct still st;

	(void)state;
	still_new(&st);
	for (unsigned int i = 0; i < samples_count; i++) {
		const struct sample *s = &samples[i];

		if (!s->names || s->flags & SAMPLE_ANY_NAME)
			continue;
		for (unsigned int j = 0; j < s->names * ARRAY_SIZE(bad_names); j++) {
			const struct bad_name *bad = &bad_names[j % ARRAY_SIZE(bad_names)];
			unsigned int which = (unsigned int)(j / ARRAY_SIZE(bad_names));
			int error = s->flags & SAMPLE_XATTRS ? bad->xattr : bad->error;

			/* Followed by something, these are a good name and another thing. */
			if (strlen(bad->bytes) + 1 != bad->len &&
			    (s->flags & SAMPLE_TAIL || which + 1 < s->names))
				continue;
			if (error == 1)
				continue;
			build_named(&st, s, which, bad->bytes, bad->len);
			rig_send(st.r, RIG_ROOM);
			if (st.r->error != error)
				fail_msg("%s name %u case %zu: error %d, not %d",
					 fuse_opcode_name(s->opcode), which,
					 j % ARRAY_SIZE(bad_names), st.r->error, error);
			still_check(&st, s);
		}
	}
	still_done(&st);
}

static void test_name_lengths(void **state)
{
	static const size_t lens[] = {255, 256, 257, 512, 1000, 1024, 1025, 5000};

	(void)state;
	for (unsigned int i = 0; i < samples_count; i++) {
		const struct sample *s = &samples[i];

		if (!s->names || s->flags & SAMPLE_ANY_NAME)
			continue;
		for (unsigned int j = 0; j < s->names * ARRAY_SIZE(lens); j++) {
			size_t len = lens[j % ARRAY_SIZE(lens)];
			char *name = calloc(1, len + 1);
			struct still st;

			assert_non_null(name);
			still_new(&st);
			memset(name, 'n', len);
			build_named(&st, s, j / ARRAY_SIZE(lens), name, len + 1);
			if (len > 255) {
				still_send(&st, s, RIG_ROOM,
					   s->flags & SAMPLE_XATTRS ? -ERANGE : -ENAMETOOLONG);
				/* Also where it does not end. */
				build_named(&st, s, j / ARRAY_SIZE(lens), name, len);
				still_send(&st, s, RIG_ROOM,
					   s->flags & SAMPLE_XATTRS ? -ERANGE : -ENAMETOOLONG);
				still_done(&st);
			} else {
				rig_send(st.r, RIG_ROOM);
				assert_int_not_equal(st.r->error, -ENAMETOOLONG);
				assert_int_not_equal(st.r->error, -EINVAL);
				rig_free(st.r);
			}
			free(name);
		}
	}
}

/* Linux names a file without a name "/"; it may also send nothing or much. */
static void test_unused_name(void **state)
{
	static const char *const names[] = {"", ".", "..", "/", "a/b", "#12345"};
	struct fuse_create_in in = {.flags = O_RDWR, .mode = 0100600};
	struct rig *r = rig_new_init();

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++)
		assert_int_equal(rig_call(r, FUSE_TMPFILE, ROOT, &in, sizeof(in), names[i]), 0);
	assert_int_equal(rig_call(r, FUSE_TMPFILE, ROOT, &in, sizeof(in), NULL), 0);
	rig_begin(r, FUSE_TMPFILE, ROOT);
	rig_add(r, &in, sizeof(in));
	memset(r->msg.body + r->msg.len, 'x', 2000);
	r->msg.len = 1024;
	rig_send(r, RIG_ROOM);
	assert_int_equal(r->error, 0);
	r->msg.len = 1025;
	rig_send(r, RIG_ROOM);
	assert_int_equal(r->error, -EINVAL);
	rig_free(r);
}

/* ---- numbers ---- */

#define MAX63 ((uint64_t)INT64_MAX)

static void test_overflow_io(void **state)
{
	static const struct {
		uint64_t off;
		uint32_t size;
		int read;
		int write;
	} cases[] = {
		{MAX63, 0, 0, 0},
		{MAX63, 1, 0, -EFBIG},
		{MAX63 - 3, 4, 0, -EFBIG}, /* what the last byte would be is at 2^63 - 1 */
		{MAX63 - 3, 8, 0, -EFBIG},
		{MAX63 + 1, 0, -EINVAL, -EINVAL},
		{MAX63 + 1, 4, -EINVAL, -EINVAL},
		{UINT64_MAX, 1, -EINVAL, -EINVAL},
		{UINT64_MAX - 3, 4, -EINVAL, -EINVAL},
		{0, UINT32_MAX, 0, -EINVAL}, /* a WRITE whose data is not there */
	};
	struct still st;

	(void)state;
	still_new(&st);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fuse_read_in rd = {
			.fh = st.sc.fh, .offset = cases[i].off, .size = cases[i].size};
		struct fuse_write_in wr = {
			.fh = st.sc.fh, .offset = cases[i].off, .size = cases[i].size};

		rig_call(st.r, FUSE_READ, st.sc.f, &rd, sizeof(rd), NULL);
		assert_int_equal(st.r->error, cases[i].read);
		rig_begin(st.r, FUSE_WRITE, st.sc.f);
		rig_add(st.r, &wr, sizeof(wr));
		if (cases[i].size <= 8)
			rig_add(st.r, "12345678", cases[i].size);
		rig_send(st.r, RIG_ROOM);
		if (cases[i].off != MAX63 - 3 || cases[i].size != 4)
			assert_int_equal(st.r->error, cases[i].write);
		rd.fh = st.sc.rh;
		rig_call(st.r, FUSE_READDIR, ROOT, &rd, sizeof(rd), NULL);
		if (cases[i].off > MAX63)
			assert_int_equal(st.r->error, -EINVAL);
	}
	rig_free(st.r);
}

/* A WRITE brings as many bytes as it says. */
static void test_write_size(void **state)
{
	struct still st;

	(void)state;
	still_new(&st);
	for (uint32_t says = 0; says < 10; says++) {
		for (size_t has = 0; has < 10; has++) {
			struct fuse_write_in in = {.fh = st.sc.fh, .size = says, .offset = 2};

			if (says == has)
				continue;
			rig_begin(st.r, FUSE_WRITE, st.sc.f);
			rig_add(st.r, &in, sizeof(in));
			rig_add(st.r, "##########", has);
			rig_send(st.r, RIG_ROOM);
			assert_int_equal(st.r->error, -EINVAL);
		}
	}
	still_done(&st);
}

static void test_overflow_other(void **state)
{
	static const struct {
		uint64_t off;
		uint64_t len;
		int alloc;
		int copy; /* -EIO = it is not wrong */
	} cases[] = {
		{0, 0, -EINVAL, -EIO},
		{0, MAX63 + 1, -EINVAL, -EOVERFLOW},
		{0, UINT64_MAX, -EINVAL, -EOVERFLOW},
		{MAX63 + 1, 1, -EINVAL, -EINVAL},
		{UINT64_MAX, 1, -EINVAL, -EINVAL},
		{UINT64_MAX, UINT64_MAX, -EINVAL, -EINVAL},
		{MAX63, 1, -EFBIG, -EOVERFLOW},
		{1, MAX63, -EFBIG, -EOVERFLOW},
		{MAX63 - 10, 11, -EFBIG, -EOVERFLOW},
		{0, MAX63, -ENOSPC, -EIO},
		{MAX63 - 1, 1, -ENOSPC, -EIO},
	};
	struct still st;

	(void)state;
	still_new(&st);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fuse_fallocate_in alloc = {
			.fh = st.sc.fh, .offset = cases[i].off, .length = cases[i].len};
		struct fuse_copy_file_range_in copy = {.fh_in = st.sc.fh,
						       .off_in = cases[i].off,
						       .nodeid_out = st.sc.g,
						       .fh_out = st.sc.gh,
						       .len = cases[i].len};

		/* The page at the very end there is room for. */
		if (cases[i].off != MAX63 - 1 && cases[i].off != MAX63 - 10) {
			rig_call(st.r, FUSE_FALLOCATE, st.sc.f, &alloc, sizeof(alloc), NULL);
			assert_int_equal(st.r->error, cases[i].alloc);
		}
		if (cases[i].copy == -EIO)
			continue;
		rig_call(st.r, FUSE_COPY_FILE_RANGE, st.sc.f, &copy, sizeof(copy), NULL);
		assert_int_equal(st.r->error, cases[i].copy);
		copy.off_out = copy.off_in;
		copy.off_in = 0;
		rig_call(st.r, FUSE_COPY_FILE_RANGE, st.sc.f, &copy, sizeof(copy), NULL);
		assert_int_equal(st.r->error, cases[i].copy);
	}
	for (uint64_t off = MAX63 + 1; off; off += MAX63) {
		struct fuse_lseek_in in = {.fh = st.sc.fh, .offset = off, .whence = SEEK_DATA};

		rig_call(st.r, FUSE_LSEEK, st.sc.f, &in, sizeof(in), NULL);
		assert_int_equal(st.r->error, -ENXIO);
		if (off == UINT64_MAX)
			break;
	}
	still_done(&st);
}

static void test_setattr_values(void **state)
{
	const struct fuse_setattr_in cases[] = {
		{.valid = FATTR_SIZE, .size = MAX63 + 1},
		{.valid = FATTR_SIZE, .size = UINT64_MAX},
		{.valid = FATTR_UID, .uid = UINT32_MAX},
		{.valid = FATTR_GID, .gid = UINT32_MAX},
		{.valid = FATTR_ATIME, .atimensec = 1000000000},
		{.valid = FATTR_ATIME, .atimensec = 0x3fffffff}, /* UTIME_NOW */
		{.valid = FATTR_MTIME, .mtimensec = 0x3ffffffe}, /* UTIME_OMIT */
		{.valid = FATTR_MTIME, .mtimensec = UINT32_MAX},
		{.valid = FATTR_CTIME, .ctimensec = 1000000000},
	};
	const struct fuse_setattr_in good[] = {
		{.valid = 0, .size = UINT64_MAX, .uid = UINT32_MAX, .atimensec = UINT32_MAX},
		{.valid = 0xfffff000, .size = UINT64_MAX},
		{.valid = FATTR_ATIME | FATTR_ATIME_NOW, .atimensec = UINT32_MAX},
		{.valid = FATTR_MTIME, .mtimensec = 999999999},
	};
	struct still st;

	(void)state;
	still_new(&st);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(rig_setattr(st.r, st.sc.f, &cases[i]), -EINVAL);
	for (unsigned int i = 0; i < ARRAY_SIZE(good); i++)
		assert_int_equal(rig_setattr(st.r, st.sc.f, &good[i]), 0);
	still_done(&st);
}

static void test_batch_forget(void **state)
{
	static const uint32_t counts[] = {3,          4,          1000,      0x10000000,
					  0x10000001, 0x80000000, UINT32_MAX};
	struct still st;

	(void)state;
	still_new(&st);
	for (unsigned int i = 0; i < ARRAY_SIZE(counts); i++) {
		struct fuse_batch_forget_in in = {.count = counts[i]};
		struct fuse_forget_one one[2] = {{st.sc.f, 1}, {st.sc.g, 1}};

		rig_begin(st.r, FUSE_BATCH_FORGET, 0);
		rig_add(st.r, &in, sizeof(in));
		rig_add(st.r, one, sizeof(one));
		rig_send(st.r, 0);
		assert_int_equal(st.r->used, 0);
	}
	still_done(&st);
}

/* Sizes of values that are not what follows. */
static void test_value_sizes(void **state)
{
	static const uint32_t sizes[] = {0, 1, 4, 6, 100, 65536, 65537, 0x80000000, UINT32_MAX};
	struct still st;

	(void)state;
	still_new(&st);
	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct fuse_setxattr_in in = {.size = sizes[i]};

		rig_begin(st.r, FUSE_SETXATTR, st.sc.f);
		rig_add(st.r, &in, sizeof(in));
		rig_name(st.r, "user.b");
		rig_add(st.r, "12345", 5);
		rig_send(st.r, RIG_ROOM);
		assert_int_equal(st.r->error, sizes[i] > 65536 ? -E2BIG : -EINVAL);
	}
	still_done(&st);
}

/* A link's target has its NUL at its end and nowhere else. */
static void test_target_bytes(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		int error;
	} cases[] = {
		{"", 0, -EINVAL},    {"x", 1, -EINVAL},   {"x\0y", 4, -EINVAL},
		{"x\0", 3, -EINVAL}, {"\0x", 3, -EINVAL}, {"", 1, -ENOENT},
	};
	struct still st;

	(void)state;
	still_new(&st);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		rig_begin(st.r, FUSE_SYMLINK, ROOT);
		rig_name(st.r, "name");
		rig_add(st.r, cases[i].bytes, cases[i].len);
		rig_send(st.r, RIG_ROOM);
		assert_int_equal(st.r->error, cases[i].error);
	}
	still_done(&st);
}

/* Ids that nobody was given, wherever an id goes. */
static void test_ids(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < samples_count; i++) {
		const struct sample *s = &samples[i];
		/* Slots are small numbers; the upper half is a generation. */
		static const uint64_t ids[] = {0,
					       1000,
					       UINT32_MAX,
					       UINT64_C(1) << 32,
					       UINT64_C(1) << 63,
					       (UINT64_C(1) << 32) + 2,
					       UINT64_MAX};
		struct still st;

		if (!s->op || s->flags & SAMPLE_NO_REPLY)
			continue;
		still_new(&st);
		for (unsigned int j = 0; j < ARRAY_SIZE(ids); j++) {
			sample_build(st.r, &st.sc, s, NULL);
			st.r->msg.hdr.nodeid = ids[j];
			rig_send(st.r, RIG_ROOM);
			if (st.r->error != -ESTALE && st.r->error != -EBADF)
				fail_msg("%s of node %#llx: error %d", fuse_opcode_name(s->opcode),
					 (unsigned long long)ids[j], st.r->error);
			still_check(&st, s);
		}
		still_done(&st);
	}
}

/* ---- at random ---- */

static void spoil(struct rig *r, uint64_t *seed)
{
	struct rig_msg *m = &r->msg;

	for (uint32_t n = rnd_below(seed, 4); n; n--) {
		switch (rnd_below(seed, 8)) {
		case 0:
			m->len = rnd_below(seed, (uint32_t)m->len + 1);
			break;
		case 1:
			m->len += rnd_below(seed, 40);
			break;
		case 2:
			m->hdr.nodeid = rnd_below(seed, 12);
			break;
		case 3:
			m->hdr.opcode = rnd_below(seed, 56);
			break;
		case 4:
			if (m->len)
				m->body[rnd_below(seed, (uint32_t)m->len)] = (uint8_t)rnd(seed);
			break;
		case 5:
			if (m->len >= 8)
				memset(m->body + rnd_below(seed, (uint32_t)m->len - 7),
				       rnd(seed) & 1 ? 0xff : 0, 8);
			break;
		case 6:
			m->hdr.total_extlen = (uint16_t)rnd_below(seed, 6);
			break;
		default:
			m->len_wrong = true;
			m->hdr.len = 40 + (uint32_t)m->len + rnd_below(seed, 3) - 1;
			break;
		}
	}
}

static void test_random(void **state)
{
	uint64_t seed = 0x5eed;

	(void)state;
	for (unsigned int round = 0; round < 100; round++) {
		struct rig *r = rig_new_init();
		struct scene sc;

		scene_new(r, &sc);
		for (unsigned int i = 0; i < 300; i++) {
			const struct sample *s = &samples[rnd_below(&seed, samples_count)];
			static const size_t pieces[] = {0, 0, 1, 5, 40, 41, 128};

			r->frame.in = pieces[rnd_below(&seed, ARRAY_SIZE(pieces))];
			r->frame.out = pieces[rnd_below(&seed, ARRAY_SIZE(pieces))];
			sample_build(r, &sc, s, NULL);
			memset(r->msg.body + r->msg.len, (int)rnd_below(&seed, 256), 200);
			spoil(r, &seed);
			rig_send(r, rnd_below(&seed, 400));
			/* The session may have ended; begin another one. */
			if (!atomic_load(&r->se.active)) {
				r->frame = (struct rig_frame){0};
				assert_int_equal(rig_init(r, 39, UINT64_MAX), 0);
			}
		}
		rig_free(r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_trailing),
		cmocka_unit_test(test_header_length),
		cmocka_unit_test(test_header_short),
		cmocka_unit_test(test_unique_zero),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_room_lengths),
		cmocka_unit_test(test_faulted),
		cmocka_unit_test(test_bad_names),
		cmocka_unit_test(test_name_lengths),
		cmocka_unit_test(test_unused_name),
		cmocka_unit_test(test_overflow_io),
		cmocka_unit_test(test_write_size),
		cmocka_unit_test(test_overflow_other),
		cmocka_unit_test(test_setattr_values),
		cmocka_unit_test(test_batch_forget),
		cmocka_unit_test(test_value_sizes),
		cmocka_unit_test(test_target_bytes),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests_name("malformed", tests, NULL, NULL);
}
