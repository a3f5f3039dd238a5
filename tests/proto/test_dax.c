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
#include <pthread.h>
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

/* ---- what ends a mapping ---- */

/* All that a session had is unmapped, whatever ends it, and the next one has an empty window. */
static void ends_with_the_session(void **state)
{
	struct fx *f = *state;
	struct fuse_init_out init;

	for (int how = 0; how < 3; how++) {
		uint64_t id = make(f, "file", 512);

		for (unsigned int i = 0; i < 4; i++)
			assert_int_equal(setup(f, id, 0, RANGE, i * RANGE, R), 0);
		assert_int_equal(vuf_dax_stats(f->v).live, 4);
		if (how == 1)
			assert_int_equal(fz_call(f, FUSE_DESTROY, 0, NULL, 0, NULL, 0, NULL), 0);
		if (how == 2)
			assert_int_equal(vuf_dax_reset(f->v), 0);
		if (how == 2)
			for (unsigned int i = 0; i < f->v->nrings; i++)
				assert_int_equal(
					vuf_ring_start(f->v, i, vuf_ring_base(&f->v->ring[i])), 0);
		assert_int_equal(vuf_fuse_init(f->v, FX_MINOR, DAX_FLAGS, &init), 0);
		assert_true(vuf_dax_wait_live(f->v, 0, FX_WAIT_MS));
		/* It may not be mapped under the name that it had. */
		assert_int_equal(setup(f, id, 0, RANGE, 0, R), -ESTALE);
	}
}

static void ends_with_the_inode(void **state)
{
	struct fx *f = *state;
	uint64_t a = make(f, "a", 512), b = make(f, "b", 512);
	struct fuse_entry_out e;

	assert_int_equal(setup(f, a, 0, RANGE, 0, R), 0);
	assert_int_equal(setup(f, a, 0, RANGE, RANGE, R), 0);
	assert_int_equal(setup(f, b, 0, RANGE, 2 * RANGE, R), 0);
	/* Not before the last lookup is taken back. */
	assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, "a", &e), 0);
	fz_forget(f, a, 1);
	assert_int_equal(setup(f, a, 0, RANGE, 0, R), 0);
	assert_int_equal(vuf_dax_stats(f->v).live, 3);
	fz_forget(f, a, 1);
	assert_true(vuf_dax_wait_live(f->v, 1, FX_WAIT_MS));
	shows_nothing(f, 0);
	shows(f, 2 * RANGE, 'A');
	/* A file without a name is mapped on, and can be mapped. */
	assert_int_equal(fz_unlink(f, FUSE_ROOT_ID, "b"), 0);
	shows(f, 2 * RANGE, 'A');
	assert_int_equal(setup(f, b, 0, RANGE, 0, R), 0);
	shows(f, PAGE, 'B');
	fz_forget(f, b, 1);
	assert_true(vuf_dax_wait_live(f->v, 0, FX_WAIT_MS));
}

/* ---- files that end within the range, and do not stay as they are ---- */

/* Linux maps 2 MiB of the smallest file, and what is written later is there at once. */
static void grows(void **state)
{
	struct fx *f = *state;
	bool strict = f->opts->vuf.rules->refuses_past_end;
	struct fuse_setattr_in set = {.valid = FATTR_SIZE, .size = 8 * PAGE};
	uint64_t id = make(f, "file", 1), src = make(f, "src", 64);
	struct fuse_open_out o, s;
	struct fuse_attr_out a;
	char page[PAGE];

	memset(page, 'w', sizeof(page));
	assert_int_equal(fz_open(f, id, O_RDWR, &o), 0);
	assert_int_equal(fz_open(f, src, O_RDONLY, &s), 0);
	assert_int_equal(setup(f, id, 0, RANGE, 0, W), 0);
	shows(f, 0, 'A');
	assert_int_equal(fz_write(f, id, o.fh, 3 * PAGE, page, PAGE), PAGE);
	shows(f, 2 * PAGE, '\0');
	shows(f, 3 * PAGE, 'w');
	assert_int_equal(fz_setattr(f, id, &set, &a), 0);
	assert_int_equal(a.attr.size, 8 * PAGE);
	shows(f, 7 * PAGE, '\0');
	assert_int_equal(fz_fallocate(f, id, o.fh, 0, 8 * PAGE, 4 * PAGE), 0);
	shows(f, 11 * PAGE, '\0');
	assert_int_equal(fz_copy(f, src, s.fh, PAGE, id, o.fh, 12 * PAGE, 2 * PAGE), 2 * PAGE);
	shows(f, 12 * PAGE, 'B');
	shows(f, 13 * PAGE, 'C');
	/* By the host: the guest sees what it is told of. */
	assert_int_equal(truncate(fx_path(f, "file"), 20 * PAGE), 0);
	assert_int_equal(fz_getattr(f, id, &a), 0);
	assert_int_equal(a.attr.size, 20 * PAGE);
	shows(f, 19 * PAGE, '\0');
	/* To within a page. */
	if (strict) {
		assert_int_equal(fz_write(f, id, o.fh, 20 * PAGE, page, 1), -EIO);
		set.size = 22 * PAGE + 1;
		assert_int_equal(fz_setattr(f, id, &set, &a), -EIO);
		assert_int_equal(fz_fallocate(f, id, o.fh, 0, 0, 20 * PAGE + 5), -EIO);
		assert_int_equal(fx_stat(f, "file").st_size, 20 * PAGE);
		assert_int_equal(truncate(fx_path(f, "file"), 21 * PAGE + 1), 0);
		assert_int_equal(fz_getattr(f, id, &a), 0);
		assert_int_equal(a.attr.size, 21 * PAGE);
		shows(f, 20 * PAGE, '\0');
	} else {
		assert_int_equal(fz_write(f, id, o.fh, 20 * PAGE, page, 1), 1);
		assert_int_equal(vuf_dax_read(f->v, 20 * PAGE, page, 1), 0);
		assert_int_equal(page[0], 'w');
	}
	/* And shorter: what is left is still there. */
	set.size = PAGE / 2;
	assert_int_equal(fz_setattr(f, id, &set, &a), 0);
	assert_int_equal(a.attr.size, PAGE / 2);
	assert_int_equal(vuf_dax_read(f->v, 0, page, PAGE / 2), 0);
	assert_int_equal(page[0], 'A');
}

static void odd_files(void **state)
{
	struct fx *f = *state;
	bool strict = f->opts->vuf.rules->refuses_past_end;
	uint64_t huge, odd, empty;

	fx_put(f, "odd", "12345", 5, 0644);
	fx_put(f, "empty", "", 0, 0644);
	odd = fz_walk(f, "odd");
	empty = fz_walk(f, "empty");
	assert_int_equal(setup(f, odd, 0, RANGE, 0, R), strict ? -EIO : 0);
	assert_int_equal(setup(f, empty, 0, RANGE, RANGE, W), strict ? -EIO : 0);
	assert_int_equal(fx_stat(f, "empty").st_size, 0);
	if (!strict) {
		char got[5];

		assert_int_equal(vuf_dax_read(f->v, 0, got, 5), 0);
		assert_memory_equal(got, "12345", 5);
		shows_nothing(f, RANGE);
	}
	/* A sparse one; its end is far out. */
	fx_put(f, "huge", "", 0, 0644);
	if (truncate(fx_path(f, "huge"), INT64_C(1) << 42) < 0)
		return;
	huge = fz_walk(f, "huge");
	assert_int_equal(setup(f, huge, (UINT64_C(1) << 42) - RANGE, RANGE, 2 * RANGE, W), 0);
	assert_int_equal(vuf_dax_write(f->v, 3 * RANGE - 1, "z", 1), 0);
	assert_int_equal(fx_stat(f, "huge").st_size, INT64_C(1) << 42);
}

/* ---- who may, and what ---- */

static void hostile(void **state)
{
	static const uint64_t edges[] = {
		0,
		1,
		PAGE - 1,
		PAGE,
		PAGE + 1,
		SIZE - PAGE,
		SIZE - 1,
		SIZE,
		SIZE + PAGE,
		INT64_MAX - PAGE + 1,
		INT64_MAX,
		(uint64_t)INT64_MAX + 1,
		UINT64_MAX - PAGE + 1,
		UINT64_MAX,
	};
	struct fx *f = *state;
	uint64_t id = make(f, "file", 512), fifo, dir, link;

	assert_int_equal(mkdir(fx_path(f, "dir"), 0755), 0);
	assert_int_equal(mkfifo(fx_path(f, "fifo"), 0644), 0);
	assert_int_equal(symlink("file", fx_path(f, "link")), 0);
	dir = fz_walk(f, "dir");
	fifo = fz_walk(f, "fifo");
	link = fz_walk(f, "link");
	assert_int_equal(setup(f, dir, 0, PAGE, 0, R), -ENODEV);
	assert_int_equal(setup(f, FUSE_ROOT_ID, 0, PAGE, 0, R), -ENODEV);
	assert_int_equal(setup(f, fifo, 0, PAGE, 0, R), -ENODEV);
	assert_int_equal(setup(f, link, 0, PAGE, 0, R), -ENODEV);
	assert_int_equal(setup(f, 0, 0, PAGE, 0, R), -ESTALE);
	assert_int_equal(setup(f, id + 1000, 0, PAGE, 0, R), -ESTALE);
	assert_int_equal(setup(f, UINT64_MAX, 0, PAGE, 0, R), -ESTALE);
	assert_int_equal(setup(f, id, 0, PAGE, 0, 0), -EINVAL);
	assert_int_equal(setup(f, id, 0, PAGE, 0, 4), -EINVAL);
	assert_int_equal(setup(f, id, 0, PAGE, 0, UINT64_MAX), -EINVAL);
	for (unsigned int i = 0; i < ARRAY_SIZE(edges); i++) {
		for (unsigned int j = 0; j < ARRAY_SIZE(edges); j++) {
			uint64_t a = edges[i], b = edges[j];
			bool fits =
				b && a % PAGE == 0 && b % PAGE == 0 && b <= SIZE && a <= SIZE - b;
			int r = remove_range(f, a, b);

			assert_int_equal(r, fits ? 0 : -EINVAL);
			if (!fits)
				assert_int_equal(setup(f, id, 0, b, a, R), -EINVAL);
			r = setup(f, id, a, PAGE, 0, R);
			if (a % PAGE || a > INT64_MAX - PAGE)
				assert_int_equal(r, -EINVAL);
			else
				assert_true(r == 0 || r == -EIO);
		}
	}
	assert_int_equal(remove_range(f, 0, SIZE), 0);
}

/* A list that says more than there is of it, or nothing. */
static void lists_that_lie(void **state)
{
	struct fx *f = *state;
	const struct fuse_removemapping_one one[3] = {{0, PAGE}, {1, PAGE}, {RANGE, RANGE}};
	uint64_t id = make(f, "file", 512);

	assert_int_equal(setup(f, id, 0, RANGE, 0, R), 0);
	assert_int_equal(setup(f, id, 0, RANGE, RANGE, R), 0);
	for (uint32_t count = 0; count < 6; count++) {
		const struct fuse_removemapping_in in = {.count = count == 5 ? UINT32_MAX : count};
		struct iovec iov[] = {IOV(in), {(void *)(uintptr_t)one, sizeof(one)}};

		assert_int_equal(fz_call(f, FUSE_REMOVEMAPPING, id, iov, 2, NULL, 0, NULL),
				 count && count < 3 ? (count == 1 ? 0 : -EINVAL) : -EINVAL);
		/* What is behind one that is wrong is done all the same. */
		if (count == 3)
			shows_nothing(f, RANGE);
	}
	shows_nothing(f, 0);
}

/* More than the window can hold of mappings: errors, and what is there stays. */
static void storm(void **state)
{
	struct fx *f = *state;
	uint64_t id = make(f, "file", 512);
	unsigned int failed = 0, n = 1500;

	for (unsigned int i = 0; i < n; i++) {
		/* Neighbours that do not make one mapping. */
		int r = setup(f, id, i * 7 % 512 * PAGE, PAGE, i * PAGE, R);

		assert_true(r == 0 || r == -ENOMEM || r == -EIO);
		failed += r != 0;
	}
	assert_int_equal(vuf_dax_stats(f->v).live, n - failed);
	assert_true(failed > 0);
	shows(f, 0, 'A');
	assert_int_equal(remove_range(f, 0, SIZE), 0);
	assert_true(vuf_dax_wait_live(f->v, 0, FX_WAIT_MS));
	assert_int_equal(setup(f, id, 0, RANGE, 0, R), 0);
}

/* A share that may not be changed is mapped so that it cannot be. */
static void readonly_share(void **state)
{
	struct fx *f = *state;
	uint64_t id = make(f, "file", 512);

	assert_int_equal(setup(f, id, 0, RANGE, 0, W), -EROFS);
	assert_int_equal(setup(f, id, 0, RANGE, 0, R), 0);
	shows(f, 0, 'A');
	assert_int_equal(vuf_dax_write(f->v, 0, "x", 1), -EFAULT);
	assert_int_equal(setup(f, id, 0, RANGE, 0, W), -EROFS);
}

/* ---- requests whose data lie in the window ---- */

/*
 * A direct read into a mapped file: where the window is no region of guest memory this one fails, where
 * it is one it works.
 */
static void buffers_in_the_window(void **state)
{
	struct fx *f = *state;
	uint64_t to = make(f, "to", 512), from = make(f, "from", 512);
	bool region = f->opts->vuf.rules->regions;
	const struct fuse_read_in in = {.offset = 2 * PAGE, .size = PAGE};
	struct vuf_ring *ring = &f->v->ring[1];
	struct fuse_out_header *out;
	struct fuse_open_out o;
	struct vuf_req *q = f->q;
	struct fuse_read_in *arg;
	struct vuf_seg seg[3];
	uint32_t len;
	void *token;

	assert_int_equal(setup(f, to, 0, RANGE, RANGE, W), 0);
	assert_int_equal(fz_open(f, from, O_RDONLY, &o), 0);
	vuf_req_begin(q, FUSE_READ, from);
	arg = vuf_req_room(q, sizeof(in));
	*arg = in;
	arg->fh = o.fh;
	out = (void *)q->out;
	memset(out, 0, sizeof(*out));
	seg[0] = (struct vuf_seg){.gpa = q->in_gpa, .len = (uint32_t)q->in_len};
	seg[1] = (struct vuf_seg){.gpa = q->out_gpa, .len = sizeof(*out), .write = true};
	seg[2] = (struct vuf_seg){.gpa = VUF_DAX_GPA + RANGE, .len = PAGE, .write = true};
	assert_int_equal(vuf_ring_add(ring, seg, 3, q), 0);
	vuf_ring_kick(ring);
	while (vuf_ring_get(ring, &token, &len) == 0)
		assert_int_equal(vuf_ring_wait(ring, 1, FX_WAIT_MS), 0);
	assert_ptr_equal(token, q);
	assert_int_equal(out->error, region ? 0 : -EFAULT);
	shows(f, RANGE, region ? 'C' : 'A');
	/* The next one is none the worse for it. */
	assert_int_equal(setup(f, from, 0, RANGE, 0, R), 0);
}

/* ---- a front-end that does not do its part ---- */

/* A request on its way: SETUPMAPPING of 2 MiB of @id at @moffset. */
static struct vuf_req *send_setup(struct fx *f, uint64_t id, uint64_t moffset)
{
	const struct fuse_setupmapping_in in = {
		.fh = UINT64_MAX, .len = RANGE, .flags = R, .moffset = moffset};
	struct vuf_req *q = vuf_req_new(f->v, 4096, 4096);

	assert_non_null(q);
	vuf_req_begin(q, FUSE_SETUPMAPPING, id);
	assert_int_equal(vuf_req_add(q, &in, sizeof(in)), 0);
	assert_int_equal(vuf_req_submit(q, &f->v->ring[1]), 0);
	vuf_ring_kick(&f->v->ring[1]);
	return q;
}

static int result(struct fx *f, struct vuf_req *q)
{
	int r;

	assert_int_equal(vuf_req_wait(q, &f->v->ring[1]), 0);
	assert_int_equal(vuf_req_check(q), 0);
	r = vuf_req_error(q);
	vuf_req_free(q);
	return r;
}

/*
 * It is not looking at its channel while it stops a ring: who waits for it is told to try again. With one
 * thread it has not even read what it was sent; else it has, and is slow.
 */
static void called_off(void **state)
{
	struct fx *f = *state;
	bool one_thread = f->opts->vuf.rules->one_thread;
	uint64_t id = make(f, "file", 512);
	struct vuf_req *a, *b;
	uint32_t base;
	int r;

	for (int round = 0; round < 3; round++) {
		uint64_t n = vuf_dax_stats(f->v).requests;

		if (one_thread)
			pthread_mutex_lock(&f->v->lock);
		else
			vuf_dax_set_mood(f->v, VUF_DAX_HOLD, 0);
		a = send_setup(f, id, 0);
		b = send_setup(f, id, RANGE);
		if (one_thread)
			poll(NULL, 0, 20);
		else
			assert_true(vuf_dax_wait_requests(f->v, n + 1, FX_WAIT_MS));
		assert_int_equal(vuf_ring_stop(f->v, 1, &base), 0);
		assert_int_equal(vuf_ring_start(f->v, 1, base), 0);
		if (!one_thread)
			assert_int_equal(result(f, a), -EAGAIN);
		/* Now it does it after all, and then it is in the way. */
		if (one_thread)
			pthread_mutex_unlock(&f->v->lock);
		else
			vuf_dax_set_mood(f->v, VUF_DAX_SERVE, 0);
		/* The ring may have been stopped before these were taken from it. */
		if (one_thread) {
			r = result(f, a);
			assert_true(r == 0 || r == -EAGAIN);
		}
		r = result(f, b);
		assert_true(r == 0 || r == -EAGAIN);
		assert_int_equal(setup(f, id, RANGE / 2, RANGE / 2, 0, R), 0);
		shows(f, 0, 'A' + 256 % 26);
		assert_int_equal(remove_range(f, 0, SIZE), 0);
		assert_true(vuf_dax_wait_live(f->v, 0, FX_WAIT_MS));
	}
}

/* Others go on while one waits: also those of the same queue, and messages of the front-end. */
static void others_go_on(void **state)
{
	struct fx *f = *state;
	uint64_t id = make(f, "file", 512), n = vuf_dax_stats(f->v).requests, val;
	struct fuse_attr_out a;
	struct vuf_req *q;

	vuf_dax_set_mood(f->v, VUF_DAX_HOLD, 0);
	q = send_setup(f, id, 0);
	assert_true(vuf_dax_wait_requests(f->v, n + 1, FX_WAIT_MS));
	for (int i = 0; i < 100; i++)
		assert_int_equal(fz_getattr(f, id, &a), 0);
	assert_int_equal(vuf_get_u64(f->v, VU_GET_QUEUE_NUM, &val), 0);
	assert_int_equal(vuf_share_mem(f->v), 0);
	fz_forget(f, id, 1);
	vuf_dax_set_mood(f->v, VUF_DAX_SERVE, 0);
	assert_int_equal(result(f, q), 0);
	/* It was forgotten on the way. */
	assert_true(vuf_dax_wait_live(f->v, 0, FX_WAIT_MS));
}

static void refused(void **state)
{
	struct fx *f = *state;
	uint64_t id = make(f, "file", 512);

	assert_int_equal(setup(f, id, 0, RANGE, RANGE, R), 0);
	vuf_dax_set_mood(f->v, VUF_DAX_REFUSE, 0);
	assert_int_equal(setup(f, id, 0, RANGE, 0, R), -EIO);
	shows_nothing(f, 0);
	shows(f, RANGE, 'A');
	vuf_dax_set_mood(f->v, VUF_DAX_LATE, 50);
	assert_int_equal(setup(f, id, 0, RANGE, 0, R), 0);
	shows(f, 0, 'A');
}

/* It goes away, or talks nonsense: there is no more to be had of it, and all else is well. */
static void no_more_of_it(void **state)
{
	static const enum vuf_dax_mood moods[] = {VUF_DAX_HANGUP, VUF_DAX_GARBAGE};
	struct fx *f = *state;
	uint64_t id = make(f, "file", 512);
	struct fuse_attr_out a;

	vuf_dax_set_mood(f->v, moods[f->opts->minor == FX_MINOR - 1], 0);
	assert_int_equal(setup(f, id, 0, RANGE, 0, R), -EIO);
	assert_int_equal(setup(f, id, 0, RANGE, 0, R), -EIO);
	assert_int_equal(remove_range(f, 0, SIZE), -EIO);
	assert_int_equal(fz_getattr(f, id, &a), 0);
	f->fds = 0; /* one less than it was: the channel */
}

/* ---- which files ---- */

static bool is_marked(struct fx *f, const char *name)
{
	struct fuse_entry_out e;
	struct fuse_attr_out a;

	assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, name, &e), 0);
	assert_int_equal(fz_getattr(f, e.nodeid, &a), 0);
	assert_int_equal(e.attr.flags, a.attr.flags);
	return e.attr.flags & FUSE_ATTR_DAX;
}

static void marked_by_rules(void **state)
{
	struct fx *f = *state;
	struct fz_entry_open c;

	fx_put(f, "small", "", 0, 0644);
	fx_put(f, "lib.so", "", 0, 0644);
	make(f, "large", 2);
	assert_int_equal(mkdir(fx_path(f, "dir.so"), 0755), 0);
	assert_true(f->init.flags2 & FUSE_HAS_INODE_DAX >> 32);
	assert_false(is_marked(f, "small"));
	assert_true(is_marked(f, "lib.so"));
	assert_true(is_marked(f, "large"));
	assert_false(is_marked(f, "dir.so"));
	assert_int_equal(fz_create(f, FUSE_ROOT_ID, "new.so", O_CREAT | O_RDWR, 0644, &c), 0);
	assert_true(c.entry.attr.flags & FUSE_ATTR_DAX);
	assert_int_equal(fz_rename(f, FUSE_ROOT_ID, "lib.so", FUSE_ROOT_ID, "lib.a", 0), 0);
	assert_false(is_marked(f, "lib.a"));
}

static void all_are_marked(void **state)
{
	struct fx *f = *state;

	fx_put(f, "small", "", 0, 0644);
	assert_true(is_marked(f, "small"));
}

/* Also the first file that is looked at, before it is known what a slow front-end can do. */
static void the_first_is_marked(void **state)
{
	struct fx *f = *state;
	struct fuse_init_out init;
	uint64_t n;

	fx_put(f, "file", "", 0, 0644);
	vuf_dax_set_mood(f->v, VUF_DAX_LATE, 200);
	assert_int_equal(vuf_fuse_init(f->v, FX_MINOR, DAX_FLAGS, &init), 0);
	assert_true(is_marked(f, "file"));
	/* In a later session there is nothing to be found out any more. */
	n = vuf_dax_stats(f->v).requests;
	assert_int_equal(vuf_fuse_init(f->v, FX_MINOR, DAX_FLAGS, &init), 0);
	assert_true(is_marked(f, "file"));
	assert_int_equal(vuf_dax_stats(f->v).requests, n);
}

static void none_is_marked(void **state)
{
	struct fx *f = *state;
	uint64_t id = make(f, "file", 1);

	assert_false(f->init.flags2 & FUSE_HAS_INODE_DAX >> 32);
	assert_false(is_marked(f, "file"));
	/* A guest that insists can still map it. */
	assert_true(f->init.flags & FUSE_MAP_ALIGNMENT);
	assert_int_equal(setup(f, id, 0, PAGE, 0, R), 0);
}

/* What cannot be shown in whole, or could become so, is read and written. */
static void strict_marks(void **state)
{
	struct fx *f = *state;

	fx_put(f, "odd", "12345", 5, 0644);
	fx_put(f, "empty", "", 0, 0644);
	make(f, "even", 2);
	assert_false(is_marked(f, "odd"));
	assert_false(is_marked(f, "empty"));
	assert_int_equal(is_marked(f, "even"), f->opts->args[2] != NULL);
}

/* ---- no window ---- */

static void no_window(void **state)
{
	struct fx *f = *state;
	uint64_t id = make(f, "file", 1);

	assert_false(f->init.flags & FUSE_MAP_ALIGNMENT);
	assert_false(f->init.flags2 & FUSE_HAS_INODE_DAX >> 32);
	assert_int_equal(f->init.map_alignment, 0);
	assert_false(is_marked(f, "file"));
	assert_int_equal(setup(f, id, 0, PAGE, 0, R), -ENOSYS);
	assert_int_equal(remove_range(f, 0, PAGE), -ENOSYS);
	assert_int_equal(vuf_dax_size(f->v), 0);
}

/* One front-end goes with all that it had mapped; the next has a window of its own. */
static void next_front_end(void **state)
{
	struct fx *f = *state;

	for (int i = 0; i < 3; i++) {
		uint64_t id = make(f, "file", 512);

		assert_int_equal(setup(f, id, 0, RANGE, 0, R), 0);
		assert_int_equal(setup(f, id, 0, RANGE, RANGE, R), 0);
		shows(f, 0, 'A');
		assert_int_equal(vuf_dax_stats(f->v).live, 2);
		assert_null(vuf_dax_wrong(f->v));
		fx_drop(f);
		fx_connect(f);
		fx_up(f, true);
	}
	f->dirty = true;
}

/* ---- the tests, and the front-ends ---- */

struct any {
	struct fx_opts opts;
	const char *rules;
	bool fresh; /* nothing has been mapped when the test begins */
};

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

static int setup_any(void **state)
{
	struct any *any = *state;

	any->opts.vuf.rules = vuf_rules_named(any->rules);
	any->opts.vuf.dax_size = SIZE;
	any->opts.flags = DAX_FLAGS;
	if (fx_setup(state))
		return -1;
	if (!any->fresh && any->opts.vuf.rules && any->opts.vuf.rules->shmem && any->opts.args[0])
		first_mapping(*state);
	return 0;
}

#define WINDOW "--dax-window=64M", "--tag=dax"

#define TEST(fn, who, ...)                                                      \
	{                                                                       \
#fn " " who, fn, setup_any, teardown, &(struct any)             \
		{                                                               \
			.opts = {.args = {WINDOW, ##__VA_ARGS__}}, .rules = who \
		}                                                               \
	}

/* With each front-end that has a window. */
#define EACH(fn)                                                    \
	TEST(fn, "strict"), TEST(fn, "qemu11"), TEST(fn, "crosvm"), \
		TEST(fn, "alioth", "--compat=alioth")

int main(int argc, char **argv)
{
	struct any garbage = {.opts = {.args = {WINDOW}, .minor = FX_MINOR - 1}, .rules = "strict"};
	struct any off = {.rules = "strict"};
	struct any fresh = {
		.opts = {.args = {WINDOW}, .no_init = true}, .rules = "strict", .fresh = true};
	const struct CMUnitTest tests[] = {
		EACH(map_and_write),
		EACH(overlap_and_parts),
		EACH(ends_with_the_session),
		EACH(ends_with_the_inode),
		EACH(grows),
		EACH(odd_files),
		EACH(hostile),
		EACH(lists_that_lie),
		EACH(called_off),
		EACH(buffers_in_the_window),
		TEST(storm, "strict"),
		TEST(storm, "qemu11"),
		TEST(storm, "qemu11-slots"),
		TEST(readonly_share, "strict", "--readonly"),
		TEST(others_go_on, "strict"),
		TEST(refused, "strict"),
		TEST(no_more_of_it, "strict"),
		{"no_more_of_it garbage", no_more_of_it, setup_any, teardown, &garbage},
		TEST(marked_by_rules, "strict", "--dax=*.so,size>=8K"),
		TEST(all_are_marked, "strict"),
		{"the_first_is_marked", the_first_is_marked, setup_any, teardown, &fresh},
		TEST(none_is_marked, "strict", "--dax=never"),
		TEST(strict_marks, "qemu11"),
		TEST(strict_marks, "qemu11", "--readonly"),
		TEST(no_window, "nochannel"),
		{"no_window off", no_window, setup_any, teardown, &off},
		TEST(next_front_end, "strict", "--relisten"),
	};

	return fx_main(argc, argv, "dax", tests, ARRAY_SIZE(tests));
}
