// SPDX-License-Identifier: Apache-2.0
/* The DAX window: what SETUPMAPPING shows in it, and what REMOVEMAPPING takes away. */
/*
 * Theory of operation
 *
 * Each test runs with every front-end that has a window. What is mapped is looked at through the window, as
 * a guest would; and whatever the front-end forbids fails the test at its end (fx.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dx.h"
#include "fd.h"
#include "util.h"

/* Takes more mappings than the smallest memory table has room for. */
static const struct dx_opts many_slots = {.with = "!(nochannel|qemu11-slots)"};

static void map_and_read(void **state)
{
	struct fx *f = *state;
	uint64_t node;

	dx_file(f, "a", 1, 8 * DX_MIB);
	node = fz_walk(f, "a");
	for (unsigned int i = 0; i < 4; i++)
		dx_map(f, node, i * DX_RANGE, DX_RANGE, DX_READ, (3 - i) * 2ull * DX_RANGE);
	for (unsigned int i = 0; i < 4; i++)
		dx_is(f, (3 - i) * 2ull * DX_RANGE, 1, i * DX_RANGE, DX_RANGE);
	dx_is_hole(f, DX_RANGE, DX_RANGE);
	dx_live(f, 4);
	for (unsigned int i = 0; i < 4; i++) {
		dx_unmap(f, node, (3 - i) * 2ull * DX_RANGE, DX_RANGE);
		dx_is_hole(f, (3 - i) * 2ull * DX_RANGE, DX_RANGE);
	}
	dx_live(f, 0);
}

/* Ends of the window, one page, and the whole of it. */
static void of_any_size(void **state)
{
	struct fx *f = *state;
	uint64_t node;

	dx_file(f, "a", 1, 16 * DX_MIB);
	node = fz_walk(f, "a");
	dx_map(f, node, DX_PAGE, DX_PAGE, DX_READ, 0);
	dx_map(f, node, 3 * DX_PAGE, DX_PAGE, DX_READ, 16 * DX_MIB - DX_PAGE);
	dx_is(f, 0, 1, DX_PAGE, DX_PAGE);
	dx_is(f, 16 * DX_MIB - DX_PAGE, 1, 3 * DX_PAGE, DX_PAGE);
	dx_is_hole(f, DX_PAGE, DX_PAGE);
	dx_unmap(f, node, 0, DX_PAGE);
	dx_unmap(f, node, 16 * DX_MIB - DX_PAGE, DX_PAGE);
	dx_map(f, node, 0, 16 * DX_MIB, DX_WRITE, 0);
	dx_is(f, 0, 1, 0, 16 * DX_MIB);
	dx_unmap(f, node, 0, 16 * DX_MIB);
	dx_live(f, 0);
}

/* What the guest writes is in the file at once, what the host writes in the window. */
static void write_through(void **state)
{
	struct fx *f = *state;
	struct fuse_open_out open_out;
	scoped_fd int fd = -1;
	uint64_t node, word = 0, all = 0x1122334455667788;

	dx_file(f, "a", 1, 4 * DX_MIB);
	node = fz_walk(f, "a");
	fd = open(fx_path(f, "a"), O_RDWR | O_CLOEXEC);
	dx_map(f, node, DX_RANGE, DX_RANGE, DX_WRITE, 0);
	assert_int_equal(vuf_dax_write(f->v, 8 * 1000, &all, 8), 0);
	*(volatile uint64_t *)vuf_dax_at(f->v, DX_RANGE - 8) = all;
	assert_int_equal(pread(fd, &word, 8, DX_RANGE + 8 * 1000), 8);
	assert_int_equal(word, all);
	assert_int_equal(pread(fd, &word, 8, 2 * DX_RANGE - 8), 8);
	assert_int_equal(word, all);
	all = ~all;
	assert_int_equal(pwrite(fd, &all, 8, DX_RANGE + 4096), 8);
	assert_int_equal(*(volatile uint64_t *)vuf_dax_at(f->v, 4096), all);
	/* What another request writes is seen too. */
	assert_int_equal(fz_open(f, node, O_RDWR, &open_out), 0);
	assert_int_equal(fz_write(f, node, open_out.fh, DX_RANGE + 8192, &all, 8), 8);
	assert_int_equal(*(volatile uint64_t *)vuf_dax_at(f->v, 8192), all);
	/* And what was written through the window is what a READ gives. */
	*(volatile uint64_t *)vuf_dax_at(f->v, 8192) = 99;
	assert_int_equal(fz_read(f, node, open_out.fh, DX_RANGE + 8192, &word, 8), 8);
	assert_int_equal(word, 99);
	assert_int_equal(fz_release(f, node, open_out.fh), 0);
	dx_live(f, 1);
}

/* A write to what is mapped for reading: the same place again, without taking it away before. */
static void from_read_to_write(void **state)
{
	struct fx *f = *state;
	uint64_t node, word = 77, sent = vuf_dax_stats(f->v).requests;

	dx_file(f, "a", 1, DX_RANGE);
	node = fz_walk(f, "a");
	dx_map(f, node, 0, DX_RANGE, DX_READ, DX_RANGE);
	dx_is(f, DX_RANGE, 1, 0, DX_RANGE);
	dx_map(f, node, 0, DX_RANGE, DX_WRITE, DX_RANGE);
	assert_int_equal(vuf_dax_write(f->v, DX_RANGE + 80, &word, 8), 0);
	dx_live(f, 1);
	/* It was mapped for writing from the first: no message, and no moment without it. */
	assert_int_equal(vuf_dax_stats(f->v).requests, sent + 1);
	dx_map(f, node, 0, DX_RANGE, DX_READ, DX_RANGE);
	assert_int_equal(vuf_dax_stats(f->v).requests, sent + 1);
	dx_unmap(f, node, DX_RANGE, DX_RANGE);
	dx_live(f, 0);
}

static void the_same_again(void **state)
{
	struct fx *f = *state;
	uint64_t node, sent = vuf_dax_stats(f->v).requests;

	dx_file(f, "a", 1, 2 * DX_RANGE);
	node = fz_walk(f, "a");
	for (unsigned int i = 0; i < 10; i++)
		dx_map(f, node, 0, DX_RANGE, i % 2 ? DX_READ : DX_WRITE, 0);
	assert_int_equal(vuf_dax_stats(f->v).requests, sent + 1);
	dx_is(f, 0, 1, 0, DX_RANGE);
	/* The same pages in two places. */
	dx_map(f, node, 0, DX_RANGE, DX_WRITE, DX_RANGE);
	dx_is(f, DX_RANGE, 1, 0, DX_RANGE);
	dx_live(f, 2);
	dx_unmap(f, node, 0, DX_RANGE);
	dx_is_hole(f, 0, DX_RANGE);
	dx_is(f, DX_RANGE, 1, 0, DX_RANGE);
}

/* Over what is mapped: the new one is there, and of the old ones what it does not cover. */
static void over_others(void **state)
{
	struct fx *f = *state;
	uint64_t a, b;

	dx_file(f, "a", 1, 4 * DX_RANGE);
	dx_file(f, "b", 2, 4 * DX_RANGE);
	a = fz_walk(f, "a");
	b = fz_walk(f, "b");
	/* The end of one. */
	dx_map(f, a, 0, DX_RANGE, DX_READ, 0);
	dx_map(f, b, 0, DX_RANGE, DX_READ, DX_MIB);
	dx_is(f, 0, 1, 0, DX_MIB);
	dx_is(f, DX_MIB, 2, 0, DX_RANGE);
	/* The start of one. */
	dx_map(f, a, DX_RANGE, DX_MIB, DX_READ, DX_MIB);
	dx_is(f, 0, 1, 0, DX_MIB);
	dx_is(f, DX_MIB, 1, DX_RANGE, DX_MIB);
	dx_is(f, 2 * DX_MIB, 2, DX_MIB, DX_MIB);
	/* The middle of one, exactly one, and all of them. */
	dx_map(f, b, 3 * DX_RANGE, DX_PAGE, DX_WRITE, DX_MIB + DX_PAGE);
	dx_is(f, DX_MIB, 1, DX_RANGE, DX_PAGE);
	dx_is(f, DX_MIB + DX_PAGE, 2, 3 * DX_RANGE, DX_PAGE);
	dx_is(f, DX_MIB + 2 * DX_PAGE, 1, DX_RANGE + 2 * DX_PAGE, DX_MIB - 2 * DX_PAGE);
	dx_map(f, a, 0, DX_PAGE, DX_WRITE, DX_MIB + DX_PAGE);
	dx_is(f, DX_MIB + DX_PAGE, 1, 0, DX_PAGE);
	dx_map(f, b, 0, 4 * DX_RANGE, DX_WRITE, 0);
	dx_is(f, 0, 2, 0, 4 * DX_RANGE);
	dx_live(f, 1);
	/* The same file elsewhere. */
	dx_map(f, b, DX_RANGE, DX_RANGE, DX_WRITE, 0);
	dx_is(f, 0, 2, DX_RANGE, DX_RANGE);
	dx_is(f, DX_RANGE, 2, DX_RANGE, 3 * DX_RANGE);
}

/* A driver may take away any piece. */
static void pieces_taken_away(void **state)
{
	struct fx *f = *state;
	uint64_t a;

	dx_file(f, "a", 1, 4 * DX_RANGE);
	a = fz_walk(f, "a");
	dx_map(f, a, 0, DX_RANGE, DX_WRITE, 0);
	dx_map(f, a, DX_RANGE, DX_RANGE, DX_WRITE, DX_RANGE);
	dx_map(f, a, 3 * DX_RANGE, DX_RANGE, DX_WRITE, 3 * DX_RANGE);
	dx_unmap(f, a, DX_PAGE, 2 * DX_PAGE);
	dx_is_hole(f, DX_PAGE, 2 * DX_PAGE);
	dx_is(f, 0, 1, 0, DX_PAGE);
	dx_is(f, 3 * DX_PAGE, 1, 3 * DX_PAGE, DX_RANGE - 3 * DX_PAGE);
	dx_unmap(f, a, 0, DX_PAGE);
	dx_is_hole(f, 0, 3 * DX_PAGE);
	/* Over an edge. */
	dx_unmap(f, a, DX_RANGE - DX_PAGE, 2 * DX_PAGE);
	dx_is_hole(f, DX_RANGE - DX_PAGE, 2 * DX_PAGE);
	dx_is(f, 3 * DX_PAGE, 1, 3 * DX_PAGE, DX_RANGE - 4 * DX_PAGE);
	dx_is(f, DX_RANGE + DX_PAGE, 1, DX_RANGE + DX_PAGE, DX_RANGE - DX_PAGE);
	/* Over a hole, and a hole alone. */
	dx_unmap(f, a, 2 * DX_RANGE - DX_PAGE, DX_RANGE + 2 * DX_PAGE);
	dx_is_hole(f, 2 * DX_RANGE - DX_PAGE, DX_RANGE + 2 * DX_PAGE);
	dx_is(f, 3 * DX_RANGE + DX_PAGE, 1, 3 * DX_RANGE + DX_PAGE, DX_RANGE - DX_PAGE);
	dx_unmap(f, a, 2 * DX_RANGE, DX_RANGE);
	dx_unmap(f, a, 0, DX_WINDOW);
	dx_is_hole(f, 0, 4 * DX_RANGE);
	dx_live(f, 0);
}

#define BATCH 2000u

/* Many entries in one request: Linux sends up to 256. */
static void many_at_once(void **state)
{
	static const unsigned int sizes[] = {2, 31, 256, BATCH};
	struct fuse_removemapping_one *one = calloc(BATCH, sizeof(*one));
	struct fx *f = *state;
	uint64_t a;

	assert_non_null(one);
	dx_file(f, "a", 1, 2 * DX_RANGE);
	a = fz_walk(f, "a");
	for (unsigned int k = 0; k < ARRAY_SIZE(sizes); k++) {
		unsigned int n = sizes[k];

		/* More pieces than it can have. */
		if (dx_rules(f)->regions && n > (dx_rules(f)->slots ? 2 : 31))
			break;
		dx_map(f, a, 0, DX_RANGE, DX_WRITE, 0);
		dx_map(f, a, DX_RANGE, DX_RANGE, DX_WRITE, DX_RANGE);
		/* In no order, some of them twice, some a hole; page 1 and the last are not among them. */
		for (unsigned int i = 0; i < n; i++) {
			uint64_t page = 2 + i * 7 % 1021;

			one[i].moffset = page * DX_PAGE;
			one[i].len = DX_PAGE;
		}
		if (n > 2) {
			one[0].moffset = DX_RANGE;
			one[0].len = DX_RANGE - DX_PAGE;
		}
		assert_int_equal(fz_removemapping(f, a, one, n), 0);
		for (unsigned int i = 0; i < n; i++)
			dx_is_hole(f, one[i].moffset, one[i].len);
		dx_is(f, 0, 1, 0, 2 * DX_PAGE);
		dx_is(f, 2 * DX_RANGE - DX_PAGE, 1, 2 * DX_RANGE - DX_PAGE, DX_PAGE);
		dx_unmap(f, a, 0, 2 * DX_RANGE);
		dx_live(f, 0);
	}
	free(one);
}

/* Linux sends no handle; what is sent may be one, or anything. */
static void by_node_or_by_handle(void **state)
{
	struct fx *f = *state;
	struct fuse_open_out open;
	uint64_t a, b;

	dx_file(f, "a", 1, DX_RANGE);
	dx_file(f, "b", 2, DX_RANGE);
	a = fz_walk(f, "a");
	b = fz_walk(f, "b");
	assert_int_equal(fz_open(f, a, O_RDWR, &open), 0);
	assert_int_equal(fz_setupmapping(f, a, open.fh, 0, DX_RANGE, DX_WRITE, 0), 0);
	dx_is(f, 0, 1, 0, DX_RANGE);
	assert_int_equal(fz_release(f, a, open.fh), 0);
	dx_is(f, 0, 1, 0, DX_RANGE);
	/* A handle of another file's, and none at all: an errno, or what the node says. */
	assert_int_equal(fz_open(f, a, O_RDWR, &open), 0);
	for (unsigned int i = 0; i < 4; i++) {
		const uint64_t fh[] = {open.fh, 0, 12345, UINT64_MAX - 1};

		if (fz_setupmapping(f, b, fh[i], 0, DX_RANGE, DX_WRITE, DX_RANGE) == 0)
			dx_is(f, DX_RANGE, 2, 0, DX_RANGE);
	}
	assert_int_equal(fz_release(f, a, open.fh), 0);
	/* Opened for reading alone: that is the guest's kernel's to mind. */
	dx_map(f, b, 0, DX_RANGE, DX_WRITE, 2 * DX_RANGE);
	dx_is(f, 2 * DX_RANGE, 2, 0, DX_RANGE);
}

/* Only regular files, and only those that the guest holds. */
static void what_cannot_be_mapped(void **state)
{
	struct fx *f = *state;
	uint64_t nodes[10] = {0, UINT64_MAX, 12345, FUSE_ROOT_ID};
	uint64_t gone, sent = vuf_dax_stats(f->v).requests;
	unsigned int n = 4;

	assert_int_equal(mkdir(fx_path(f, "dir"), 0755), 0);
	assert_int_equal(mkfifo(fx_path(f, "fifo"), 0644), 0);
	dx_file(f, "a", 1, DX_RANGE);
	assert_int_equal(symlink("a", fx_path(f, "link")), 0);
	nodes[n++] = fz_walk(f, "dir");
	nodes[n++] = fz_walk(f, "fifo");
	nodes[n++] = fz_walk(f, "link");
	if (geteuid() == 0 && mknod(fx_path(f, "null"), S_IFCHR | 0666, 0x103) == 0)
		nodes[n++] = fz_walk(f, "null");
	gone = fz_walk(f, "a");
	fz_forget(f, gone, 1);
	nodes[n++] = gone;
	for (unsigned int i = 0; i < n; i++)
		for (unsigned int w = 0; w < 2; w++) {
			int r = fz_setupmapping(f, nodes[i], DX_NO_FH, 0, DX_RANGE,
						w ? DX_WRITE : DX_READ, 0);

			if (r >= 0)
				fail_msg("node %u can be mapped", i);
		}
	assert_int_equal(vuf_dax_stats(f->v).requests, sent);
	dx_is_hole(f, 0, DX_RANGE);
}

static void edges_of_setupmapping(void **state)
{
	static const uint64_t end = UINT64_MAX - DX_PAGE + 1, half = 1ull << 63;
	/* foffset, len, flags, moffset: all of them wrong. */
	static const uint64_t bad[][4] = {
		{0, 0, DX_READ, 0},
		{0, 1, DX_READ, 0},
		{0, DX_PAGE - 1, DX_READ, 0},
		{0, DX_PAGE + 1, DX_READ, 0},
		{1, DX_PAGE, DX_READ, 0},
		{0, DX_PAGE, DX_READ, 1},
		{0, DX_PAGE, DX_READ, 512},
		{0, DX_PAGE, DX_READ, DX_WINDOW},
		{0, 2 * DX_PAGE, DX_READ, DX_WINDOW - DX_PAGE},
		{0, DX_WINDOW + DX_PAGE, DX_READ, 0},
		{0, DX_WINDOW, DX_READ, DX_PAGE},
		{0, DX_PAGE, DX_READ, end},
		{0, DX_PAGE, DX_READ, half},
		{0, 2 * DX_PAGE, DX_READ, end},
		{0, end, DX_READ, DX_PAGE},
		{0, end, DX_READ, 0},
		{0, half, DX_READ, half},
		{end, DX_PAGE, DX_READ, 0},
		{end, 2 * DX_PAGE, DX_WRITE, 0},
		{half, DX_PAGE, DX_READ, 0},
		{half - DX_PAGE, 2 * DX_PAGE, DX_READ, 0},
		{half - DX_PAGE, DX_RANGE, DX_WRITE, 0},
		{0, DX_PAGE, 0, 0},
		{0, DX_PAGE, ~DX_WRITE, 0},
		{0, DX_PAGE, UINT64_MAX, 0},
	};
	struct fx *f = *state;
	uint64_t a, sent = vuf_dax_stats(f->v).requests;

	dx_file(f, "a", 1, 2 * DX_RANGE);
	a = fz_walk(f, "a");
	dx_map(f, a, DX_RANGE, DX_RANGE, DX_WRITE, 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		int r = fz_setupmapping(f, a, DX_NO_FH, bad[i][0], bad[i][1], bad[i][2], bad[i][3]);

		if (r >= 0)
			fail_msg("case %u is done", i);
	}
	/* What was there is there, and nothing else. */
	assert_int_equal(vuf_dax_stats(f->v).requests, sent + 1);
	dx_is(f, 0, 1, DX_RANGE, DX_RANGE);
	/* What there is at all: the last page of the window. */
	dx_map(f, a, 0, DX_PAGE, DX_READ, DX_WINDOW - DX_PAGE);
	dx_is(f, DX_WINDOW - DX_PAGE, 1, 0, DX_PAGE);
}

/* Behind the end of the file, and far behind it: an errno or nothing to see, but no harm. */
static void behind_the_end(void **state)
{
	static const uint64_t where[] = {DX_RANGE, 2 * DX_RANGE, 1ull << 40,
					 (1ull << 63) - 2 * DX_RANGE};
	struct fx *f = *state;
	uint64_t a;
	char c;

	dx_file(f, "a", 1, DX_RANGE);
	a = fz_walk(f, "a");
	for (unsigned int i = 0; i < ARRAY_SIZE(where); i++) {
		(void)fz_setupmapping(f, a, DX_NO_FH, where[i], DX_RANGE, DX_WRITE, 0);
		assert_int_equal(vuf_dax_read(f->v, 0, &c, 1), -EFAULT);
		assert_int_equal(fx_stat(f, "a").st_size, DX_RANGE);
		dx_unmap(f, a, 0, DX_RANGE);
	}
	dx_map(f, a, 0, DX_RANGE, DX_WRITE, 0);
	dx_is(f, 0, 1, 0, DX_RANGE);
}

/* Files of less than a range: as much as can be seen is seen, and they stay as large as they are. */
static void empty_and_tiny_files(void **state)
{
	static const uint64_t sizes[] = {
		0,
		1,
		100,
		4095,
		4096,
		4097,
		8192,
		DX_MIB,
		DX_MIB + 1,
		DX_RANGE - 4096,
		DX_RANGE - 1,
	};
	struct fx *f = *state;

	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint64_t whole = sizes[i] & ~(uint64_t)(DX_PAGE - 1), at = i * DX_RANGE, node;
		bool to_the_end = whole == sizes[i] || !dx_rules(f)->refuses_past_end;
		char name[16], c;
		int r;

		snprintf(name, sizeof(name), "%u", i);
		dx_file(f, name, i + 1, sizes[i]);
		node = fz_walk(f, name);
		r = fz_setupmapping(f, node, DX_NO_FH, 0, DX_RANGE, DX_WRITE, at);
		if (r < 0 && to_the_end && sizes[i])
			fail_msg("%s bytes: %s", name, strerror(-r));
		if (r == 0) {
			dx_is(f, at, i + 1, 0, to_the_end ? sizes[i] & ~7ull : whole);
			assert_int_equal(vuf_dax_read(f->v,
						      at + whole + (whole != sizes[i]) * DX_PAGE,
						      &c, 1),
					 -EFAULT);
		}
		assert_int_equal(fx_stat(f, name).st_size, sizes[i]);
		dx_unmap(f, node, at, DX_RANGE);
		assert_int_equal(fx_stat(f, name).st_size, sizes[i]);
	}
	dx_live(f, 0);
}

static int remove_raw(struct fx *f, uint32_t count, const void *bytes, size_t len)
{
	struct fuse_removemapping_in in = {.count = count};
	struct iovec iov[] = {IOV(in), {(void *)(uintptr_t)bytes, len}};

	return fz_call(f, FUSE_REMOVEMAPPING, FUSE_ROOT_ID, iov, 2, NULL, 0, NULL);
}

static void edges_of_removemapping(void **state)
{
	static const struct fuse_removemapping_one bad[] = {
		{0, 0},
		{0, 1},
		{0, DX_PAGE + 1},
		{1, DX_PAGE},
		{DX_WINDOW, DX_PAGE},
		{DX_WINDOW - DX_PAGE, 2 * DX_PAGE},
		{0, DX_WINDOW + DX_PAGE},
		{UINT64_MAX - DX_PAGE + 1, DX_PAGE},
		{UINT64_MAX - DX_PAGE + 1, 2 * DX_PAGE},
		{DX_PAGE, UINT64_MAX - DX_PAGE + 1},
		{1ull << 63, 1ull << 63},
	};
	struct fuse_removemapping_one two[2] = {{DX_RANGE, DX_PAGE}};
	struct fx *f = *state;
	uint64_t a;

	dx_file(f, "a", 1, DX_RANGE);
	a = fz_walk(f, "a");
	dx_map(f, a, 0, DX_RANGE, DX_READ, 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
		if (fz_removemapping(f, a, &bad[i], 1) >= 0)
			fail_msg("case %u is done", i);
	/* Counts that the request has no room for. */
	assert_true(remove_raw(f, 1, two, 15) < 0);
	assert_true(remove_raw(f, 1, two, 0) < 0);
	assert_true(remove_raw(f, 2, two, 31) < 0);
	assert_true(remove_raw(f, UINT32_MAX, two, 32) < 0);
	assert_true(remove_raw(f, 0x10000001, two, 16) < 0);
	assert_true(fz_call(f, FUSE_REMOVEMAPPING, a, NULL, 0, NULL, 0, NULL) < 0);
	assert_true(fz_call(f, FUSE_SETUPMAPPING, a, NULL, 0, NULL, 0, NULL) < 0);
	(void)remove_raw(f, 0, NULL, 0);
	dx_is(f, 0, 1, 0, DX_RANGE);
	/* A good entry and a bad one: an errno, whatever became of the good one. */
	two[1] = bad[4];
	assert_true(fz_removemapping(f, a, two, 2) < 0);
	dx_is(f, 0, 1, 0, DX_RANGE);
	dx_unmap(f, a, 0, DX_RANGE);
}

int main(int argc, char **argv)
{
	const struct dx_test tests[] = {
		DX_TEST(map_and_read, NULL),          DX_TEST(of_any_size, NULL),
		DX_TEST(write_through, NULL),         DX_TEST(from_read_to_write, NULL),
		DX_TEST(the_same_again, NULL),        DX_TEST(over_others, &many_slots),
		DX_TEST(pieces_taken_away, NULL),     DX_TEST(many_at_once, NULL),
		DX_TEST(by_node_or_by_handle, NULL),  DX_TEST(what_cannot_be_mapped, NULL),
		DX_TEST(edges_of_setupmapping, NULL), DX_TEST(behind_the_end, NULL),
		DX_TEST(empty_and_tiny_files, NULL),  DX_TEST(edges_of_removemapping, NULL),
	};

	return dx_main(argc, argv, "dax_map", tests, ARRAY_SIZE(tests));
}
