// SPDX-License-Identifier: Apache-2.0
/* INIT and what it agrees on, the end of a session, interrupts. */
/*
 * Theory of operation
 *
 * INITs of all versions and lengths against what must come back; a backend that asks for this and
 * that; sessions that follow each other over one tree; requests that are waiting and get
 * interrupted.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "fuse_rig.h"
#include "util.h"

#define ROOT FUSE_ROOT_ID

/* What a Linux of today offers on virtio-fs, without a DAX window. */
#define LINUX_FLAGS                                                                               \
	(FUSE_ASYNC_READ | FUSE_POSIX_LOCKS | FUSE_ATOMIC_O_TRUNC | FUSE_EXPORT_SUPPORT |         \
	 FUSE_BIG_WRITES | FUSE_DONT_MASK | FUSE_SPLICE_WRITE | FUSE_SPLICE_MOVE |                \
	 FUSE_SPLICE_READ | FUSE_FLOCK_LOCKS | FUSE_HAS_IOCTL_DIR | FUSE_AUTO_INVAL_DATA |        \
	 FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO | FUSE_WRITEBACK_CACHE |    \
	 FUSE_NO_OPEN_SUPPORT | FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV | FUSE_POSIX_ACL |    \
	 FUSE_ABORT_ERROR | FUSE_MAX_PAGES | FUSE_CACHE_SYMLINKS | FUSE_NO_OPENDIR_SUPPORT |      \
	 FUSE_EXPLICIT_INVAL_DATA | FUSE_HANDLE_KILLPRIV_V2 | FUSE_SETXATTR_EXT | FUSE_INIT_EXT | \
	 FUSE_SECURITY_CTX | FUSE_CREATE_SUPP_GROUP | FUSE_HAS_EXPIRE_ONLY |                      \
	 FUSE_DIRECT_IO_ALLOW_MMAP | FUSE_SUBMOUNTS)

#define WANTED                                                                                 \
	(FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_AUTO_INVAL_DATA |      \
	 FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | \
	 FUSE_MAX_PAGES | FUSE_SETXATTR_EXT | FUSE_INIT_EXT | FUSE_CREATE_SUPP_GROUP)

static uint64_t flags_of(const struct fuse_init_out *out)
{
	return out->flags | (uint64_t)out->flags2 << 32;
}

static void test_linux(void **state)
{
	struct rig *r = rig_new();
	struct fuse_init_out out;

	(void)state;
	assert_false(r->se.active);
	assert_int_equal(rig_init(r, 45, LINUX_FLAGS), 0);
	assert_int_equal(r->len, 64);
	memcpy(&out, r->reply, sizeof(out));
	assert_int_equal(out.major, 7);
	assert_int_equal(out.minor, 39);
	assert_int_equal(out.max_readahead, 131072);
	assert_int_equal(flags_of(&out), WANTED);
	assert_int_equal(out.max_write, 1048576);
	assert_int_equal(out.max_pages, 256);
	assert_int_equal(out.time_gran, 1);
	assert_int_equal(out.map_alignment, 0);
	assert_int_equal(out.max_background, 65535);
	assert_int_equal(out.congestion_threshold, 49149);
	for (unsigned int i = 0; i < ARRAY_SIZE(out.unused); i++)
		assert_int_equal(out.unused[i], 0);
	assert_true(r->se.active);
	assert_int_equal(r->se.minor, 39);
	assert_int_equal(r->se.flags, WANTED);
	assert_int_equal(r->se.max_write, 1048576);
	assert_true(session_has(&r->se, FUSE_MAX_PAGES | FUSE_CREATE_SUPP_GROUP));
	assert_false(session_has(&r->se, FUSE_MAX_PAGES | FUSE_POSIX_LOCKS));
	rig_free(r);
}

/* Nothing is agreed on that was not offered. */
static void test_offers(void **state)
{
	(void)state;
	for (unsigned int bit = 0; bit < 64; bit++) {
		uint64_t flags = FUSE_INIT_EXT | UINT64_C(1) << bit;
		struct rig *r = rig_new();
		struct fuse_init_out out;

		assert_int_equal(rig_init(r, 39, flags), 0);
		memcpy(&out, r->reply, sizeof(out));
		assert_int_equal(flags_of(&out), flags & WANTED);
		assert_int_equal(out.max_pages, flags & FUSE_MAX_PAGES ? 256 : 0);
		rig_free(r);
	}
}

static void test_versions(void **state)
{
	static const struct {
		uint32_t major;
		uint32_t minor;
		int error;
		uint32_t ret_minor; /* 0 = the session has not begun */
	} cases[] = {
		{7, 31, 0, 31},     {7, 32, 0, 32},         {7, 33, 0, 33},
		{7, 36, 0, 36},     {7, 38, 0, 38},         {7, 39, 0, 39},
		{7, 40, 0, 39},     {7, UINT32_MAX, 0, 39}, {7, 30, -EPROTO, 0},
		{7, 0, -EPROTO, 0}, {6, 39, -EPROTO, 0},    {0, 0, -EPROTO, 0},
		{8, 0, 0, 0},       {8, 99, 0, 0},          {UINT32_MAX, 0, 0, 0},
	};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fuse_init_in in = {
			.major = cases[i].major, .minor = cases[i].minor, .flags = UINT32_MAX};
		struct rig *r = rig_new();
		struct fuse_init_out out;

		rig_call(r, FUSE_INIT, 0, &in, sizeof(in), NULL);
		assert_int_equal(r->error, cases[i].error);
		assert_int_equal(r->se.active, cases[i].ret_minor != 0);
		assert_int_equal(r->se.minor, cases[i].ret_minor);
		if (!r->error) {
			memcpy(&out, r->reply, sizeof(out));
			assert_int_equal(out.major, 7);
			/* To a newer major version only the version is said. */
			assert_int_equal(out.minor, cases[i].ret_minor ? cases[i].ret_minor : 39);
			if (!cases[i].ret_minor)
				assert_int_equal(out.flags, 0);
		}
		rig_free(r);
	}
}

/* 16 bytes up to 7.35; 64 with INIT_EXT; of a newer major version the first 8 are enough. */
static void test_lengths(void **state)
{
	(void)state;
	for (size_t len = 0; len <= 80; len++) {
		for (int ext = 0; ext < 2; ext++) {
			uint8_t bytes[80] = {0};
			struct fuse_init_in in = {.major = 7, .minor = 36};
			bool good = len >= (ext ? 64 : 16);
			struct rig *r = rig_new();

			in.flags = FUSE_MAX_PAGES | (ext ? FUSE_INIT_EXT : 0);
			in.flags2 = UINT32_MAX;
			memcpy(bytes, &in, sizeof(in));
			rig_call(r, FUSE_INIT, 0, bytes, len, NULL);
			assert_int_equal(r->error, good ? 0 : -EINVAL);
			assert_int_equal(r->se.active, good);
			assert_int_equal(session_has(&r->se, FUSE_CREATE_SUPP_GROUP), good && ext);
			in.major = 8;
			memcpy(bytes, &in, sizeof(in));
			rig_call(r, FUSE_INIT, 0, bytes, len, NULL);
			assert_int_equal(r->error, len >= 8 ? 0 : -EINVAL);
			rig_free(r);
		}
	}
}

/* ---- the backend's say ---- */

static struct fuse_init asked;
static uint64_t add_flags, drop_flags;
static int init_error;
static unsigned int inits, destroys;

static int init_seen(void *be, struct fuse_init *init)
{
	(void)be;
	inits++;
	asked = *init;
	init->want |= add_flags;
	init->want &= ~drop_flags;
	init->time_gran = 100;
	init->max_background = 12;
	init->congestion_threshold = 9;
	return init_error;
}

static void destroy_seen(void *be)
{
	destroys++;
	memfs_ops.destroy(be);
}

static struct rig *rig_seen(void)
{
	struct rig *r = rig_new();

	r->ops.init = init_seen;
	r->ops.destroy = destroy_seen;
	add_flags = drop_flags = 0;
	init_error = 0;
	inits = destroys = 0;
	return r;
}

static void test_backend_flags(void **state)
{
	struct rig *r = rig_seen();
	struct fuse_init_out out;

	(void)state;
	add_flags = FUSE_SUBMOUNTS | FUSE_POSIX_ACL | FUSE_DONT_MASK | FUSE_POSIX_LOCKS |
		    FUSE_FLOCK_LOCKS | FUSE_EXPORT_SUPPORT | UINT64_C(1) << 63;
	drop_flags = FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO;
	assert_int_equal(rig_init(r, 39, LINUX_FLAGS), 0);
	assert_int_equal(asked.want, WANTED);
	assert_int_equal(asked.capable & WANTED, WANTED);
	assert_int_equal(asked.capable & (FUSE_SUBMOUNTS | FUSE_WRITEBACK_CACHE),
			 FUSE_SUBMOUNTS | FUSE_WRITEBACK_CACHE);
	assert_int_equal(asked.capable & FUSE_EXPORT_SUPPORT, 0);
	memcpy(&out, r->reply, sizeof(out));
	/* What we do not speak the backend cannot have either. */
	assert_int_equal(flags_of(&out), ((uint64_t)WANTED | FUSE_SUBMOUNTS | FUSE_POSIX_ACL |
					  FUSE_DONT_MASK | FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS) &
						 ~drop_flags);
	assert_int_equal(out.time_gran, 100);
	assert_int_equal(out.max_background, 12);
	assert_int_equal(out.congestion_threshold, 9);
	rig_free(r);

	/* The upper half needs INIT_EXT. */
	r = rig_seen();
	drop_flags = FUSE_INIT_EXT;
	assert_int_equal(rig_init(r, 39, LINUX_FLAGS), 0);
	memcpy(&out, r->reply, sizeof(out));
	assert_int_equal(flags_of(&out), WANTED & UINT32_MAX & ~FUSE_INIT_EXT);
	assert_false(session_has(&r->se, FUSE_CREATE_SUPP_GROUP));
	rig_free(r);
}

static void test_backend_refuses(void **state)
{
	struct rig *r = rig_seen();

	(void)state;
	init_error = -ENOMEM;
	assert_int_equal(rig_init(r, 39, LINUX_FLAGS), -ENOMEM);
	assert_false(r->se.active);
	assert_int_equal(rig_mkdir(r, ROOT, "d", NULL), -ENOTCONN);
	init_error = 0;
	assert_int_equal(rig_init(r, 39, LINUX_FLAGS), 0);
	assert_int_equal(rig_mkdir(r, ROOT, "d", NULL), 0);
	rig_free(r);
}

/* ---- one after the other ---- */

static void test_destroy(void **state)
{
	struct rig *r = rig_seen();
	struct memfs_stats stats;
	uint64_t id, fh;

	(void)state;
	assert_int_equal(rig_init(r, 39, LINUX_FLAGS), 0);
	assert_int_equal(rig_create(r, ROOT, "f", O_RDWR, &id, &fh), 0);
	assert_int_equal(rig_call(r, FUSE_DESTROY, 0, NULL, 0, NULL), 0);
	assert_int_equal(r->len, 0);
	assert_int_equal(destroys, 1);
	assert_false(r->se.active);
	assert_int_equal(r->se.flags, 0);
	memfs_stats(r->fs, &stats);
	assert_int_equal(stats.handles, 0);
	assert_int_equal(stats.lookups, 0);
	assert_int_equal(rig_lookup(r, ROOT, "f", NULL), -ENOTCONN);
	assert_int_equal(rig_call(r, FUSE_DESTROY, 0, NULL, 0, NULL), -ENOTCONN);
	assert_int_equal(destroys, 1);

	/* The ids of the session before mean nothing, but the tree is there. */
	assert_int_equal(rig_init(r, 39, LINUX_FLAGS), 0);
	assert_int_equal(rig_read(r, id, fh, 0, 10), -EBADF);
	assert_int_equal(rig_call(r, FUSE_READLINK, id, NULL, 0, NULL), -ESTALE);
	assert_int_equal(rig_lookup(r, ROOT, "f", &id), 0);
	rig_free(r);
	assert_int_equal(destroys, 2);
}

static void test_second_init(void **state)
{
	struct rig *r = rig_seen();
	struct memfs_stats stats;
	uint64_t id, fh;

	(void)state;
	assert_int_equal(rig_init(r, 39, LINUX_FLAGS), 0);
	assert_int_equal(rig_create(r, ROOT, "f", O_RDWR, &id, &fh), 0);
	assert_int_equal(rig_init(r, 33, LINUX_FLAGS & UINT32_MAX & ~FUSE_INIT_EXT), 0);
	assert_int_equal(inits, 2);
	assert_int_equal(destroys, 1);
	assert_int_equal(r->se.minor, 33);
	assert_false(session_has(&r->se, FUSE_INIT_EXT));
	memfs_stats(r->fs, &stats);
	assert_int_equal(stats.lookups + stats.handles, 0);

	/* One that is refused leaves the session alone. */
	assert_int_equal(rig_lookup(r, ROOT, "f", &id), 0);
	assert_int_equal(rig_init(r, 30, LINUX_FLAGS), -EPROTO);
	assert_int_equal(rig_open(r, id, O_RDONLY, &fh), 0);
	rig_begin(r, FUSE_INIT, 0);
	rig_add(r, "\7\0\0\0\47\0\0\0", 8);
	rig_send(r, RIG_ROOM);
	assert_int_equal(r->error, -EINVAL);
	rig_begin(r, FUSE_INIT, 0);
	rig_add(r, "\7\0\0\0\47\0\0\0\0\0\0\0\0\0\0\0", 16);
	rig_send(r, 79);
	assert_int_equal(r->error, -EIO);
	assert_int_equal(destroys, 1);
	assert_int_equal(rig_release(r, id, fh, false), 0);
	rig_free(r);
}

static void test_end(void **state)
{
	struct rig *r = rig_seen();

	(void)state;
	session_end(&r->se);
	assert_int_equal(destroys, 0);
	assert_int_equal(rig_init(r, 39, LINUX_FLAGS), 0);
	session_end(&r->se);
	session_end(&r->se);
	assert_int_equal(destroys, 1);
	assert_int_equal(rig_lookup(r, ROOT, "f", NULL), -ENOTCONN);
	rig_free(r);
	assert_int_equal(destroys, 1);
}

/* ---- interrupts ---- */

static int interrupt(struct rig *r, uint64_t unique, size_t room)
{
	struct fuse_interrupt_in in = {.unique = unique};

	rig_begin(r, FUSE_INTERRUPT, 0);
	rig_add(r, &in, sizeof(in));
	rig_send(r, room);
	return r->error;
}

static void test_interrupt(void **state)
{
	struct rig *r = rig_new_init();
	struct request reqs[200] = {0};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(reqs); i++) {
		reqs[i].hdr.unique = 2 * i + 2;
		session_pending_add(&r->se, &reqs[i]);
	}
	/* Found: no answer but the one of the request itself. */
	assert_int_equal(interrupt(r, 100, RIG_ROOM), 1);
	assert_int_equal(interrupt(r, 102, 0), 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(reqs); i++)
		assert_int_equal(reqs[i].interrupted, i == 49 || i == 50);
	/* Not there: the guest asks again, if it left room to be told. */
	assert_int_equal(interrupt(r, 402, RIG_ROOM), -EAGAIN);
	assert_int_equal(interrupt(r, 402, 15), 1);
	assert_int_equal(interrupt(r, 101, RIG_ROOM), -EAGAIN);
	assert_int_equal(interrupt(r, 0, RIG_ROOM), -EAGAIN);

	/* When a ring stops, all of them are told. */
	session_hurry(&r->se);
	for (unsigned int i = 0; i < ARRAY_SIZE(reqs); i++) {
		assert_int_equal(reqs[i].interrupted, REQ_RING_STOPS);
		reqs[i].interrupted = REQ_GO_ON;
	}

	session_pending_del(&r->se, &reqs[0]);
	session_pending_del(&r->se, &reqs[0]);
	assert_int_equal(interrupt(r, 2, RIG_ROOM), -EAGAIN);
	assert_false(reqs[0].interrupted);
	for (unsigned int i = 1; i < ARRAY_SIZE(reqs); i++)
		session_pending_del(&r->se, &reqs[i]);
	for (unsigned int i = 0; i < SESSION_PENDING_LISTS; i++)
		assert_null(r->se.pending[i]);
	rig_free(r);
}

/* The guest may use a unique twice: both are marked, and leave one by one. */
static void test_same_unique(void **state)
{
	struct rig *r = rig_new_init();
	struct request a = {0}, b = {0}, c = {0};

	(void)state;
	a.hdr.unique = b.hdr.unique = 8;
	c.hdr.unique = 8 + 2 * SESSION_PENDING_LISTS;
	session_pending_add(&r->se, &a);
	session_pending_add(&r->se, &b);
	session_pending_add(&r->se, &c);
	assert_true(session_interrupt(&r->se, 8));
	assert_true(a.interrupted && b.interrupted && !c.interrupted);
	/* Not the one that came last. */
	session_pending_del(&r->se, &a);
	b.interrupted = a.interrupted = false;
	assert_true(session_interrupt(&r->se, 8));
	assert_true(!a.interrupted && b.interrupted);
	session_pending_del(&r->se, &b);
	assert_false(session_interrupt(&r->se, 8));
	assert_true(session_interrupt(&r->se, c.hdr.unique));
	session_pending_del(&r->se, &c);
	rig_free(r);
}

static void *add_and_del(void *arg)
{
	struct session *se = arg;
	struct request req = {0};

	for (unsigned int i = 0; i < 20000; i++) {
		req.hdr.unique = 2 * (i % 8);
		session_pending_add(se, &req);
		session_pending_del(se, &req);
	}
	return NULL;
}

/* Requests come and go while others are being marked. */
static void test_interrupt_threads(void **state)
{
	struct rig *r = rig_new_init();
	pthread_t threads[3];

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, add_and_del, &r->se), 0);
	for (unsigned int i = 0; i < 20000; i++)
		session_interrupt(&r->se, 2 * (i % 8));
	for (unsigned int i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	for (unsigned int i = 0; i < SESSION_PENDING_LISTS; i++)
		assert_null(r->se.pending[i]);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_linux),         cmocka_unit_test(test_offers),
		cmocka_unit_test(test_versions),      cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_backend_flags), cmocka_unit_test(test_backend_refuses),
		cmocka_unit_test(test_destroy),       cmocka_unit_test(test_second_init),
		cmocka_unit_test(test_end),           cmocka_unit_test(test_interrupt),
		cmocka_unit_test(test_same_unique),   cmocka_unit_test(test_interrupt_threads),
	};

	return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
