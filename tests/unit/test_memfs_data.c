// SPDX-License-Identifier: Apache-2.0
/* File data of memfs, against a flat array. */
/*
 * Theory of operation
 *
 * Random writes, truncations, holes, allocations and copies are done to a file and to an array,
 * which must stay the same; then what there is room for, and where data and holes are.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fuse_rig.h"
#include "rnd.h"
#include "util.h"

#define ROOT FUSE_ROOT_ID

static uint64_t pages(struct rig *r)
{
	struct memfs_stats st;

	memfs_stats(r->fs, &st);
	return st.pages;
}

/* ---- data ---- */

static int allocate(struct rig *r, uint64_t f, uint64_t fh, uint64_t off, uint64_t len,
		    uint32_t mode)
{
	struct fuse_fallocate_in in = {.fh = fh, .offset = off, .length = len, .mode = mode};

	return rig_call(r, FUSE_FALLOCATE, f, &in, sizeof(in), NULL);
}

static void test_no_space(void **state)
{
	struct rig *r = rig_new_init();
	struct fuse_setattr_in huge = {.valid = FATTR_SIZE, .size = INT64_MAX};
	struct fuse_attr attr;
	uint64_t f, fh;
	char data[8192];

	(void)state;
	memset(data, 1, sizeof(data));
	assert_int_equal(rig_create(r, ROOT, "f", O_RDWR, &f, &fh), 0);
	assert_int_equal(allocate(r, f, fh, 0, 1024 * 1024 + 1, 0), -ENOSPC);
	assert_int_equal(pages(r), 0);
	assert_int_equal(allocate(r, f, fh, 0, 1020 * 1024, 0), 0);
	assert_int_equal(pages(r), 255);
	/* One page of two is what there is room for. */
	assert_int_equal(rig_write(r, f, fh, 1020 * 1024, data, 8192), 0);
	assert_int_equal(*(uint32_t *)(void *)r->reply, 4096);
	assert_int_equal(rig_write(r, f, fh, 1024 * 1024, data, 1), -ENOSPC);
	assert_int_equal(allocate(r, f, fh, 5, 100000, FALLOC_FL_PUNCH_HOLE), -EOPNOTSUPP);
	assert_int_equal(allocate(r, f, fh, 5, 100000, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE),
			 0);
	assert_int_equal(pages(r), 256 - 23);
	/* A size is no space. */
	assert_int_equal(rig_setattr(r, f, &huge), 0);
	assert_int_equal(rig_getattr(r, f, &attr), 0);
	assert_int_equal(attr.size, INT64_MAX);
	assert_int_equal(attr.blocks, (256 - 23) * 8);
	assert_int_equal(rig_read(r, f, fh, INT64_MAX - 4, 100), 0);
	assert_int_equal(r->len, 4);
	huge.size = 1;
	assert_int_equal(rig_setattr(r, f, &huge), 0);
	assert_int_equal(pages(r), 1);
	huge.size = 0;
	assert_int_equal(rig_setattr(r, f, &huge), 0);
	assert_int_equal(pages(r), 0);
	rig_free(r);
}

#define FLAT 40000u

struct model {
	uint8_t bytes[FLAT + 8192];
	uint64_t size;
	struct rig *r;
	uint64_t f;
	uint64_t fh;
};

static void model_check(struct model *m)
{
	assert_int_equal(rig_read(m->r, m->f, m->fh, 0, FLAT + 8192), 0);
	assert_int_equal(m->r->len, m->size);
	assert_memory_equal(m->r->reply, m->bytes, m->size);
}

static void model_copy(struct model *m, uint64_t from, uint64_t to, uint64_t len)
{
	struct fuse_copy_file_range_in in = {.fh_in = m->fh,
					     .off_in = from,
					     .nodeid_out = m->f,
					     .fh_out = m->fh,
					     .off_out = to,
					     .len = len};
	uint64_t n = from < m->size ? MIN(len, m->size - from) : 0;

	rig_call(m->r, FUSE_COPY_FILE_RANGE, m->f, &in, sizeof(in), NULL);
	if (len && from < to + len && to < from + len) {
		assert_int_equal(m->r->error, -EINVAL);
		return;
	}
	assert_int_equal(m->r->error, 0);
	assert_int_equal(*(uint32_t *)(void *)m->r->reply, n);
	if (n) {
		memcpy(m->bytes + to, m->bytes + from, n);
		m->size = MAX(m->size, to + n);
	}
}

static void model_step(struct model *m, uint64_t *seed)
{
	uint64_t off = rnd_below(seed, FLAT), len = rnd_below(seed, 8192), end = off + len;
	struct fuse_setattr_in set = {.valid = FATTR_SIZE, .size = off};
	uint8_t data[8192];

	switch (rnd_below(seed, 8)) {
	case 0:
	case 1:
		memset(data, (int)rnd_below(seed, 256), sizeof(data));
		assert_int_equal(rig_write(m->r, m->f, m->fh, off, data, len), 0);
		if (len) {
			memcpy(m->bytes + off, data, len);
			m->size = MAX(m->size, end);
		}
		break;
	case 2:
		assert_int_equal(rig_setattr(m->r, m->f, &set), 0);
		if (off < m->size)
			memset(m->bytes + off, 0, m->size - off);
		m->size = off;
		break;
	case 3:
	case 4:
		if (!len)
			break;
		assert_int_equal(allocate(m->r, m->f, m->fh, off, len,
					  FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE),
				 0);
		memset(m->bytes + off, 0, len);
		break;
	case 5:
		if (!len)
			break;
		assert_int_equal(allocate(m->r, m->f, m->fh, off, len, FALLOC_FL_ZERO_RANGE), 0);
		memset(m->bytes + off, 0, len);
		m->size = MAX(m->size, end);
		break;
	case 6:
		if (!len)
			break;
		assert_int_equal(allocate(m->r, m->f, m->fh, off, len, FALLOC_FL_KEEP_SIZE), 0);
		break;
	default:
		model_copy(m, rnd_below(seed, FLAT), off, len);
		break;
	}
}

static void test_model(void **state)
{
	struct model *m = calloc(1, sizeof(*m));
	uint64_t seed = 4242;

	(void)state;
	assert_non_null(m);
	m->r = rig_new_init();
	assert_int_equal(rig_create(m->r, ROOT, "f", O_RDWR, &m->f, &m->fh), 0);
	for (unsigned int i = 0; i < 4000; i++) {
		model_step(m, &seed);
		model_check(m);
	}
	rig_free(m->r);
	free(m);
}

/* Data and holes alternate, begin and end where they do, and cover the file. */
static void test_seek(void **state)
{
	struct rig *r = rig_new_init();
	uint64_t f, fh, off = 0;
	static const uint64_t want[] = {4096, 8192, 20480, 28672, 40000};
	struct fuse_lseek_in in = {0};

	(void)state;
	assert_int_equal(rig_create(r, ROOT, "f", O_RDWR, &f, &fh), 0);
	in.fh = fh;
	assert_int_equal(rig_write(r, f, fh, 4096, "x", 1), 0);
	assert_int_equal(allocate(r, f, fh, 20480, 8192, 0), 0);
	assert_int_equal(rig_setattr(r, f,
				     &(struct fuse_setattr_in){.valid = FATTR_SIZE, .size = 40000}),
			 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(want) - 1; i++) {
		in.offset = off;
		in.whence = i & 1 ? SEEK_HOLE : SEEK_DATA;
		assert_int_equal(rig_call(r, FUSE_LSEEK, f, &in, sizeof(in), NULL), 0);
		memcpy(&off, r->reply, sizeof(off));
		assert_int_equal(off, want[i]);
	}
	in.offset = off;
	in.whence = SEEK_DATA;
	assert_int_equal(rig_call(r, FUSE_LSEEK, f, &in, sizeof(in), NULL), -ENXIO);
	in.whence = SEEK_HOLE;
	assert_int_equal(rig_call(r, FUSE_LSEEK, f, &in, sizeof(in), NULL), 0);
	in.offset = 40000;
	assert_int_equal(rig_call(r, FUSE_LSEEK, f, &in, sizeof(in), NULL), -ENXIO);
	/* Allocated behind the end is no data. */
	assert_int_equal(allocate(r, f, fh, 50000, 10, FALLOC_FL_KEEP_SIZE), 0);
	in.offset = 30000;
	in.whence = SEEK_DATA;
	assert_int_equal(rig_call(r, FUSE_LSEEK, f, &in, sizeof(in), NULL), -ENXIO);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_space),
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_seek),
	};

	return cmocka_run_group_tests_name("memfs_data", tests, NULL, NULL);
}
