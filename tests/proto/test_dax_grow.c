// SPDX-License-Identifier: Apache-2.0
/* The DAX window and files that change: growth, truncation, names that go, nodes that are forgotten. */
/*
 * Theory of operation
 *
 * A guest asks for 2 MiB of a file whatever its size, and never again when the file grows within: what it is
 * told to be there has to be there. So each test makes a file larger in one way, and looks through the window
 * as soon as a reply says so. Sizes are multiples of the page, as not all front-ends can map less.
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

#define SMALL (64u * 1024u)
#define LARGE (256u * 1024u)

/* Bytes that no stamp is. */
static void word_is(struct fx *f, uint64_t moffset, uint64_t want)
{
	uint64_t word = ~want;

	if (vuf_dax_read(f->v, moffset, &word, 8) < 0)
		fail_msg("%#llx of the window cannot be touched", (unsigned long long)moffset);
	assert_int_equal(word, want);
}

/* The file is LARGE now: the guest sees all of it, and can write all of it. */
static void is_large(struct fx *f, uint64_t moffset)
{
	uint64_t word = 0x4711, seen = 0;
	scoped_fd int fd = open(fx_path(f, "a"), O_RDONLY | O_CLOEXEC);

	dx_is(f, moffset, 1, 0, SMALL);
	for (uint64_t at = SMALL; at < LARGE; at += DX_PAGE)
		if (vuf_dax_read(f->v, moffset + at, &seen, 8) < 0)
			fail_msg("%#llx of the file cannot be touched", (unsigned long long)at);
	assert_int_equal(vuf_dax_write(f->v, moffset + LARGE - 8, &word, 8), 0);
	assert_int_equal(pread(fd, &seen, 8, LARGE - 8), 8);
	assert_int_equal(seen, word);
	assert_int_equal(fx_stat(f, "a").st_size, LARGE);
}

/* A file of SMALL bytes, mapped at the second range. */
static uint64_t small_file(struct fx *f, struct fuse_open_out *ret)
{
	uint64_t node;

	dx_file(f, "a", 1, SMALL);
	node = fz_walk(f, "a");
	assert_int_equal(fz_open(f, node, O_RDWR, ret), 0);
	dx_map(f, node, 0, DX_RANGE, DX_WRITE, DX_RANGE);
	dx_is(f, DX_RANGE, 1, 0, SMALL);
	return node;
}

static void done(struct fx *f, uint64_t node, uint64_t fh)
{
	dx_unmap(f, node, DX_RANGE, DX_RANGE);
	dx_live(f, 0);
	dx_is_hole(f, DX_RANGE, DX_RANGE);
	assert_int_equal(fz_release(f, node, fh), 0);
}

static void by_write(void **state)
{
	struct fx *f = *state;
	struct fuse_open_out open;
	uint64_t node = small_file(f, &open), word = 42;
	static char bytes[LARGE - SMALL];

	memset(bytes, 'x', sizeof(bytes));
	assert_int_equal(fz_write(f, node, open.fh, SMALL, bytes, sizeof(bytes)), sizeof(bytes));
	word_is(f, DX_RANGE + SMALL, 0x7878787878787878);
	is_large(f, DX_RANGE);
	/* Far behind the end: a hole between. */
	assert_int_equal(fz_write(f, node, open.fh, DX_MIB - 8, &word, 8), 8);
	word_is(f, DX_RANGE + DX_MIB - 8, 42);
	word_is(f, DX_RANGE + LARGE, 0);
	/* Over the end of what is mapped. */
	assert_int_equal(fz_write(f, node, open.fh, 2 * DX_RANGE - 8, &word, 8), 8);
	word_is(f, DX_RANGE + DX_RANGE - 8, 0);
	dx_is_hole(f, 2 * DX_RANGE, DX_RANGE);
	done(f, node, open.fh);
}

static void by_append(void **state)
{
	struct fx *f = *state;
	struct fuse_open_out open;
	static char bytes[LARGE - SMALL];
	uint64_t node;

	memset(bytes, 'x', sizeof(bytes));
	dx_file(f, "a", 1, SMALL);
	node = fz_walk(f, "a");
	assert_int_equal(fz_open(f, node, O_RDWR | O_APPEND, &open), 0);
	dx_map(f, node, 0, DX_RANGE, DX_WRITE, DX_RANGE);
	assert_int_equal(fz_write(f, node, open.fh, SMALL, bytes, sizeof(bytes)), sizeof(bytes));
	is_large(f, DX_RANGE);
	done(f, node, open.fh);
}

static void by_setattr(void **state)
{
	struct fx *f = *state;
	struct fuse_open_out open;
	struct fuse_attr_out attr;
	uint64_t node = small_file(f, &open);
	struct fuse_setattr_in in = {.valid = FATTR_SIZE, .size = LARGE};

	assert_int_equal(fz_setattr(f, node, &in, &attr), 0);
	assert_int_equal(attr.attr.size, LARGE);
	is_large(f, DX_RANGE);
	in.size = DX_RANGE;
	in.valid |= FATTR_FH;
	in.fh = open.fh;
	assert_int_equal(fz_setattr(f, node, &in, &attr), 0);
	word_is(f, 2 * DX_RANGE - 8, 0);
	done(f, node, open.fh);
}

static void by_fallocate(void **state)
{
	struct fx *f = *state;
	struct fuse_open_out open;
	uint64_t node = small_file(f, &open);

	/* Without a change of size: nothing to see. */
	assert_int_equal(fz_fallocate(f, node, open.fh, 1, SMALL, LARGE), 0);
	assert_int_equal(fx_stat(f, "a").st_size, SMALL);
	assert_int_equal(fz_fallocate(f, node, open.fh, 0, SMALL, LARGE - SMALL), 0);
	is_large(f, DX_RANGE);
	done(f, node, open.fh);
}

static void by_copy(void **state)
{
	struct fx *f = *state;
	struct fuse_open_out open, from;
	uint64_t node = small_file(f, &open), other;

	dx_file(f, "b", 2, LARGE);
	other = fz_walk(f, "b");
	assert_int_equal(fz_open(f, other, O_RDONLY, &from), 0);
	assert_int_equal(fz_copy(f, other, from.fh, SMALL, node, open.fh, SMALL, LARGE - SMALL),
			 LARGE - SMALL);
	dx_is(f, DX_RANGE + SMALL, 2, SMALL, LARGE - SMALL);
	is_large(f, DX_RANGE);
	assert_int_equal(fz_release(f, other, from.fh), 0);
	done(f, node, open.fh);
}

/* The host made it larger: who is told of the size can touch all of it. */
static void by_the_host(void **state)
{
	struct fx *f = *state;

	for (unsigned int how = 0; how < 5; how++) {
		static char buf[8192];
		struct fuse_open_out open, dir;
		struct fuse_attr_out attr;
		struct fuse_statx_out sx;
		struct fuse_entry_out entry;
		uint64_t node = small_file(f, &open), told = 0;

		assert_int_equal(truncate(fx_path(f, "a"), LARGE), 0);
		if (how == 0) {
			assert_int_equal(fz_getattr(f, node, &attr), 0);
			told = attr.attr.size;
		} else if (how == 1) {
			assert_int_equal(fz_getattr_fh(f, node, open.fh, &attr), 0);
			told = attr.attr.size;
		} else if (how == 2) {
			assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, "a", &entry), 0);
			told = entry.attr.size;
			fz_forget(f, node, 1);
		} else if (how == 3) {
			assert_int_equal(fz_statx(f, node, 0x7ff, &sx), 0);
			told = sx.stat.size;
		} else {
			assert_int_equal(fz_opendir(f, FUSE_ROOT_ID, &dir), 0);
			assert_true(fz_readdir(f, FUSE_ROOT_ID, dir.fh, 0, true, buf, sizeof(buf)) >
				    0);
			assert_int_equal(fz_releasedir(f, FUSE_ROOT_ID, dir.fh), 0);
			fz_forget(f, node, 1);
			told = LARGE;
		}
		assert_int_equal(told, LARGE);
		is_large(f, DX_RANGE);
		done(f, node, open.fh);
		fz_forget(f, node, 1);
	}
}

/* Several mappings of one file, in pieces: all of them grow. */
static void where_it_is_mapped_often(void **state)
{
	struct fx *f = *state;
	struct fuse_open_out open;
	uint64_t node = small_file(f, &open), word = 42;

	dx_map(f, node, 0, DX_RANGE, DX_READ, 3 * DX_RANGE);
	dx_map(f, node, 0, LARGE, DX_WRITE, 5 * DX_RANGE);
	assert_int_equal(fz_write(f, node, open.fh, LARGE - 8, &word, 8), 8);
	is_large(f, DX_RANGE);
	is_large(f, 3 * DX_RANGE);
	is_large(f, 5 * DX_RANGE);
	/* Ends where it was asked to. */
	assert_int_equal(fz_write(f, node, open.fh, DX_MIB - 8, &word, 8), 8);
	dx_is_hole(f, 5 * DX_RANGE + LARGE, DX_MIB);
	word_is(f, 3 * DX_RANGE + DX_MIB - 8, 42);
	dx_unmap(f, node, 3 * DX_RANGE, DX_RANGE);
	dx_unmap(f, node, 5 * DX_RANGE, DX_RANGE);
	/* What is not mapped any more does not come back. */
	assert_int_equal(fz_write(f, node, open.fh, DX_RANGE - 8, &word, 8), 8);
	dx_is_hole(f, 3 * DX_RANGE, DX_RANGE);
	word_is(f, 2 * DX_RANGE - 8, 42);
	done(f, node, open.fh);
}

/* Mapped while it was empty; no harm comes to it, and what is written is there. */
static void from_nothing(void **state)
{
	struct fx *f = *state;
	struct fz_entry_open c;
	static char bytes[SMALL];
	uint64_t node;
	int r;

	assert_int_equal(fz_create(f, FUSE_ROOT_ID, "a", O_CREAT | O_RDWR, 0644, &c), 0);
	node = c.entry.nodeid;
	r = fz_setupmapping(f, node, DX_NO_FH, 0, DX_RANGE, DX_WRITE, DX_RANGE);
	assert_int_equal(fx_stat(f, "a").st_size, 0);
	memset(bytes, 'x', sizeof(bytes));
	assert_int_equal(fz_write(f, node, c.open.fh, 0, bytes, sizeof(bytes)), sizeof(bytes));
	assert_int_equal(fx_stat(f, "a").st_size, SMALL);
	/* Where it could not be mapped, the guest asks again. */
	if (r < 0)
		dx_map(f, node, 0, DX_RANGE, DX_WRITE, DX_RANGE);
	word_is(f, DX_RANGE, 0x7878787878787878);
	word_is(f, DX_RANGE + SMALL - 8, 0x7878787878787878);
	assert_int_equal(fz_write(f, node, c.open.fh, SMALL, bytes, sizeof(bytes)), sizeof(bytes));
	word_is(f, DX_RANGE + 2 * SMALL - 8, 0x7878787878787878);
	done(f, node, c.open.fh);
}

/* Shorter, by the guest and by the host: no signal, no message that is forbidden, and it may grow again. */
static void truncated(void **state)
{
	struct fx *f = *state;
	struct fuse_setattr_in in = {.valid = FATTR_SIZE};
	struct fuse_attr_out attr;
	struct fuse_open_out open;
	uint64_t node, word;

	for (unsigned int host = 0; host < 2; host++)
		for (unsigned int size = 0; size <= SMALL; size += SMALL) {
			char c;

			dx_file(f, "a", 1, DX_RANGE);
			node = fz_walk(f, "a");
			assert_int_equal(fz_open(f, node, O_RDWR, &open), 0);
			dx_map(f, node, 0, DX_RANGE, DX_WRITE, DX_RANGE);
			in.size = size;
			if (host)
				assert_int_equal(truncate(fx_path(f, "a"), size), 0);
			else
				assert_int_equal(fz_setattr(f, node, &in, &attr), 0);
			assert_int_equal(vuf_dax_read(f->v, DX_RANGE + size, &c, 1), -EFAULT);
			assert_int_equal(fz_getattr(f, node, &attr), 0);
			assert_int_equal(attr.attr.size, size);
			assert_int_equal(fz_read(f, node, open.fh, 0, &word, 8), size ? 8 : 0);
			/* The guest maps it again, or does not. */
			if (size)
				dx_map(f, node, 0, DX_RANGE, DX_WRITE, DX_RANGE);
			assert_int_equal(fx_stat(f, "a").st_size, size);
			dx_is(f, DX_RANGE, 1, 0, size);
			word = 42;
			assert_int_equal(fz_write(f, node, open.fh, LARGE - 8, &word, 8), 8);
			word_is(f, DX_RANGE + LARGE - 8, 42);
			done(f, node, open.fh);
			fz_forget(f, node, 1);
		}
}

/* A name is not what is mapped. */
static void unlinked_and_renamed(void **state)
{
	struct fx *f = *state;
	uint64_t a, b, word = 1;

	dx_file(f, "a", 1, DX_RANGE);
	dx_file(f, "b", 2, DX_RANGE);
	a = fz_walk(f, "a");
	b = fz_walk(f, "b");
	dx_map(f, a, 0, DX_RANGE, DX_WRITE, 0);
	dx_map(f, b, 0, DX_RANGE, DX_WRITE, DX_RANGE);
	assert_int_equal(fz_unlink(f, FUSE_ROOT_ID, "a"), 0);
	dx_is(f, 0, 1, 0, DX_RANGE);
	assert_int_equal(vuf_dax_write(f->v, 80, &word, 8), 0);
	assert_int_equal(fz_rename(f, FUSE_ROOT_ID, "b", FUSE_ROOT_ID, "c", 0), 0);
	dx_is(f, DX_RANGE, 2, 0, DX_RANGE);
	/* By its node it can be mapped still. */
	dx_map(f, b, DX_MIB, DX_MIB, DX_READ, 4 * DX_RANGE);
	dx_is(f, 4 * DX_RANGE, 2, DX_MIB, DX_MIB);
	assert_int_equal(rename(fx_path(f, "c"), fx_path(f, "d")), 0);
	dx_file(f, "c", 3, DX_RANGE);
	dx_unmap(f, b, 4 * DX_RANGE, DX_RANGE);
	dx_is(f, DX_RANGE, 2, 0, DX_RANGE);
	word_is(f, 80, 1);
	fz_forget(f, a, 1);
	dx_live(f, 1);
	dx_is_hole(f, 0, DX_RANGE);
	dx_is(f, DX_RANGE, 2, 0, DX_RANGE);
}

/* The last FORGET takes all that is mapped of a node; not one before. */
static void forgotten(void **state)
{
	struct fx *f = *state;
	struct fuse_entry_out e;
	struct fuse_forget_one ones[3] = {0};
	struct fuse_batch_forget_in in = {.count = 3};
	uint64_t node[3];

	dx_file(f, "a", 1, 2 * DX_RANGE);
	dx_file(f, "b", 2, DX_RANGE);
	dx_file(f, "c", 3, DX_RANGE);
	for (unsigned int i = 0; i < 3; i++)
		node[i] = fz_walk(f, (const char *const[]){"a", "b", "c"}[i]);
	assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, "a", &e), 0);
	assert_int_equal(e.nodeid, node[0]);
	dx_map(f, node[0], 0, DX_RANGE, DX_READ, 0);
	dx_map(f, node[0], DX_RANGE, DX_RANGE, DX_READ, 5 * DX_RANGE);
	dx_map(f, node[1], 0, DX_RANGE, DX_READ, DX_RANGE);
	fz_forget(f, node[0], 1);
	fx_settle(f);
	dx_live(f, 3);
	dx_is(f, 0, 1, 0, DX_RANGE);
	fz_forget(f, node[0], 1);
	dx_live(f, 1);
	dx_is_hole(f, 0, DX_RANGE);
	dx_is_hole(f, 5 * DX_RANGE, DX_RANGE);
	dx_is(f, DX_RANGE, 2, 0, DX_RANGE);
	/* Its place in the window can be used at once. */
	dx_map(f, node[2], 0, DX_RANGE, DX_WRITE, 0);
	dx_is(f, 0, 3, 0, DX_RANGE);
	for (unsigned int i = 0; i < 3; i++)
		ones[i] = (struct fuse_forget_one){.nodeid = node[i], .nlookup = 1};
	vuf_req_begin(f->q, FUSE_BATCH_FORGET, 0);
	vuf_req_add(f->q, &in, sizeof(in));
	vuf_req_add(f->q, ones, sizeof(ones));
	f->q->out_len = 0;
	assert_int_equal(vuf_req_call(f->q, &f->v->ring[0]), 0);
	dx_live(f, 0);
}

int main(int argc, char **argv)
{
	const struct dx_test tests[] = {
		DX_TEST(by_write, NULL),
		DX_TEST(by_append, NULL),
		DX_TEST(by_setattr, NULL),
		DX_TEST(by_fallocate, NULL),
		DX_TEST(by_copy, NULL),
		DX_TEST(by_the_host, NULL),
		DX_TEST(where_it_is_mapped_often, &many_slots),
		DX_TEST(from_nothing, NULL),
		DX_TEST(truncated, NULL),
		DX_TEST(unlinked_and_renamed, NULL),
		DX_TEST(forgotten, NULL),
	};

	return dx_main(argc, argv, "dax_grow", tests, ARRAY_SIZE(tests));
}
