// SPDX-License-Identifier: Apache-2.0
/* Requests whose buffers lie in the DAX window: write(2) from a mapped file, O_DIRECT into one. */
/*
 * Theory of operation
 *
 * A guest gives us such buffers by their addresses. We can reach them where the front-end has told us where
 * the window is (SET_SHMEM_ADDR), or made a region of memory of what is mapped (QEMU 11.1); otherwise, and
 * where nothing is mapped or not for that, the request fails with EFAULT. No other request does, and the
 * queue goes on.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "dx.h"
#include "fd.h"
#include "util.h"

static const struct dx_opts readonly = {.fx.args = {"--readonly"}};
static const struct dx_opts told = {.with = "culvert"};
static const struct dx_opts two_queues = {.fx.vuf.rings = 3, .fx.args = {"--thread-pool-size=2"}};

static bool has_address(const struct fx *f)
{
	return f->v->proto >> VU_PROTOCOL_F_SHMEM_ADDR & 1;
}

static bool can_reach(const struct fx *f)
{
	return dx_rules(f)->regions || has_address(f);
}

/* Bytes read or written, or the reply's error. */
static int outcome(struct fx *f, struct vuf_req *q, uint32_t opcode)
{
	int r;

	assert_int_equal(vuf_req_wait(q, &f->v->ring[1]), 0);
	assert_int_equal(vuf_req_check(q), 0);
	r = vuf_req_error(q);
	if (r < 0)
		return r;
	if (opcode == FUSE_READ)
		return (int)vuf_req_payload_len(q);
	return (int)((const struct fuse_write_out *)vuf_req_payload(q))->size;
}

static void submit_read(struct fx *f, struct vuf_req *q, uint64_t node, uint64_t fh, uint64_t off,
			uint64_t gpa, uint32_t len)
{
	struct fuse_read_in in = {.fh = fh, .offset = off, .size = len};
	struct vuf_seg seg[3];

	q->unique = vuf_req_begin(q, FUSE_READ, node)->unique;
	q->opcode = FUSE_READ;
	vuf_req_add(q, &in, sizeof(in));
	q->out_len = sizeof(struct fuse_out_header) + len;
	seg[0] = (struct vuf_seg){q->in_gpa, (uint32_t)q->in_len, false};
	seg[1] = (struct vuf_seg){q->out_gpa, sizeof(struct fuse_out_header), true};
	seg[2] = (struct vuf_seg){gpa, len, true};
	assert_int_equal(vuf_ring_add(&f->v->ring[1], seg, 3, q), 0);
}

/* READ of @len bytes at @off into the window. */
static int read_into(struct fx *f, uint64_t node, uint64_t fh, uint64_t off, uint64_t gpa,
		     uint32_t len)
{
	submit_read(f, f->q, node, fh, off, gpa, len);
	return outcome(f, f->q, FUSE_READ);
}

/* WRITE of @len bytes at @off, which lie in the window. */
static int write_from(struct fx *f, uint64_t node, uint64_t fh, uint64_t off, uint64_t gpa,
		      uint32_t len)
{
	struct fuse_write_in in = {.fh = fh, .offset = off, .size = len};
	struct fuse_in_header *h = vuf_req_begin(f->q, FUSE_WRITE, node);
	struct vuf_seg seg[3];

	f->q->unique = h->unique;
	f->q->opcode = FUSE_WRITE;
	vuf_req_add(f->q, &in, sizeof(in));
	h->len += len;
	f->q->out_len = sizeof(struct fuse_out_header) + sizeof(struct fuse_write_out);
	seg[0] = (struct vuf_seg){f->q->in_gpa, (uint32_t)f->q->in_len, false};
	seg[1] = (struct vuf_seg){gpa, len, false};
	seg[2] = (struct vuf_seg){f->q->out_gpa, (uint32_t)f->q->out_len, true};
	assert_int_equal(vuf_ring_add(&f->v->ring[1], seg, 3, f->q), 0);
	return outcome(f, f->q, FUSE_WRITE);
}

static uint64_t open_file(struct fx *f, const char *name, uint32_t flags, uint64_t *ret_fh)
{
	uint64_t node = fz_walk(f, name);
	struct fuse_open_out open;

	assert_int_equal(fz_open(f, node, flags, &open), 0);
	*ret_fh = open.fh;
	return node;
}

#define AT (VUF_DAX_GPA + DX_RANGE)

/* "a" is mapped at the second range, "b" is open. */
static void two_files(struct fx *f, uint64_t *a, uint64_t *b, uint64_t *fh)
{
	dx_file(f, "a", 1, DX_RANGE);
	dx_file(f, "b", 2, DX_MIB);
	*a = fz_walk(f, "a");
	*b = open_file(f, "b", O_RDWR, fh);
	dx_map(f, *a, 0, DX_RANGE, DX_WRITE, DX_RANGE);
}

static void into_a_mapping(void **state)
{
	static const uint32_t lens[] = {8, DX_PAGE, 256 * 1024};
	struct fx *f = *state;
	uint64_t a, b, fh, word;

	two_files(f, &a, &b, &fh);
	for (unsigned int i = 0; i < ARRAY_SIZE(lens); i++) {
		int r = read_into(f, b, fh, 512, AT + 8 * DX_PAGE + 512, lens[i]);

		if (!can_reach(f)) {
			assert_int_equal(r, -EFAULT);
			dx_is(f, DX_RANGE, 1, 0, DX_RANGE);
			continue;
		}
		assert_int_equal(r, lens[i]);
		dx_is(f, DX_RANGE + 8 * DX_PAGE + 512, 2, 512, lens[i]);
		dx_is(f, DX_RANGE + 8 * DX_PAGE + 512 + lens[i], 1, 8 * DX_PAGE + 512 + lens[i],
		      4096);
	}
	assert_int_equal(fz_read(f, b, fh, 0, &word, 8), 8);
	assert_int_equal(fz_release(f, b, fh), 0);
}

/* What a program does that writes what it has mapped, and extends a file so. */
static void from_a_mapping(void **state)
{
	struct fx *f = *state;
	uint64_t a, b, fh, word = 0;
	scoped_fd int fd = -1;

	two_files(f, &a, &b, &fh);
	fd = open(fx_path(f, "b"), O_RDONLY | O_CLOEXEC);
	for (unsigned int i = 0; i < 3; i++) {
		uint64_t to = DX_MIB + i * 65536ull;
		int r = write_from(f, b, fh, to, AT + 72 + i * 65536ull, 65536);

		if (!can_reach(f)) {
			assert_int_equal(r, -EFAULT);
			assert_int_equal(fx_stat(f, "b").st_size, DX_MIB);
			continue;
		}
		assert_int_equal(r, 65536);
		assert_int_equal(pread(fd, &word, 8, (off_t)to), 8);
		assert_int_equal(word, dx_stamp(1, 72 + i * 65536ull));
		assert_int_equal(pread(fd, &word, 8, (off_t)to + 65528), 8);
		assert_int_equal(word, dx_stamp(1, 72 + i * 65536ull + 65528));
	}
	/* A file into itself. */
	dx_map(f, b, 0, DX_MIB, DX_WRITE, 2 * DX_RANGE);
	if (can_reach(f)) {
		assert_int_equal(write_from(f, b, fh, DX_PAGE, AT + DX_RANGE, DX_PAGE), DX_PAGE);
		dx_is(f, 2 * DX_RANGE + DX_PAGE, 2, 0, DX_PAGE);
	}
	assert_int_equal(fz_release(f, b, fh), 0);
}

static void over_two_mappings(void **state)
{
	struct fx *f = *state;
	uint64_t a, b, c, fh;
	int r;

	two_files(f, &a, &b, &fh);
	dx_file(f, "c", 3, DX_RANGE);
	c = fz_walk(f, "c");
	dx_map(f, c, 0, DX_RANGE, DX_WRITE, 2 * DX_RANGE);
	r = read_into(f, b, fh, 0, AT + DX_RANGE - DX_PAGE, 3 * DX_PAGE);
	assert_int_equal(r, can_reach(f) ? 3 * (int)DX_PAGE : -EFAULT);
	if (r > 0) {
		dx_is(f, 2 * DX_RANGE - DX_PAGE, 2, 0, 3 * DX_PAGE);
		dx_is(f, 2 * DX_RANGE + 2 * DX_PAGE, 3, 2 * DX_PAGE, DX_PAGE);
	}
	assert_int_equal(fz_release(f, b, fh), 0);
}

/* Nothing is there, or not all of it, or not any more. */
static void where_nothing_is_mapped(void **state)
{
	struct fx *f = *state;
	uint64_t a, b, fh, word;

	two_files(f, &a, &b, &fh);
	assert_int_equal(read_into(f, b, fh, 0, AT + DX_RANGE, DX_PAGE), -EFAULT);
	assert_int_equal(write_from(f, b, fh, 0, AT - DX_PAGE, DX_PAGE), -EFAULT);
	/* In part: as much as a system call would do, or nothing. */
	assert_true(read_into(f, b, fh, 0, AT + DX_RANGE - DX_PAGE, 2 * DX_PAGE) <= (int)DX_PAGE);
	assert_true(write_from(f, b, fh, 0, AT + DX_RANGE - DX_PAGE, 2 * DX_PAGE) <= (int)DX_PAGE);
	/* Just outside of the window, and from it to beyond. */
	assert_int_equal(read_into(f, b, fh, 0, VUF_DAX_GPA + DX_WINDOW, DX_PAGE), -EFAULT);
	assert_int_equal(read_into(f, b, fh, 0, VUF_DAX_GPA - DX_PAGE, 2 * DX_PAGE), -EFAULT);
	assert_int_equal(read_into(f, b, fh, 0, VUF_DAX_GPA + DX_WINDOW - DX_PAGE, 2 * DX_PAGE),
			 -EFAULT);
	dx_unmap(f, a, DX_RANGE, DX_PAGE);
	assert_int_equal(read_into(f, b, fh, 0, AT, DX_PAGE), -EFAULT);
	assert_int_equal(read_into(f, b, fh, 0, AT + DX_PAGE, DX_PAGE),
			 can_reach(f) ? (int)DX_PAGE : -EFAULT);
	dx_unmap(f, a, DX_RANGE, DX_RANGE);
	dx_live(f, 0);
	assert_int_equal(read_into(f, b, fh, 0, AT + DX_PAGE, DX_PAGE), -EFAULT);
	assert_int_equal(write_from(f, b, fh, 0, AT + DX_PAGE, DX_PAGE), -EFAULT);
	assert_int_equal(fz_read(f, b, fh, 0, &word, 8), 8);
	assert_int_equal(fz_release(f, b, fh), 0);
}

/* The next session must not find what the one before had mapped. */
static void of_an_earlier_session(void **state)
{
	struct fx *f = *state;
	uint64_t a, b, fh;

	two_files(f, &a, &b, &fh);
	assert_int_equal(vuf_fuse_init(f->v, FX_MINOR, f->opts->flags, &f->init), 0);
	dx_live(f, 0);
	b = open_file(f, "b", O_RDWR, &fh);
	assert_int_equal(read_into(f, b, fh, 0, AT, DX_PAGE), -EFAULT);
	a = fz_walk(f, "a");
	dx_map(f, a, 0, DX_RANGE, DX_WRITE, DX_RANGE);
	assert_int_equal(read_into(f, b, fh, 0, AT, DX_PAGE),
			 can_reach(f) ? (int)DX_PAGE : -EFAULT);
	fz_forget(f, a, 1);
	dx_live(f, 0);
	assert_int_equal(read_into(f, b, fh, 0, AT, DX_PAGE), -EFAULT);
	assert_int_equal(fz_release(f, b, fh), 0);
}

/* What is mapped for reading cannot be read into, but written from where it can be reached. */
static void mapped_for_reading(void **state)
{
	struct fx *f = *state;
	uint64_t a, b, fh;

	dx_file(f, "a", 1, DX_RANGE);
	dx_file(f, "b", 2, DX_MIB);
	a = fz_walk(f, "a");
	b = open_file(f, "b", O_RDONLY, &fh);
	dx_map(f, a, 0, DX_RANGE, DX_READ, DX_RANGE);
	assert_int_equal(read_into(f, b, fh, 0, AT, DX_PAGE), -EFAULT);
	dx_is(f, DX_RANGE, 1, 0, DX_RANGE);
	assert_true(write_from(f, b, fh, 0, AT, DX_PAGE) < 0);
	assert_int_equal(fz_release(f, b, fh), 0);
}

/* The host makes the mapped file shorter, or it never was that long: no signal, an errno. */
static void behind_the_end_of_the_file(void **state)
{
	struct fx *f = *state;
	uint64_t a, b, fh, word;

	two_files(f, &a, &b, &fh);
	assert_int_equal(truncate(fx_path(f, "a"), 2 * DX_PAGE), 0);
	assert_int_equal(read_into(f, b, fh, 0, AT + 4 * DX_PAGE, DX_PAGE), -EFAULT);
	assert_int_equal(write_from(f, b, fh, 0, AT + 4 * DX_PAGE, DX_PAGE), -EFAULT);
	assert_int_equal(read_into(f, b, fh, 0, AT + DX_PAGE, DX_PAGE),
			 can_reach(f) ? (int)DX_PAGE : -EFAULT);
	assert_true(read_into(f, b, fh, 0, AT + DX_PAGE, 4 * DX_PAGE) <= (int)DX_PAGE);
	assert_int_equal(fz_read(f, b, fh, 0, &word, 8), 8);
	assert_int_equal(fx_stat(f, "a").st_size, 2 * DX_PAGE);
	assert_int_equal(fz_release(f, b, fh), 0);
}

/* A reply's header, or a whole request, in the window: answered or not, nothing else happens. */
static void headers_in_the_window(void **state)
{
	struct fx *f = *state;
	struct vuf_req *q = vuf_req_new(f->v, 256, 256);
	uint64_t a, b, fh, word;
	struct vuf_seg seg[2];

	two_files(f, &a, &b, &fh);
	for (unsigned int i = 0; i < 2; i++) {
		q->unique = vuf_req_begin(q, FUSE_STATFS, FUSE_ROOT_ID)->unique;
		q->opcode = FUSE_STATFS;
		seg[0] = (struct vuf_seg){i ? AT : q->in_gpa, sizeof(struct fuse_in_header), false};
		seg[1] = (struct vuf_seg){i ? q->out_gpa : AT, 96, true};
		if (i)
			assert_int_equal(vuf_dax_write(f->v, DX_RANGE, q->in,
						       sizeof(struct fuse_in_header)),
					 0);
		assert_int_equal(vuf_ring_add(&f->v->ring[1], seg, 2, q), 0);
		assert_int_equal(vuf_req_wait(q, &f->v->ring[1]), 0);
		if (can_reach(f))
			assert_int_equal(q->used, 96);
	}
	assert_int_equal(fz_read(f, b, fh, 0, &word, 8), 8);
	assert_int_equal(fz_release(f, b, fh), 0);
	vuf_req_free(q);
}

/* The guest moves the window, or switches it off: buffers are found where it is now, and nowhere else. */
static void the_window_moves(void **state)
{
	const uint64_t elsewhere = VUF_DAX_GPA + (1ull << 33);
	struct fx *f = *state;
	uint64_t a, b, fh;

	if (!has_address(f))
		skip();
	two_files(f, &a, &b, &fh);
	assert_int_equal(read_into(f, b, fh, 0, AT, DX_PAGE), DX_PAGE);
	assert_int_equal(vuf_set_shmem_addr(f->v, 0, 0), 0);
	assert_int_equal(read_into(f, b, fh, 0, AT, DX_PAGE), -EFAULT);
	assert_int_equal(vuf_set_shmem_addr(f->v, elsewhere, DX_WINDOW), 0);
	assert_int_equal(read_into(f, b, fh, 0, AT, DX_PAGE), -EFAULT);
	assert_int_equal(read_into(f, b, fh, DX_PAGE, elsewhere + DX_RANGE, DX_PAGE), DX_PAGE);
	dx_is(f, DX_RANGE, 2, DX_PAGE, DX_PAGE);
	assert_int_equal(vuf_set_shmem_addr(f->v, VUF_DAX_GPA, DX_WINDOW), 0);
	assert_int_equal(read_into(f, b, fh, 0, AT, DX_PAGE), DX_PAGE);
	assert_int_equal(fz_release(f, b, fh), 0);
}

/* Addresses that cannot be, and memory that is there already: refused or of no effect. */
static void addresses_that_cannot_be(void **state)
{
	struct fx *f = *state;
	struct vu_shmem_addr addr = {.shmid = 1, .gpa = 1ull << 37, .size = DX_WINDOW};
	static const uint64_t bad[][2] = {
		{1ull << 37, 2ull * DX_WINDOW},
		{1ull << 37, UINT64_MAX},
		{UINT64_MAX - DX_PAGE + 1, DX_WINDOW},
		{UINT64_MAX, 1},
	};
	uint64_t a, b, fh, word;

	if (!has_address(f))
		skip();
	two_files(f, &a, &b, &fh);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(vuf_set_shmem_addr(f->v, bad[i][0], bad[i][1]), -EREMOTEIO);
	assert_int_equal(vuf_send_ack(f->v, VU_SET_SHMEM_ADDR, &addr, sizeof(addr), NULL, 0),
			 -EREMOTEIO);
	/* Over guest memory, which goes before: our own requests lie there. */
	(void)vuf_set_shmem_addr(f->v, 0, DX_WINDOW);
	assert_int_equal(fz_read(f, b, fh, 0, &word, 8), 8);
	assert_int_equal(word, dx_stamp(2, 0));
	assert_int_equal(vuf_set_shmem_addr(f->v, VUF_DAX_GPA, DX_WINDOW), 0);
	assert_int_equal(read_into(f, b, fh, 0, AT, DX_PAGE), DX_PAGE);
	assert_int_equal(fz_release(f, b, fh), 0);
}

/* What a READ goes into is taken away, and mapped again, meanwhile. */
static void under_its_feet(void **state)
{
	struct fx *f = *state;
	unsigned int rounds = dx_rules(f)->late ? 20 : 300;
	struct vuf_req *q[8];
	uint64_t a, b, fh, word;

	two_files(f, &a, &b, &fh);
	for (unsigned int i = 0; i < ARRAY_SIZE(q); i++) {
		q[i] = vuf_req_new(f->v, 256, 256);
		assert_non_null(q[i]);
	}
	f->ring = 2;
	for (unsigned int k = 0; k < rounds; k++) {
		for (unsigned int i = 0; i < ARRAY_SIZE(q); i++)
			submit_read(f, q[i], b, fh, 0, AT + i * 65536, 65536);
		vuf_ring_kick(&f->v->ring[1]);
		dx_unmap(f, a, DX_RANGE + k % 8 * DX_PAGE, DX_RANGE / 2);
		dx_map(f, a, 0, DX_RANGE, DX_WRITE, DX_RANGE);
		for (unsigned int i = 0; i < ARRAY_SIZE(q); i++) {
			int r = outcome(f, q[i], FUSE_READ);

			if (r < 0)
				assert_int_equal(r, -EFAULT);
		}
	}
	f->ring = 1;
	assert_int_equal(fz_read(f, b, fh, 0, &word, 8), 8);
	for (unsigned int i = 0; i < ARRAY_SIZE(q); i++)
		vuf_req_free(q[i]);
	assert_int_equal(fz_release(f, b, fh), 0);
}

int main(int argc, char **argv)
{
	const struct dx_test tests[] = {
		DX_TEST(into_a_mapping, NULL),
		DX_TEST(from_a_mapping, NULL),
		DX_TEST(over_two_mappings, NULL),
		DX_TEST(where_nothing_is_mapped, NULL),
		DX_TEST(of_an_earlier_session, NULL),
		DX_TEST(mapped_for_reading, &readonly),
		DX_TEST(behind_the_end_of_the_file, NULL),
		DX_TEST(headers_in_the_window, NULL),
		DX_TEST(the_window_moves, &told),
		DX_TEST(addresses_that_cannot_be, &told),
		DX_TEST(under_its_feet, &two_queues),
	};

	return dx_main(argc, argv, "dax_buffer", tests, ARRAY_SIZE(tests));
}
