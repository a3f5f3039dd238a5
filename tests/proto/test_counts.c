// SPDX-License-Identifier: Apache-2.0
/* What the whole daemon does for a batch of requests, counted: system calls, notifications, descriptors. */
/*
 * Theory of operation
 *
 * A batch is DEPTH requests and one kick. The next one is sent when the queue's thread has gone to sleep
 * again, which its epoll_wait(2) tells, so that each batch is found whole. All system calls of all threads
 * are counted (sc.h), and every one must be accounted for: what the operation needs, and for a batch one
 * write(2) at most, to notify the driver if it sleeps, and one epoll_wait(2). So memory that is asked for, a lock that is waited
 * for, or another call per request fails the test. Only the watcher is left out, that looks at busy queues
 * by the clock, by rt_sigtimedwait(2); while it sleeps a batch may arm and disarm the timer that is to wake it.
 *
 * Counting makes calls some hundred times slower. A request that takes several milliseconds that way loses its
 * queue to another thread (queue_spare.c), on a busy machine any may. A batch in which that shows is sent again.
 *
 * Without polling, which would find the batch before it is kicked; and in a sandbox, so that the process is
 * not a child of ours, whose end sc.h would take for itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fx.h"
#include "fz.h"
#include "sc.h"
#include "util.h"

#define DEPTH   32u
#define BATCHES 4u
#define ODD_MAX 100u
#define ENTRIES 8u

static const struct fx_opts opts = {
	.vuf = {.rings = 2, .ring_size = 256},
	.args = {"--poll-us=0", "--sandbox=namespace"},
};

/* A system call that an operation needs, and how often. */
struct need {
	int nr;
	unsigned int n;
};

struct batch {
	struct fx *f;
	struct sc *sc;
	struct vuf_req *q[DEPTH];
};

/* One request of a batch. */
typedef void (*make_fn)(struct vuf_req *q, unsigned int i, const void *arg);

static void send(struct batch *b, unsigned int n, make_fn make, const void *arg, int error)
{
	struct vuf_ring *ring = &b->f->v->ring[1];
	unsigned int asleep = sc_count(b->sc, SYS_epoll_wait);

	for (unsigned int i = 0; i < n; i++) {
		make(b->q[i], i, arg);
		assert_int_equal(vuf_req_submit(b->q[i], ring), 0);
	}
	for (unsigned int i = 0; i < n; i++) {
		struct fuse_out_header *out = (void *)b->q[i]->out;

		assert_int_equal(vuf_req_wait(b->q[i], ring), 0);
		assert_null(vuf_req_check(b->q[i]));
		if (b->q[i]->used)
			assert_int_equal(out->error, error);
	}
	assert_true(sc_wait(b->sc, SYS_epoll_wait, asleep + 1));
}

/*
 * Whether a thread was started, ended, or took a queue over while that was counted, or the watcher was woken, or two
 * threads met at a lock. Of the two threads of a queue that was taken over both go to sleep.
 */
static bool disturbed(const struct sc *sc)
{
	return sc_count(sc, SYS_prctl) || sc_count(sc, SYS_clone) || sc_count(sc, SYS_clone3) ||
	       sc_count(sc, SYS_madvise) || sc_count(sc, SYS_exit) || sc_count(sc, SYS_tgkill) ||
	       sc_count(sc, SYS_timer_create) || sc_count(sc, SYS_futex) ||
	       sc_count(sc, SYS_epoll_wait) > 1;
}

/* Whether what was counted in one batch is @need and no more. */
static bool is_exact(const struct sc *sc, const struct need *need)
{
	unsigned int notified = sc_count(sc, SYS_write), armed = sc_count(sc, SYS_timer_settime);
	unsigned int known = notified + armed + sc_count(sc, SYS_rt_sigtimedwait) + 1;

	if (notified > 1 || armed > 2 || sc_count(sc, SYS_epoll_wait) != 1)
		return false;
	for (; need->n; need++) {
		known += need->n;
		if (sc_count(sc, need->nr) != need->n)
			return false;
	}
	return sc_count(sc, -1) == known;
}

/* Each batch needs @need for all of its requests together. */
static void expect(struct batch *b, const char *what, make_fn make, const void *arg, int error,
		   const struct need *need)
{
	unsigned int good = 0, warm = 0, odd = 0;

	/* Whatever is done once only; a file's handle is read until its birth is a while ago. */
	do {
		sc_reset(b->sc);
		send(b, DEPTH, make, arg, error);
	} while (sc_count(b->sc, SYS_name_to_handle_at) || !warm++);
	while (good < BATCHES && odd < ODD_MAX) {
		sc_reset(b->sc);
		send(b, DEPTH, make, arg, error);
		if (is_exact(b->sc, need))
			good++;
		else if (disturbed(b->sc))
			odd++;
		else
			break;
	}
	if (good < BATCHES) {
		print_message("%s, a batch of %u:\n", what, DEPTH);
		sc_print(b->sc);
	}
	assert_int_equal(good, BATCHES);
}

/* ---- requests ---- */

struct file {
	uint64_t node;
	uint64_t fh;
};

static void make_read(struct vuf_req *q, unsigned int i, const void *arg)
{
	const struct file *file = arg;
	const struct fuse_read_in in = {.fh = file->fh, .offset = i * 4096u, .size = 4096};

	vuf_req_begin(q, FUSE_READ, file->node);
	assert_int_equal(vuf_req_add(q, &in, sizeof(in)), 0);
}

static void make_write(struct vuf_req *q, unsigned int i, const void *arg)
{
	static const uint8_t bytes[4096];
	const struct file *file = arg;
	const struct fuse_write_in in = {.fh = file->fh, .offset = i * 4096u, .size = 4096};

	vuf_req_begin(q, FUSE_WRITE, file->node);
	assert_int_equal(vuf_req_add(q, &in, sizeof(in)), 0);
	assert_int_equal(vuf_req_add(q, bytes, sizeof(bytes)), 0);
}

static void make_getattr(struct vuf_req *q, unsigned int i, const void *arg)
{
	const struct fuse_getattr_in in = {0};
	const struct file *file = arg;

	(void)i;
	vuf_req_begin(q, FUSE_GETATTR, file->node);
	assert_int_equal(vuf_req_add(q, &in, sizeof(in)), 0);
}

static void make_lookup(struct vuf_req *q, unsigned int i, const void *arg)
{
	(void)i;
	vuf_req_begin(q, FUSE_LOOKUP, FUSE_ROOT_ID);
	assert_int_equal(vuf_req_add_str(q, arg), 0);
}

static void make_forget(struct vuf_req *q, unsigned int i, const void *arg)
{
	const struct fuse_forget_in in = {.nlookup = 1};
	const struct file *file = arg;

	(void)i;
	vuf_req_begin(q, FUSE_FORGET, file->node);
	assert_int_equal(vuf_req_add(q, &in, sizeof(in)), 0);
}

static void make_readdirplus(struct vuf_req *q, unsigned int i, const void *arg)
{
	const struct file *file = arg;
	const struct fuse_read_in in = {.fh = file->fh, .size = 1u << 16};

	(void)i;
	vuf_req_begin(q, FUSE_READDIRPLUS, file->node);
	assert_int_equal(vuf_req_add(q, &in, sizeof(in)), 0);
}

/* ---- tests ---- */

static void batch_begin(struct batch *b, struct fx *f)
{
	*b = (struct batch){.f = f};
	for (unsigned int i = 0; i < DEPTH; i++) {
		b->q[i] = vuf_req_new(f->v, 8192, 1u << 17);
		assert_non_null(b->q[i]);
	}
	b->sc = sc_new(fx_serving_pid(f));
}

/* The daemon goes with its counter. */
static void batch_end(struct batch *b)
{
	b->f->dirty = true;
	for (unsigned int i = 0; i < DEPTH; i++)
		vuf_req_free(b->q[i]);
	fx_drop(b->f);
	assert_int_equal(fx_wait_exit(b->f, FX_WAIT_MS), 0);
	sc_free(b->sc);
}

static void file_requests_make_one_call(void **state)
{
	static uint8_t bytes[DEPTH * 4096];
	struct fx *f = *state;
	struct fuse_entry_out e;
	struct fuse_open_out o;
	unsigned int fds;
	struct file file;
	struct batch b;

	fx_need_root();
	fx_put(f, "file", bytes, sizeof(bytes), 0644);
	assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, "file", &e), 0);
	assert_int_equal(fz_open(f, e.nodeid, O_RDWR, &o), 0);
	file = (struct file){e.nodeid, o.fh};
	batch_begin(&b, f);
	fds = fx_count_fds(f);
	expect(&b, "READ", make_read, &file, 0, (struct need[]){{SYS_preadv2, DEPTH}, {0}});
	expect(&b, "WRITE", make_write, &file, 0, (struct need[]){{SYS_pwrite64, DEPTH}, {0}});
	expect(&b, "GETATTR", make_getattr, &file, 0, (struct need[]){{SYS_statx, DEPTH}, {0}});
	expect(&b, "LOOKUP", make_lookup, "file", 0, (struct need[]){{SYS_statx, DEPTH}, {0}});
	expect(&b, "LOOKUP of nothing", make_lookup, "none", -ENOENT,
	       (struct need[]){{SYS_statx, DEPTH}, {0}});
	assert_int_equal(fx_count_fds(f), fds);
	batch_end(&b);
}

static void listings_make_one_call_an_entry(void **state)
{
	struct fx *f = *state;
	struct fuse_entry_out e;
	struct fuse_open_out o;
	struct file dir;
	char name[64];
	struct batch b;

	fx_need_root();
	assert_int_equal(mkdir(fx_path(f, "dir"), 0755), 0);
	for (unsigned int i = 0; i < ENTRIES; i++) {
		snprintf(name, sizeof(name), "dir/%u", i);
		fx_put(f, name, "", 0, 0644);
	}
	assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, "dir", &e), 0);
	assert_int_equal(fz_opendir(f, e.nodeid, &o), 0);
	dir = (struct file){e.nodeid, o.fh};
	batch_begin(&b, f);
	/* All of it fits; "." and ".." are not looked at. One lseek(2) goes back to its beginning. */
	expect(&b, "READDIRPLUS", make_readdirplus, &dir, 0,
	       (struct need[]){{SYS_getdents64, 2 * DEPTH},
			       {SYS_statx, DEPTH * ENTRIES},
			       {SYS_lseek, DEPTH},
			       {0}});
	batch_end(&b);
}

static void forgetting_makes_none(void **state)
{
	struct fx *f = *state;
	struct fuse_entry_out e;
	struct batch b;
	struct file file;

	fx_need_root();
	fx_put(f, "file", "", 0, 0644);
	/* Enough of them. */
	for (unsigned int i = 0; i < (BATCHES + ODD_MAX + 2) * DEPTH; i++)
		assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, "file", &e), 0);
	file = (struct file){.node = e.nodeid};
	batch_begin(&b, f);
	expect(&b, "FORGET", make_forget, &file, 0, (struct need[]){{0}});
	batch_end(&b);
}

/* A guest that asks for something now and then: the watcher sleeps through it. */
static void a_request_alone_wakes_no_other(void **state)
{
	const struct need need[] = {{SYS_statx, 1}, {0}};
	const struct file root = {.node = FUSE_ROOT_ID};
	struct fx *f = *state;
	unsigned int good = 0;
	struct batch b;

	fx_need_root();
	batch_begin(&b, f);
	for (unsigned int i = 0; i < ODD_MAX && good < BATCHES; i++) {
		/* Many ticks of the watcher's. */
		usleep(100000);
		sc_reset(b.sc);
		send(&b, 1, make_getattr, &root, 0);
		good += is_exact(b.sc, need) && sc_count(b.sc, SYS_timer_settime) == 2 &&
			!sc_count(b.sc, SYS_rt_sigtimedwait);
	}
	if (good < BATCHES)
		sc_print(b.sc);
	assert_int_equal(good, BATCHES);
	batch_end(&b);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		FX_TEST(file_requests_make_one_call, &opts),
		FX_TEST(listings_make_one_call_an_entry, &opts),
		FX_TEST(forgetting_makes_none, &opts),
		FX_TEST(a_request_alone_wakes_no_other, &opts),
	};

	return fx_main(argc, argv, "counts", tests, ARRAY_SIZE(tests));
}
