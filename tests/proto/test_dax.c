// SPDX-License-Identifier: Apache-2.0
/* The DAX window: files mapped and unmapped, with each front-end that has one. */
/*
 * Theory of operation
 *
 * The front-end has a real window: what the daemon has mapped, the test reads and writes in memory. Each
 * test with "any" in its options runs with every personality; at the end of each none may have seen
 * anything that is forbidden.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fx.h"
#include "fz.h"
#include "util.h"
#include "vuf_dax.h"

#define MIB   (UINT64_C(1) << 20)
#define RANGE (2 * MIB) /* what Linux maps */
#define PAGE  UINT64_C(4096)

#define SIZE (64 * MIB)

#define R FUSE_SETUPMAPPING_FLAG_READ
#define W (FUSE_SETUPMAPPING_FLAG_READ | FUSE_SETUPMAPPING_FLAG_WRITE)

/* What Linux offers where there is a window. */
#define DAX_FLAGS (FX_LINUX_FLAGS | FUSE_MAP_ALIGNMENT | FUSE_HAS_INODE_DAX)

static int setup(struct fx *f, uint64_t nodeid, uint64_t foffset, uint64_t len, uint64_t moffset,
		 uint64_t flags)
{
	const struct fuse_setupmapping_in in = {.fh = UINT64_MAX,
						.foffset = foffset,
						.len = len,
						.flags = flags,
						.moffset = moffset};
	struct iovec iov[] = {IOV(in)};

	return fz_call(f, FUSE_SETUPMAPPING, nodeid, iov, 1, NULL, 0, NULL);
}

static int removal(struct fx *f, const struct fuse_removemapping_one *one, uint32_t count)
{
	const struct fuse_removemapping_in in = {.count = count};
	struct iovec iov[] = {IOV(in), {(void *)(uintptr_t)one, count * sizeof(*one)}};

	return fz_call(f, FUSE_REMOVEMAPPING, FUSE_ROOT_ID, iov, 2, NULL, 0, NULL);
}

static int remove_range(struct fx *f, uint64_t moffset, uint64_t len)
{
	const struct fuse_removemapping_one one = {.moffset = moffset, .len = len};

	return removal(f, &one, 1);
}

/* A file of @pages pages, each full of its own byte; its nodeid. */
static uint64_t make(struct fx *f, const char *name, unsigned int pages)
{
	uint8_t *bytes = malloc(pages * PAGE + 1);

	assert_non_null(bytes);
	for (unsigned int i = 0; i < pages; i++)
		memset(bytes + i * PAGE, (int)('A' + i % 26), PAGE);
	fx_put(f, name, bytes, pages * PAGE, 0644);
	free(bytes);
	return fz_walk(f, name);
}

static void shows(struct fx *f, uint64_t at, char byte)
{
	char got[2];

	assert_int_equal(vuf_dax_read(f->v, at, got, 1), 0);
	assert_int_equal(got[0], byte);
	assert_int_equal(vuf_dax_read(f->v, at + PAGE - 1, got, 1), 0);
	assert_int_equal(got[0], byte);
}

/* Some front-ends unmap after they have answered. */
static void shows_nothing(struct fx *f, uint64_t at)
{
	int ms = 0;
	char got;

	while (vuf_dax_read(f->v, at, &got, 1) == 0 && ms++ < FX_WAIT_MS)
		poll(NULL, 0, 1);
	assert_true(ms < FX_WAIT_MS);
}

static int teardown(void **state)
{
	struct fx *f = *state;
	const char *wrong = f->v ? vuf_dax_wrong(f->v) : NULL;

	if (wrong)
		print_error("forbidden: %s\n", wrong);
	return fx_teardown(state) || wrong;
}

/* A mapping is the file: what one side writes the other reads, at once. */
static void map_and_write(void **state)
{
	struct fx *f = *state;
	uint64_t id = make(f, "file", 512);
	char got = 0;
	int fd;

	assert_int_equal(f->init.map_alignment, 12);
	assert_true(f->init.flags & FUSE_MAP_ALIGNMENT);
	assert_int_equal(setup(f, id, 0, RANGE, RANGE, R), 0);
	shows(f, RANGE, 'A');
	shows(f, RANGE + PAGE, 'B');
	shows(f, 2 * RANGE - PAGE, 'A' + 511 % 26);
	shows_nothing(f, 0);
	shows_nothing(f, 2 * RANGE);
	fd = open(fx_path(f, "file"), O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "x", 1, 5), 1);
	assert_int_equal(vuf_dax_read(f->v, RANGE + 5, &got, 1), 0);
	assert_int_equal(got, 'x');
	/* The guest wants to write now: there is nothing to be done for it. */
	assert_int_equal(setup(f, id, 0, RANGE, RANGE, W), 0);
	assert_int_equal(vuf_dax_stats(f->v).live, 1);
	assert_int_equal(vuf_dax_write(f->v, RANGE + 6, "y", 1), 0);
	assert_int_equal(pread(fd, &got, 1, 6), 1);
	assert_int_equal(got, 'y');
	close(fd);
	assert_int_equal(remove_range(f, RANGE, RANGE), 0);
	assert_true(vuf_dax_wait_live(f->v, 0, FX_WAIT_MS));
	shows_nothing(f, RANGE);
	assert_int_equal(remove_range(f, RANGE, RANGE), 0);
}

/* What VIRTIO has the device accept: over mappings, parts of them, more than there are. */
static void overlap_and_parts(void **state)
{
	struct fx *f = *state;
	uint64_t a = make(f, "a", 512), b = make(f, "b", 512);
	const struct fuse_removemapping_one many[] = {
		{.moffset = 0, .len = 4 * PAGE},
		{.moffset = 8 * PAGE, .len = 2 * PAGE},
		{.moffset = 100 * PAGE, .len = PAGE},
	};

	assert_int_equal(setup(f, a, 0, 16 * PAGE, 0, R), 0);
	/* Another file in the middle. */
	assert_int_equal(setup(f, b, 24 * PAGE, 2 * PAGE, 6 * PAGE, R), 0);
	shows(f, 5 * PAGE, 'A' + 5);
	shows(f, 6 * PAGE, 'A' + 24);
	shows(f, 7 * PAGE, 'A' + 25);
	shows(f, 8 * PAGE, 'A' + 8);
	/* The same file, elsewhere in it. */
	assert_int_equal(setup(f, a, PAGE, PAGE, 10 * PAGE, R), 0);
	shows(f, 9 * PAGE, 'A' + 9);
	shows(f, 10 * PAGE, 'B');
	shows(f, 11 * PAGE, 'A' + 11);
	assert_int_equal(removal(f, many, ARRAY_SIZE(many)), 0);
	shows_nothing(f, 0);
	shows_nothing(f, 3 * PAGE);
	shows(f, 4 * PAGE, 'A' + 4);
	shows(f, 7 * PAGE, 'A' + 25);
	shows_nothing(f, 8 * PAGE);
	shows_nothing(f, 9 * PAGE);
	shows(f, 10 * PAGE, 'B');
	/* All of it, once more, and away with it in one piece. */
	assert_int_equal(setup(f, a, 0, 16 * PAGE, 0, R), 0);
	shows(f, 0, 'A');
	shows(f, 15 * PAGE, 'A' + 15);
	assert_int_equal(remove_range(f, 0, SIZE), 0);
	assert_true(vuf_dax_wait_live(f->v, 0, FX_WAIT_MS));
}

#define ANY(name_, ...)                              \
	static const struct fx_opts name_##_opts = { \
		.args = {"--dax-window=64M", "--tag=dax", ##__VA_ARGS__}, .flags = DAX_FLAGS}

ANY(usual);

/* The daemon tries its front-end out before the first; what it needs for that is not counted. */
static void first_mapping(struct fx *f)
{
	uint64_t id = make(f, "first", 512);

	assert_int_equal(setup(f, id, 0, RANGE, 0, R), 0);
	assert_int_equal(remove_range(f, 0, RANGE), 0);
	fz_forget(f, id, 1);
	assert_int_equal(unlink(fx_path(f, "first")), 0);
	assert_true(vuf_dax_wait_live(f->v, 0, FX_WAIT_MS));
	f->fds = fx_count_fds(f);
}

struct any {
	struct fx_opts opts;
	const char *rules;
};

static int setup_any(void **state)
{
	struct any *any = *state;

	any->opts.vuf.rules = vuf_rules_named(any->rules);
	any->opts.vuf.dax_size = SIZE;
	if (fx_setup(state))
		return -1;
	first_mapping(*state);
	return 0;
}

#define PERSON(fn, who)                                             \
	{                                                           \
#fn " " who, fn, setup_any, teardown, &(struct any) \
		{                                                   \
			.opts = usual_opts, .rules = who            \
		}                                                   \
	}
#define EACH(fn) PERSON(fn, "strict"), PERSON(fn, "qemu11"), PERSON(fn, "crosvm")

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		EACH(map_and_write),
		EACH(overlap_and_parts),
	};

	return fx_main(argc, argv, "dax", tests, ARRAY_SIZE(tests));
}
