// SPDX-License-Identifier: Apache-2.0
/* Security labels that come with what is created: decoded whole, or refused before the backend is called. */
/*
 * Theory of operation
 *
 * The backend is memfs with its creating operations replaced by ones that note what they are given and
 * create nothing. A message is put together from what Linux sends: with the extensions announced in the
 * header (6.3 and later), or the label just following (5.17 to 6.2).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "fuse_rig.h"
#include "rnd.h"
#include "util.h"

#define ROOT    FUSE_ROOT_ID
#define EXT_MAX 8192u
#define NO_GID  UINT32_MAX

static struct {
	unsigned int calls;
	bool label;
	char name[XATTR_NAME_MAX + 1];
	uint8_t value[EXT_MAX];
	uint32_t size;
	uint32_t gid;
	char target[PATH_MAX];
} seen;

static int note(struct request *req)
{
	seen.calls++;
	seen.gid = req->supp_gid;
	seen.label = req->label != NULL;
	if (req->label) {
		/* All of it can be read, and is what the contract says. */
		size_t len = strlen(req->label->name);

		assert_in_range(len, 1, XATTR_NAME_MAX);
		memcpy(seen.name, req->label->name, len + 1);
		assert_in_range(req->label->size, 1, sizeof(seen.value));
		memcpy(seen.value, req->label->value, req->label->size);
		seen.size = req->label->size;
	}
	return -EUCLEAN;
}

static int see_symlink(struct request *req, uint64_t parent, const char *name, const char *target,
		       struct fuse_entry_out *ret)
{
	(void)parent;
	(void)name;
	(void)ret;
	strcpy(seen.target, target);
	return note(req);
}

static int see_mknod(struct request *req, uint64_t parent, const char *name,
		     const struct fuse_mknod_in *in, struct fuse_entry_out *ret)
{
	(void)parent;
	(void)name;
	(void)in;
	(void)ret;
	return note(req);
}

static int see_mkdir(struct request *req, uint64_t parent, const char *name,
		     const struct fuse_mkdir_in *in, struct fuse_entry_out *ret)
{
	(void)parent;
	(void)name;
	(void)in;
	(void)ret;
	return note(req);
}

static int see_create(struct request *req, uint64_t parent, const char *name,
		      const struct fuse_create_in *in, struct fuse_entry_out *ret_entry,
		      struct fuse_open_out *ret_open)
{
	(void)parent;
	(void)name;
	(void)in;
	(void)ret_entry;
	(void)ret_open;
	return note(req);
}

static int see_tmpfile(struct request *req, uint64_t parent, const struct fuse_create_in *in,
		       struct fuse_entry_out *ret_entry, struct fuse_open_out *ret_open)
{
	return see_create(req, parent, "", in, ret_entry, ret_open);
}

static int init(void *be, struct fuse_init *ret)
{
	int r = memfs_ops.init ? memfs_ops.init(be, ret) : 0;

	ret->want |= FUSE_SECURITY_CTX;
	return r;
}

static struct rig *start(uint64_t flags)
{
	struct rig *r = rig_new();

	r->ops.init = init;
	r->ops.symlink = see_symlink;
	r->ops.mknod = see_mknod;
	r->ops.mkdir = see_mkdir;
	r->ops.create = see_create;
	r->ops.tmpfile = see_tmpfile;
	assert_int_equal(rig_init(r, 39, flags), 0);
	return r;
}

static const uint32_t opcodes[] = {FUSE_SYMLINK, FUSE_MKNOD, FUSE_MKDIR, FUSE_CREATE, FUSE_TMPFILE};

/* What is sent in all. Returns the error; -EUCLEAN is that the backend was called. */
static int send(struct rig *r, uint32_t opcode, const void *ext, size_t len, uint16_t announced)
{
	const struct fuse_create_in create = {.flags = O_RDWR, .mode = S_IFREG | 0644};
	const struct fuse_mknod_in node = {.mode = S_IFIFO | 0644};
	const struct fuse_mkdir_in dir = {.mode = 0755};

	rig_begin(r, opcode, ROOT);
	r->msg.hdr.total_extlen = announced;
	if (opcode == FUSE_MKNOD)
		rig_add(r, &node, sizeof(node));
	else if (opcode == FUSE_MKDIR)
		rig_add(r, &dir, sizeof(dir));
	else if (opcode != FUSE_SYMLINK)
		rig_add(r, &create, sizeof(create));
	rig_name(r, opcode == FUSE_TMPFILE ? "/" : "name");
	if (opcode == FUSE_SYMLINK)
		rig_name(r, "target");
	rig_add(r, ext, len);
	memset(&seen, 0, sizeof(seen));
	rig_send(r, RIG_ROOM);
	assert_int_equal(seen.calls, r->error == -EUCLEAN);
	if (seen.calls && opcode == FUSE_SYMLINK)
		assert_string_equal(seen.target, "target");
	return r->error;
}

/* Extensions as Linux lays them out. */
struct ext {
	uint8_t bytes[EXT_MAX + 64];
	uint32_t len;
};

static void put(struct ext *x, const void *bytes, size_t len)
{
	assert_true(x->len + len <= sizeof(x->bytes));
	memcpy(x->bytes + x->len, bytes, len);
	x->len += (uint32_t)len;
}

static void put_label(struct ext *x, const char *name, const void *value, uint32_t size)
{
	struct fuse_secctx_header head = {.nr_secctx = 1};
	struct fuse_secctx ctx = {.size = size};
	uint32_t begin = x->len;

	put(x, &head, sizeof(head));
	put(x, &ctx, sizeof(ctx));
	put(x, name, strlen(name) + 1);
	put(x, value, size);
	x->len += -(x->len - begin) % 8;
	head.size = x->len - begin;
	memcpy(x->bytes + begin, &head, sizeof(head));
}

static void put_group(struct ext *x, uint32_t gid)
{
	uint32_t words[] = {16, FUSE_EXT_GROUPS, 1, gid};

	put(x, words, sizeof(words));
}

static void label_is(const char *name, const char *value)
{
	assert_true(seen.label);
	assert_string_equal(seen.name, name);
	assert_int_equal(seen.size, strlen(value) + 1);
	assert_memory_equal(seen.value, value, seen.size);
}

static void the_label_arrives(void **state)
{
	struct rig *r = start(UINT64_MAX);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(opcodes); i++) {
		struct ext x = {.len = 0};

		put_label(&x, "security.selinux", "user_u:object_r:a_t:s0", 23);
		assert_int_equal(send(r, opcodes[i], x.bytes, x.len, (uint16_t)(x.len / 8)),
				 -EUCLEAN);
		label_is("security.selinux", "user_u:object_r:a_t:s0");
		assert_int_equal(seen.gid, NO_GID);
		/* Not announced. */
		assert_int_equal(send(r, opcodes[i], x.bytes, x.len, 0), -EUCLEAN);
		label_is("security.selinux", "user_u:object_r:a_t:s0");
		/* With the group, in either order. */
		put_group(&x, 77);
		assert_int_equal(send(r, opcodes[i], x.bytes, x.len, (uint16_t)(x.len / 8)),
				 -EUCLEAN);
		label_is("security.selinux", "user_u:object_r:a_t:s0");
		assert_int_equal(seen.gid, 77);
		x.len = 0;
		put_group(&x, 78);
		put_label(&x, "a", "b", 2);
		assert_int_equal(send(r, opcodes[i], x.bytes, x.len, (uint16_t)(x.len / 8)),
				 -EUCLEAN);
		label_is("a", "b");
		assert_int_equal(seen.gid, 78);
		/* None: nothing at all, or a header that says so. */
		assert_int_equal(send(r, opcodes[i], NULL, 0, 0), -EUCLEAN);
		assert_false(seen.label);
		assert_int_equal(send(r, opcodes[i], (uint32_t[]){8, 0}, 8, 1), -EUCLEAN);
		assert_false(seen.label);
		assert_int_equal(send(r, opcodes[i], (uint32_t[]){8, 0}, 8, 0), -EUCLEAN);
		assert_false(seen.label);
	}
	rig_free(r);
}

/* A guest that knows labels, but not the group. */
static void the_label_alone(void **state)
{
	struct rig *r = start(UINT64_MAX & ~FUSE_CREATE_SUPP_GROUP);
	struct ext x = {.len = 0};

	(void)state;
	put_label(&x, "security.selinux", "label", 6);
	for (size_t i = 0; i < ARRAY_SIZE(opcodes); i++) {
		assert_int_equal(send(r, opcodes[i], x.bytes, x.len, 0), -EUCLEAN);
		label_is("security.selinux", "label");
	}
	put_group(&x, 1);
	for (size_t i = 0; i < ARRAY_SIZE(opcodes); i++)
		assert_int_equal(send(r, opcodes[i], x.bytes, x.len, (uint16_t)(x.len / 8)),
				 -EINVAL);
	rig_free(r);
}

static void not_agreed_on(void **state)
{
	struct rig *r = start(UINT64_MAX & ~FUSE_SECURITY_CTX);
	struct ext x = {.len = 0};

	(void)state;
	put_label(&x, "security.selinux", "label", 6);
	for (size_t i = 0; i < ARRAY_SIZE(opcodes); i++) {
		assert_int_equal(send(r, opcodes[i], x.bytes, x.len, (uint16_t)(x.len / 8)),
				 -EINVAL);
		/* What follows the name that nobody reads belongs to it. */
		if (opcodes[i] != FUSE_TMPFILE)
			assert_int_equal(send(r, opcodes[i], x.bytes, x.len, 0), -EINVAL);
	}
	rig_free(r);
}

static void the_longest(void **state)
{
	struct rig *r = start(UINT64_MAX);
	static uint8_t value[EXT_MAX];
	char name[XATTR_NAME_MAX + 2];

	(void)state;
	for (size_t i = 0; i < sizeof(value); i++)
		value[i] = (uint8_t)(i * 31);
	memset(name, 'n', sizeof(name));
	name[XATTR_NAME_MAX] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(opcodes); i++) {
		struct ext x = {.len = 0};

		put_label(&x, name, value, EXT_MAX - 16 - XATTR_NAME_MAX - 1);
		assert_int_equal(x.len, EXT_MAX);
		assert_int_equal(send(r, opcodes[i], x.bytes, x.len, (uint16_t)(x.len / 8)),
				 -EUCLEAN);
		assert_string_equal(seen.name, name);
		assert_int_equal(seen.size, EXT_MAX - 16 - XATTR_NAME_MAX - 1);
		assert_memory_equal(seen.value, value, seen.size);
		x.len = 0;
		put_label(&x, name, value, EXT_MAX - 16 - XATTR_NAME_MAX);
		assert_int_equal(send(r, opcodes[i], x.bytes, x.len, (uint16_t)(x.len / 8)),
				 -EINVAL);
		assert_int_equal(send(r, opcodes[i], x.bytes, x.len, 0), -EINVAL);
	}
	name[XATTR_NAME_MAX] = 'n';
	name[XATTR_NAME_MAX + 1] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(opcodes); i++) {
		struct ext x = {.len = 0};

		put_label(&x, name, "l", 2);
		assert_int_equal(send(r, opcodes[i], x.bytes, x.len, (uint16_t)(x.len / 8)),
				 -EINVAL);
	}
	rig_free(r);
}

/* Little-endian words; 'a' and a NUL are 0x61. */
static void malformed(void **state)
{
	static const struct {
		uint32_t words[12];
		uint16_t bytes;
	} cases[] = {
		{{24, 1, 4, 0, 0x61, 0x6262}, 23}, /* sizes of the whole */
		{{24, 1, 4, 0, 0x61, 0x6262}, 16},
		{{16, 1, 4, 0, 0x61, 0x6262}, 24},
		{{20, 1, 4, 0, 0x61, 0x6262}, 24},
		{{32, 1, 4, 0, 0x61, 0x6262}, 24},
		{{0, 1, 4, 0, 0x61, 0x6262}, 24},
		{{7, 1, 4, 0, 0x61, 0x6262}, 24},
		{{UINT32_MAX, 1, 4, 0, 0x61, 0x6262}, 24},
		{{UINT32_MAX - 7, 1, 4, 0, 0x61, 0x6262}, 24},
		{{24, 2, 4, 0, 0x61, 0x6262}, 24}, /* more than one */
		{{24, 31, 4, 0, 0x61, 0x6262}, 24},
		{{24, 33, 4, 0, 0x61, 0x6262}, 24}, /* not known */
		{{24, UINT32_MAX, 4, 0, 0x61, 0x6262}, 24},
		{{8, 1}, 8}, /* one that is not there */
		{{16, 1, 4, 0}, 16},
		{{16, 1, 0, 0}, 16},
		{{24, 1, 0, 0, 0x61, 0x6262}, 24}, /* of no bytes */
		{{24, 1, 7, 0, 0x61, 0x6262}, 24}, /* longer than what is there */
		{{24, 1, UINT32_MAX, 0, 0x61, 0x6262}, 24},
		{{24, 1, UINT32_MAX - 1, 0, 0x61, 0x6262}, 24},
		{{24, 1, 4, 0, 0, 0x6262}, 24}, /* no name, one without end */
		{{24, 1, 1, 0, 0x61616161, 0x61616161}, 24},
		{{24, 1, 1, 0, 0x61616161, 0x00616161}, 24}, /* nothing behind the name */
		{{24, 1, 4, 0, 0x61, 0x6262, 24, 1, 4, 0, 0x61, 0x6262}, 48}, /* twice */
		{{8, 0, 24, 1, 4, 0, 0x61, 0x6262}, 32},
		{{8, 0, 8, 0}, 16},
		{{24, 1, 4, 0, 0x61, 0x6262, 0, 0}, 32},
	};
	struct rig *r = start(UINT64_MAX);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(opcodes); i++) {
		for (size_t c = 0; c < ARRAY_SIZE(cases); c++) {
			uint16_t n = cases[c].bytes;

			if (n % 8 == 0)
				assert_int_equal(send(r, opcodes[i], cases[c].words, n, n / 8),
						 -EINVAL);
			assert_int_equal(send(r, opcodes[i], cases[c].words, n, 0), -EINVAL);
		}
		/* Announced as more or as less than it is. */
		assert_int_equal(send(r, opcodes[i], (uint32_t[]){24, 1, 4, 0, 0x61, 0x6262}, 24,
				      4),
				 -EINVAL);
		assert_int_equal(send(r, opcodes[i], (uint32_t[]){24, 1, 4, 0, 0x61, 0x6262}, 24,
				      UINT16_MAX),
				 -EINVAL);
		assert_int_equal(send(r, opcodes[i], (uint32_t[]){24, 1, 4, 0, 0x61, 0x6262}, 24,
				      3),
				 -EUCLEAN);
	}
	rig_free(r);
}

/* Good ones with bytes changed, cut up in all ways: a sanitizer watches, and note() checks what arrives. */
static void by_chance(void **state)
{
	struct rig *r = start(UINT64_MAX);
	uint64_t seed = 20261123;
	unsigned int taken = 0, refused = 0;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		static struct ext x;
		uint32_t opcode = opcodes[rnd_below(&seed, ARRAY_SIZE(opcodes))];
		uint8_t value[64] = {1, 2, 3};
		int error;

		x.len = 0;
		if (rnd_below(&seed, 3) == 0)
			put_group(&x, 5);
		put_label(&x, "security.x", value, 1 + rnd_below(&seed, 63));
		for (uint32_t n = rnd_below(&seed, 4); n; n--)
			x.bytes[rnd_below(&seed, x.len)] = (uint8_t)rnd(&seed);
		if (rnd_below(&seed, 8) == 0)
			x.len = rnd_below(&seed, x.len + 1);
		r->frame.in = rnd_below(&seed, 4) ? 0 : 1 + rnd_below(&seed, 64);
		error = send(r, opcode, x.bytes, x.len,
			     rnd_below(&seed, 2) ? (uint16_t)(x.len / 8) : 0);
		assert_true(error == -EUCLEAN || error == -EINVAL);
		taken += error == -EUCLEAN;
		refused += error == -EINVAL;
	}
	assert_true(taken > 1000 && refused > 1000);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_label_arrives), cmocka_unit_test(the_label_alone),
		cmocka_unit_test(not_agreed_on),     cmocka_unit_test(the_longest),
		cmocka_unit_test(malformed),         cmocka_unit_test(by_chance),
	};

	return cmocka_run_group_tests_name("label", tests, NULL, NULL);
}
