// SPDX-License-Identifier: Apache-2.0
/* Directory entries in the wire's form. */
/*
 * Theory of operation
 *
 * Entries of all lengths go into buffers of all sizes, cut up in several ways; what is written is
 * compared with the same entries laid out by plain arithmetic.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "direntbuf.h"
#include "util.h"

#define FILL 0xee

/* One entry as it must look; returns its size. */
static size_t lay_out(uint8_t *at, const struct fuse_entry_out *entry, uint64_t ino, uint64_t off,
		      uint32_t type, const char *name, size_t len)
{
	struct fuse_dirent d = {.ino = ino, .off = off, .namelen = (uint32_t)len, .type = type};
	size_t size = 0;

	if (entry) {
		memcpy(at, entry, 128);
		size = 128;
	}
	memcpy(at + size, &d, 24);
	memcpy(at + size + 24, name, len);
	size += 24 + len;
	while (size % 8)
		at[size++] = 0;
	return size;
}

static void run(bool plus, size_t len, size_t room, size_t piece)
{
	uint8_t buf[600], want[600];
	struct iovec iov[600];
	struct direntbuf_entry e;
	struct direntbuf db = {.left = room, .plus = plus};
	char name[256];
	size_t size;
	unsigned int cnt = 0;

	memset(name, 'a', sizeof(name));
	memset(&e, 0x42, sizeof(e));
	memset(buf, FILL, sizeof(buf));
	memset(want, FILL, sizeof(want));
	for (size_t at = 0; at < sizeof(buf); at += piece)
		iov[cnt++] = (struct iovec){buf + at, MIN(piece, sizeof(buf) - at)};
	iov_init(&db.dst, iov, cnt);
	size = lay_out(want, plus ? &e.out : NULL, 7, 8, 4, name, len);
	assert_int_equal(direntbuf_fits(&db, len), size <= room);
	if (size > room) {
		memset(want, FILL, sizeof(want));
		assert_int_equal(direntbuf_add(&db, &e, 7, 8, 4, name, len), -ENOSPC);
		assert_int_equal(db.used, 0);
		assert_int_equal(db.left, room);
	} else {
		assert_int_equal(direntbuf_add(&db, &e, 7, 8, 4, name, len), 0);
		assert_int_equal(db.used, size);
		assert_int_equal(db.left, room - size);
		assert_int_equal(db.dst.left, sizeof(buf) - size);
	}
	assert_memory_equal(buf, want, sizeof(buf));
}

static void test_sizes(void **state)
{
	static const size_t pieces[] = {1, 3, 24, 152, 600};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(pieces); i++) {
		for (size_t len = 1; len <= 255; len++) {
			size_t full = 24 + len + 7;

			run(false, len, full - 8, pieces[i]);
			run(false, len, full & ~(size_t)7, pieces[i]);
			run(false, len, (full & ~(size_t)7) - 1, pieces[i]);
			run(false, len, 0, pieces[i]);
			run(true, len, 128 + (full & ~(size_t)7), pieces[i]);
			run(true, len, 128 + (full & ~(size_t)7) - 1, pieces[i]);
			run(true, len, 600, pieces[i]);
		}
	}
}

/* Several, until one does not fit; a shorter one then may. */
static void test_fill(void **state)
{
	uint8_t buf[100];
	struct iovec iov = {buf, sizeof(buf)};
	struct direntbuf db = {.left = 90};
	struct direntbuf_entry e;

	(void)state;
	iov_init(&db.dst, &iov, 1);
	assert_int_equal(direntbuf_add(&db, &e, 1, 1, 8, "a", 1), 0);
	assert_int_equal(direntbuf_add(&db, &e, 2, 2, 8, "123456789", 9), 0);
	assert_int_equal(db.used, 32 + 40);
	assert_int_equal(direntbuf_add(&db, &e, 3, 3, 8, "b", 1), -ENOSPC);
	assert_int_equal(db.used, 72);
	assert_int_equal(db.left, 18);
}

static void test_too_long(void **state)
{
	uint8_t buf[1000];
	char name[300];
	struct iovec iov = {buf, sizeof(buf)};
	struct direntbuf db = {.left = sizeof(buf)};
	struct direntbuf_entry e;

	(void)state;
	memset(name, 'x', sizeof(name));
	iov_init(&db.dst, &iov, 1);
	assert_false(direntbuf_fits(&db, 256));
	assert_false(direntbuf_fits(&db, SIZE_MAX));
	assert_int_equal(direntbuf_add(&db, &e, 1, 1, 8, name, 256), -ENOSPC);
	assert_true(direntbuf_fits(&db, 255));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_fill),
		cmocka_unit_test(test_too_long),
	};

	return cmocka_run_group_tests_name("direntbuf", tests, NULL, NULL);
}
