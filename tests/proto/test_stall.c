// SPDX-License-Identifier: Apache-2.0
/* A host that does not answer holds up the requests that need it, and no others. */
/*
 * Theory of operation
 *
 * A file system in the share answers nothing for seconds; the pool's threads but one are stuck in it, or
 * those of a queue one after the other, and locks are waited for as far as that is allowed. Meanwhile other requests on the same queue, on another
 * one and on the one for FORGET are timed: 99 of 100 must be quick. What is quick is generous, as the
 * machine may be busy; what is held up would take as long as the stall.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "fx.h"
#include "fz.h"
#include "util.h"

#define STALL_MS 3000
#define QUICK_MS 250
#define LOCKS    24u
#define STUCK    3u

static const struct fx_opts opts = {
	.tmpfs = true,
	.vuf = {.rings = 3, .ring_size = 256},
	.args = {"--thread-pool-size=4", "-o", "posix_lock"},
};

static const struct fx_opts unpooled = {
	.tmpfs = true,
	.vuf = {.rings = 3, .ring_size = 256},
	.args = {"-o", "posix_lock"},
};

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* An UNLINK that waits until the stall is over. */
static struct vuf_req *get_stuck(struct fx *f)
{
	struct vuf_req *q = vuf_req_new(f->v, 128, 256);

	assert_non_null(q);
	vuf_req_begin(q, FUSE_UNLINK, FUSE_ROOT_ID);
	vuf_req_add_str(q, "stall");
	assert_int_equal(vuf_req_submit(q, &f->v->ring[1]), 0);
	vuf_ring_kick(&f->v->ring[1]);
	return q;
}

/* A lock that another owner holds. */
static struct vuf_req *wait_for_lock(struct fx *f, uint64_t node, uint64_t fh, uint64_t owner)
{
	struct vuf_req *q = vuf_req_new(f->v, 256, 256);
	struct fuse_lk_in in = {.fh = fh, .owner = owner, .lk = {0, INT64_MAX, F_WRLCK, 1}};

	assert_non_null(q);
	vuf_req_begin(q, FUSE_SETLKW, node);
	vuf_req_add(q, &in, sizeof(in));
	assert_int_equal(vuf_req_submit(q, &f->v->ring[1]), 0);
	vuf_ring_kick(&f->v->ring[1]);
	return q;
}

/* One of each that needs nothing of what is stuck. @i: which queue. */
static void work(struct fx *f, unsigned int i, uint64_t node, uint64_t fh)
{
	struct fuse_entry_out e;
	struct fuse_attr_out a;
	char buf[16];

	f->ring = i % 3;
	if (f->ring) {
		assert_int_equal(fz_read(f, node, fh, 0, buf, sizeof(buf)), 7);
		assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, "file", &e), 0);
	} else {
		assert_int_equal(fz_getattr(f, node, &a), 0);
		fz_forget(f, FUSE_ROOT_ID, 1);
	}
	f->ring = 1;
}

static void others_go_on(void **state)
{
	struct fx *f = *state;
	struct vuf_req *stuck[STUCK + LOCKS];
	struct fuse_lk_in in;
	struct fuse_open_out o;
	double *took = calloc(200000, sizeof(*took)), end;
	unsigned int n = 0, held = 0;
	uint64_t node;
	int stall;

	fx_need_root();
	assert_non_null(took);
	fx_put(f, "file", "content", 7, 0644);
	node = fz_walk(f, "file");
	assert_int_equal(fz_open(f, node, O_RDWR, &o), 0);
	in = (struct fuse_lk_in){.fh = o.fh, .owner = 1, .lk = {0, INT64_MAX, F_WRLCK, 1}};
	assert_int_equal(fz_call(f, FUSE_SETLK, node, (struct iovec[]){IOV(in)}, 1, NULL, 0, NULL),
			 0);
	stall = fx_stall(f, "stall");
	for (unsigned int i = 0; i < STUCK; i++)
		stuck[held++] = get_stuck(f);
	for (unsigned int i = 0; i < LOCKS; i++)
		stuck[held++] = wait_for_lock(f, node, o.fh, 100 + i);
	end = now_ms() + STALL_MS;
	while (now_ms() < end && n < 200000) {
		double from = now_ms();

		work(f, n, node, o.fh);
		took[n++] = now_ms() - from;
	}
	for (unsigned int i = 0; i < held; i++)
		assert_false(stuck[i]->done);
	qsort(took, n, sizeof(*took), by_value);
	print_message(
		"%u stuck, %u pieces of work meanwhile: p50 %.2f ms, p99 %.2f ms, most %.1f ms\n",
		held, n, took[n / 2], took[n - n / 100 - 1], took[n - 1]);
	assert_true(n > 100);
	assert_true(took[n - n / 100 - 1] < QUICK_MS);
	close(stall);
	/* Each that gets the lock lets go of it by its owner's end: a RELEASE of the file. */
	assert_int_equal(fz_release(f, node, o.fh), 0);
	for (unsigned int i = 0; i < held; i++) {
		if (!stuck[i]->done)
			assert_int_equal(vuf_req_wait(stuck[i], &f->v->ring[1]), 0);
		vuf_req_free(stuck[i]);
	}
	free(took);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {FX_TEST(others_go_on, &opts),
					   FX_TEST(others_go_on, &unpooled)};

	return fx_main(argc, argv, "stall", tests, ARRAY_SIZE(tests));
}
