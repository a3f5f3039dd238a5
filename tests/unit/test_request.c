// SPDX-License-Identifier: Apache-2.0
/* One answer to a request, whoever gives it, whatever room there is. */
/*
 * Theory of operation
 *
 * Replies of every kind into buffers of every size around the edges, cut up into single bytes too;
 * then answers that come later, from another thread, and answers that come twice.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "fuse_rig.h"
#include "util.h"

#define FILL 0x5a

struct rec {
	struct request req;
	unsigned int done;
	size_t used;
	uint8_t out[200];
	struct iovec iov[200];
};

static void on_done(struct request *req, size_t used)
{
	struct rec *rec = container_of(req, struct rec, req);

	rec->done++;
	rec->used = used;
}

static void rec_new(struct rec *rec, size_t room, size_t piece)
{
	unsigned int cnt = 0;

	memset(rec, 0, sizeof(*rec));
	memset(rec->out, FILL, sizeof(rec->out));
	for (size_t at = 0; at < room; at += piece)
		rec->iov[cnt++] = (struct iovec){rec->out + at, MIN(piece, room - at)};
	rec->req.done = on_done;
	req_begin(&rec->req);
	rec->req.hdr.unique = 0x1122334455667788;
	iov_init(&rec->req.out, rec->iov, cnt);
}

static void check(struct rec *rec, size_t used, int error, const void *payload)
{
	struct fuse_out_header hdr;

	assert_int_equal(rec->done, 1);
	assert_int_equal(rec->used, used);
	assert_int_equal(rec->req.state, REQ_REPLIED);
	if (used) {
		memcpy(&hdr, rec->out, sizeof(hdr));
		assert_int_equal(hdr.len, used);
		assert_int_equal(hdr.error, error);
		assert_int_equal(hdr.unique, 0x1122334455667788);
		if (used > sizeof(hdr))
			assert_memory_equal(rec->out + sizeof(hdr), payload, used - sizeof(hdr));
	}
	for (size_t i = used; i < sizeof(rec->out); i++)
		assert_int_equal(rec->out[i], FILL);
}

static void test_err(void **state)
{
	static const struct {
		int in;
		int out;
	} cases[] = {
		{0, 0},       {-EINVAL, -EINVAL},  {-511, -511},
		{-512, -EIO}, {REQ_PENDING, -EIO}, {INT32_MIN, -EIO},
		{1, -EIO},    {INT32_MAX, -EIO},
	};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		for (size_t room = 0; room < 20; room++) {
			struct rec rec;

			rec_new(&rec, room, i & 1 ? 1 : 200);
			req_reply_err(&rec.req, cases[i].in);
			check(&rec, room < 16 ? 0 : 16, cases[i].out, NULL);
		}
	}
}

static void test_buf(void **state)
{
	static const char text[] = "thirteen byte";

	(void)state;
	for (size_t room = 0; room < 40; room++) {
		for (size_t piece = 1; piece < 40; piece += 6) {
			struct rec rec;

			rec_new(&rec, room, piece);
			assert_int_equal(req_room(&rec.req), room < 16 ? 0 : room - 16);
			req_reply_buf(&rec.req, text, 13);
			if (room < 16)
				check(&rec, 0, 0, NULL);
			else if (room < 29)
				check(&rec, 16, -EIO, NULL);
			else
				check(&rec, 29, 0, text);
		}
	}
}

static void test_data(void **state)
{
	(void)state;
	for (size_t room = 0; room < 40; room++) {
		struct iov_cursor at;
		struct rec rec;

		rec_new(&rec, room, 5);
		at = req_payload(&rec.req);
		assert_int_equal(at.left, room < 16 ? 0 : room - 16);
		req_reply_data(&rec.req, 10);
		if (room < 16)
			check(&rec, 0, 0, NULL);
		else if (room < 26)
			check(&rec, 16, -EIO, NULL);

		rec_new(&rec, room, 3);
		at = req_payload(&rec.req);
		iov_write(&at, "0123456789", 10);
		if (room < 26)
			continue;
		req_reply_data(&rec.req, 10);
		check(&rec, 26, 0, "0123456789");
	}
}

static void test_none(void **state)
{
	struct rec rec;

	(void)state;
	rec_new(&rec, 100, 100);
	req_reply_none(&rec.req);
	check(&rec, 0, 0, NULL);
}

/* The length field has 32 bits, a chain can be longer. */
static void test_huge_room(void **state)
{
	struct rec rec;

	(void)state;
	rec_new(&rec, 100, 100);
	rec.iov[0].iov_len = (size_t)1 << 40;
	iov_init(&rec.req.out, rec.iov, 1);
	assert_int_equal(req_room(&rec.req), UINT32_MAX - 16);
	assert_int_equal(req_payload(&rec.req).left, UINT32_MAX - 16);
}

/* A mistake of ours: the second answer is not given. */
static void test_twice(void **state)
{
	struct rec rec;

	(void)state;
	rec_new(&rec, 100, 100);
	req_reply_buf(&rec.req, "first", 5);
	req_reply_err(&rec.req, -EIO);
	req_reply_none(&rec.req);
	assert_int_equal(rec.done, 1);
	assert_int_equal(rec.used, 21);
	assert_memory_equal(rec.out + 16, "first", 5);
}

/* ---- later ---- */

static struct request *parked;

static ssize_t read_later(struct request *req, uint64_t nodeid, const struct fuse_read_in *in,
			  struct iov_cursor *dst)
{
	(void)nodeid;
	(void)in;
	(void)dst;
	parked = req;
	return REQ_PENDING;
}

static int lookup_later(struct request *req, uint64_t parent, const char *name,
			struct fuse_entry_out *ret)
{
	(void)parent;
	(void)name;
	(void)ret;
	parked = req;
	return REQ_PENDING;
}

static int readdir_later(struct request *req, uint64_t nodeid, const struct fuse_read_in *in,
			 struct direntbuf *db)
{
	(void)nodeid;
	(void)in;
	(void)db;
	parked = req;
	return REQ_PENDING;
}

static ssize_t xattr_later(struct request *req, uint64_t nodeid, const char *name, void *buf,
			   size_t size)
{
	(void)nodeid;
	(void)name;
	(void)buf;
	(void)size;
	parked = req;
	return REQ_PENDING;
}

static void *answer(void *arg)
{
	req_reply_buf(arg, "late", 4);
	return NULL;
}

/* By hand, as rig_send() waits for the answer. */
static void park(struct rig *r, struct rec *rec, uint32_t opcode, size_t args, const char *name)
{
	uint8_t msg[256] = {0};
	struct fuse_in_header hdr = {
		.len = (uint32_t)(40 + args + (name ? strlen(name) + 1 : 0)),
		.opcode = opcode,
		.unique = 0x1122334455667788,
		.nodeid = 1,
	};
	struct iovec iov = {msg, hdr.len};

	memcpy(msg, &hdr, sizeof(hdr));
	memset(msg + 40, 1, args);
	memset(msg + 40 + 8, 0, args > 8 ? 8 : 0); /* offset */
	if (name)
		memcpy(msg + 40 + args, name, strlen(name) + 1);
	rec_new(rec, 200, 33);
	rec->req.se = &r->se;
	iov_init(&rec->req.in, &iov, 1);
	parked = NULL;
	assert_int_not_equal(fuse_receive(&rec->req), FUSE_ANSWERED);
	fuse_dispatch(&rec->req);
	assert_ptr_equal(parked, &rec->req);
	assert_int_equal(rec->done, 0);
	assert_int_equal(rec->req.state, REQ_RUNNING);
}

static void test_pending(void **state)
{
	static const struct {
		uint32_t opcode;
		size_t args;
		const char *name;
	} cases[] = {
		{FUSE_READ, 40, NULL},        {FUSE_LOOKUP, 0, "name"},
		{FUSE_READDIR, 40, NULL},     {FUSE_READDIRPLUS, 40, NULL},
		{FUSE_GETXATTR, 8, "user.a"},
	};
	struct rig *r = rig_new_init();

	(void)state;
	r->ops.read = read_later;
	r->ops.lookup = lookup_later;
	r->ops.readdir = readdir_later;
	r->ops.getxattr = xattr_later;
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		pthread_t thread;
		struct rec rec;

		park(r, &rec, cases[i].opcode, cases[i].args, cases[i].name);
		/* The name stays where it is for as long as the request does. */
		if (cases[i].name)
			assert_string_equal(rec.req.name[0], cases[i].name);
		assert_int_equal(pthread_create(&thread, NULL, answer, parked), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
		check(&rec, 20, 0, "late");
	}
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_err),       cmocka_unit_test(test_buf),
		cmocka_unit_test(test_data),      cmocka_unit_test(test_none),
		cmocka_unit_test(test_huge_room), cmocka_unit_test(test_twice),
		cmocka_unit_test(test_pending),
	};

	return cmocka_run_group_tests_name("request", tests, NULL, NULL);
}
