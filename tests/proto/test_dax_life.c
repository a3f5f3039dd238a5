// SPDX-License-Identifier: Apache-2.0
/* The DAX window in the life of a device, and front-ends that do not serve it as they should. */
/*
 * Theory of operation
 *
 * Whatever the front-end does with its channel, a file is served by READ and WRITE, other requests do not
 * wait, and SETUPMAPPING ends with an errno in bounded time. What the daemon gave up and the front-end
 * did after all must not be in the way later: a MAP over it would be forbidden, and fail the test.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "dx.h"
#include "fd.h"
#include "util.h"

static const struct dx_opts few = {.with = "@(strict|qemu11)"};
static const struct dx_opts with_resets = {.with = "!(nochannel)"};
static const struct dx_opts with_status = {.with = "@(strict|alioth)"};
static const struct dx_opts no_channel = {.with = "nochannel"};
static const struct dx_opts one = {.with = "strict"};
static const struct dx_opts relisten = {.with = "strict", .fx.args = {"--relisten", "--tag=dax"}};
static const struct dx_opts all_of_them = {.with = "!(alioth)", .window = UINT64_MAX};
static const struct dx_opts size_zero = {
	.with = "!(alioth)", .window = UINT64_MAX, .fx.args = {"--dax-window=0"}};
static const struct dx_opts readonly = {.fx.args = {"--readonly"}};
static const struct dx_opts old_guest = {.fx.flags = FX_LINUX_FLAGS};
static const struct dx_opts largest = {.with = "!(nochannel)", .window = 16ull << 30};
static const struct dx_opts smallest = {.with = "!(nochannel)", .window = DX_RANGE};

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000) + ts.tv_nsec / 1000000;
}

/* READ and WRITE serve a file, whatever else happens. */
static void is_served(struct fx *f, uint64_t node, uint64_t seed)
{
	struct fuse_open_out open;
	uint64_t word = 0;

	assert_int_equal(fz_open(f, node, O_RDWR, &open), 0);
	assert_int_equal(fz_read(f, node, open.fh, 8000, &word, 8), 8);
	assert_int_equal(word, dx_stamp(seed, 8000));
	assert_int_equal(fz_write(f, node, open.fh, 8000, &word, 8), 8);
	assert_int_equal(fz_release(f, node, open.fh), 0);
}

/* A SETUPMAPPING of a whole range that is on its way. */
static struct vuf_req *send_setup(struct fx *f, uint64_t node, uint64_t moffset)
{
	struct fuse_setupmapping_in in = {
		.fh = DX_NO_FH,
		.len = DX_RANGE,
		.flags = DX_WRITE,
		.moffset = moffset,
	};
	struct vuf_req *q = vuf_req_new(f->v, 256, 64);

	assert_non_null(q);
	vuf_req_begin(q, FUSE_SETUPMAPPING, node);
	vuf_req_add(q, &in, sizeof(in));
	q->out_len = sizeof(struct fuse_out_header);
	assert_int_equal(vuf_req_submit(q, &f->v->ring[1]), 0);
	vuf_ring_kick(&f->v->ring[1]);
	return q;
}

/* What it ends with, once it has. */
static int ended(struct fx *f, struct vuf_req *q)
{
	int r = vuf_req_wait(q, &f->v->ring[1]);

	assert_int_equal(r, 0);
	assert_int_equal(vuf_req_check(q), 0);
	r = vuf_req_error(q);
	vuf_req_free(q);
	return r;
}

static void what_is_agreed_on(void **state)
{
	struct fx *f = *state;

	assert_true(f->init.flags & FUSE_MAP_ALIGNMENT);
	assert_true(f->init.flags2 & (FX_DAX_FLAGS >> 32));
	assert_int_equal(1u << f->init.map_alignment, DX_PAGE);
	assert_int_equal(vuf_dax_size(f->v), DX_WINDOW);
}

static void without_a_window(void **state)
{
	const uint64_t bits = 1ull << VU_PROTOCOL_F_SHMEM | 1ull << VU_PROTOCOL_F_SHMEM_ALIOTH;
	struct fx *f = *state;
	uint64_t a;

	assert_int_equal(f->v->proto_offered & bits, 0);
	assert_false(f->init.flags & FUSE_MAP_ALIGNMENT);
	assert_false(f->init.flags2 & (FX_DAX_FLAGS >> 32));
	assert_int_equal(f->init.map_alignment, 0);
	dx_file(f, "a", 1, DX_RANGE);
	a = fz_walk(f, "a");
	assert_true(fz_setupmapping(f, a, DX_NO_FH, 0, DX_RANGE, DX_READ, 0) < 0);
	assert_true(fz_removemapping(f, a, &(struct fuse_removemapping_one){0, DX_RANGE}, 1) < 0);
	is_served(f, a, 1);
}

/* The daemon has a window, the front-end no means of it: the guest must not hear of one. */
static void without_a_channel(void **state)
{
	struct fx *f = *state;
	struct fuse_entry_out e;
	uint64_t a;

	assert_true(f->v->proto_offered & 1ull << VU_PROTOCOL_F_SHMEM);
	assert_false(f->init.flags & FUSE_MAP_ALIGNMENT);
	assert_false(f->init.flags2 & (FX_DAX_FLAGS >> 32));
	dx_file(f, "a", 1, DX_RANGE);
	a = fz_walk(f, "a");
	assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, "a", &e), 0);
	assert_false(e.attr.flags & FUSE_ATTR_DAX);
	assert_true(fz_setupmapping(f, a, DX_NO_FH, 0, DX_RANGE, DX_READ, 0) < 0);
	is_served(f, a, 1);
}

/* A guest that knows no DAX, and asks all the same. */
static void a_guest_that_agreed_on_nothing(void **state)
{
	struct fx *f = *state;
	struct fuse_entry_out e;
	uint64_t a;

	assert_false(f->init.flags & FUSE_MAP_ALIGNMENT);
	assert_int_equal(f->init.map_alignment, 0);
	dx_file(f, "a", 1, DX_RANGE);
	a = fz_walk(f, "a");
	assert_int_equal(fz_lookup(f, FUSE_ROOT_ID, "a", &e), 0);
	assert_int_equal(e.attr.flags, 0);
	if (fz_setupmapping(f, a, DX_NO_FH, 0, DX_RANGE, DX_READ, 0) == 0)
		dx_is(f, 0, 1, 0, DX_RANGE);
	is_served(f, a, 1);
}

static void sizes_of_the_window(void **state)
{
	struct fx *f = *state;
	uint64_t a, size = f->opts->vuf.dax_size;

	assert_int_equal(vuf_dax_size(f->v), size);
	dx_file(f, "a", 1, DX_RANGE);
	a = fz_walk(f, "a");
	assert_true(fz_setupmapping(f, a, DX_NO_FH, 0, DX_RANGE, DX_READ, size) < 0);
	dx_map(f, a, 0, DX_RANGE, DX_READ, size - DX_RANGE);
	dx_is(f, size - DX_RANGE, 1, 0, DX_RANGE);
}

static void a_read_only_share(void **state)
{
	struct fx *f = *state;
	uint64_t a;
	char c = 1;

	dx_file(f, "a", 1, DX_RANGE);
	a = fz_walk(f, "a");
	assert_int_equal(fz_setupmapping(f, a, DX_NO_FH, 0, DX_RANGE, DX_WRITE, 0), -EROFS);
	dx_map(f, a, 0, DX_RANGE, DX_READ, 0);
	dx_is(f, 0, 1, 0, DX_RANGE);
	assert_int_equal(vuf_dax_write(f->v, 0, &c, 1), -EFAULT);
	assert_int_equal(fz_setupmapping(f, a, DX_NO_FH, 0, DX_RANGE, DX_WRITE, 0), -EROFS);
	dx_is(f, 0, 1, 0, DX_RANGE);
}

/* A program that runs cannot be opened for writing: it is mapped for reading, and a write is refused. */
static void a_program_that_runs(void **state)
{
	struct fx *f = *state;
	char buf[4] = "", cmd[256];
	uint64_t node;
	pid_t pid;

	snprintf(cmd, sizeof(cmd), "cp /bin/sleep %s", fx_path(f, "prog"));
	assert_int_equal(system(cmd), 0);
	/* Its size has to be what all can map. */
	assert_int_equal(truncate(fx_path(f, "prog"), DX_MIB), 0);
	pid = fork();
	if (pid == 0) {
		execl(fx_path(f, "prog"), "prog", "1000", NULL);
		_exit(127);
	}
	for (unsigned int i = 0; i < 1000; i++) {
		int fd = open(fx_path(f, "prog"), O_RDWR | O_CLOEXEC);

		if (fd < 0)
			break;
		close(fd);
		usleep(2000);
	}
	node = fz_walk(f, "prog");
	assert_int_equal(fz_setupmapping(f, node, DX_NO_FH, 0, DX_MIB, DX_WRITE, 0), -ETXTBSY);
	dx_map(f, node, 0, DX_MIB, DX_READ, 0);
	assert_int_equal(vuf_dax_read(f->v, 1, buf, 3), 0);
	assert_string_equal(buf, "ELF");
	assert_int_equal(vuf_dax_write(f->v, 1, buf, 1), -EFAULT);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	/* Now it can: another mapping in the place of the first. */
	dx_map(f, node, 0, DX_MIB, DX_WRITE, 0);
	assert_int_equal(vuf_dax_write(f->v, 1, buf, 1), 0);
	dx_live(f, 1);
}

/* INIT and DESTROY leave nothing mapped, and the window can be used again. */
static void sessions(void **state)
{
	struct fx *f = *state;
	uint64_t a;

	dx_file(f, "a", 1, 2 * DX_RANGE);
	for (unsigned int i = 0; i < 3; i++) {
		a = fz_walk(f, "a");
		dx_map(f, a, 0, DX_RANGE, DX_WRITE, 0);
		dx_map(f, a, DX_RANGE, DX_RANGE, DX_WRITE, 3 * DX_RANGE);
		dx_is(f, 3 * DX_RANGE, 1, DX_RANGE, DX_RANGE);
		if (i == 1) {
			assert_int_equal(fz_call(f, FUSE_DESTROY, 0, NULL, 0, NULL, 0, NULL), 0);
			dx_live(f, 0);
		}
		assert_int_equal(vuf_fuse_init(f->v, FX_MINOR, f->opts->flags, &f->init), 0);
		dx_live(f, 0);
		dx_is_hole(f, 0, 4 * DX_RANGE);
		assert_true(fz_setupmapping(f, a, DX_NO_FH, 0, DX_RANGE, DX_READ, 0) < 0);
	}
}

/* The device is reset, as when a guest reboots; some front-ends empty the window themselves. */
static void resets(void **state)
{
	struct fx *f = *state;
	uint64_t a;

	dx_file(f, "a", 1, 2 * DX_RANGE);
	for (unsigned int i = 0; i < 3; i++) {
		a = fz_walk(f, "a");
		dx_map(f, a, 0, DX_RANGE, DX_WRITE, 0);
		dx_map(f, a, DX_RANGE, DX_RANGE, DX_WRITE, 3 * DX_RANGE);
		dx_is(f, 3 * DX_RANGE, 1, DX_RANGE, DX_RANGE);
		assert_int_equal(vuf_dax_reset(f->v), 0);
		dx_live(f, 0);
		dx_is_hole(f, 0, 4 * DX_RANGE);
		for (unsigned int k = 0; k < f->v->nrings; k++) {
			uint32_t base = fx_packed() ? VUF_BASE_PACKED : 0;

			vuf_ring_reset(&f->v->ring[k], base);
			assert_int_equal(vuf_ring_start(f->v, k, base), 0);
		}
		assert_int_equal(vuf_fuse_init(f->v, FX_MINOR, f->opts->flags, &f->init), 0);
		fx_settle(f);
	}
}

/* A guest reboots, and nobody resets the device: the status alone, and a new INIT, tell of it. */
static void a_status_of_zero(void **state)
{
	struct fx *f = *state;
	uint64_t a;

	dx_file(f, "a", 1, DX_RANGE);
	for (unsigned int i = 0; i < 3; i++) {
		a = fz_walk(f, "a");
		dx_map(f, a, 0, DX_RANGE, DX_WRITE, DX_RANGE);
		for (unsigned int k = 0; k < f->v->nrings; k++)
			assert_int_equal(vuf_set_state(f->v, VU_SET_VRING_ENABLE, k, 0), 0);
		assert_int_equal(vuf_set_u64(f->v, VU_SET_STATUS, 0), 0);
		dx_is(f, DX_RANGE, 1, 0, DX_RANGE);
		for (unsigned int k = 0; k < f->v->nrings; k++) {
			uint32_t base = fx_packed() ? VUF_BASE_PACKED : 0;

			vuf_ring_reset(&f->v->ring[k], base);
			assert_int_equal(vuf_ring_start(f->v, k, base), 0);
		}
		assert_int_equal(vuf_fuse_init(f->v, FX_MINOR, f->opts->flags, &f->init), 0);
		fx_settle(f);
		dx_live(f, 0);
	}
}

/* Gone with mappings, and with one that is on its way. */
static void disconnects(void **state)
{
	struct fx *f = *state;
	struct vuf_req *q;
	uint64_t a;

	dx_file(f, "a", 1, DX_RANGE);
	a = fz_walk(f, "a");
	dx_map(f, a, 0, DX_RANGE, DX_WRITE, 0);
	q = send_setup(f, a, DX_RANGE);
	vuf_hangup(f->v);
	vuf_req_free(q);
	assert_int_equal(fx_wait_exit(f, FX_WAIT_MS), 0);
}

static void disconnects_while_it_waits(void **state)
{
	struct fx *f = *state;
	uint64_t a, sent = vuf_dax_stats(f->v).requests;
	struct vuf_req *q;
	int64_t start;

	dx_file(f, "a", 1, DX_RANGE);
	a = fz_walk(f, "a");
	vuf_dax_set_mood(f->v, VUF_DAX_HOLD, 0);
	q = send_setup(f, a, 0);
	assert_true(vuf_dax_wait_requests(f->v, sent + 1, FX_WAIT_MS));
	start = now_ms();
	vuf_hangup(f->v);
	vuf_req_free(q);
	assert_int_equal(fx_wait_exit(f, FX_WAIT_MS), 0);
	assert_true(now_ms() - start < 5000);
}

/* With --relisten: the next front-end may be of another kind, and finds nothing of the one before. */
static void one_front_end_after_the_other(void **state)
{
	static const char *const kinds[] = {"strict",       "qemu11",  "crosvm", "nochannel",
					    "qemu11-slots", "culvert", "qemu11", "strict"};
	struct fx *f = *state;
	struct fx_opts *opts = (struct fx_opts *)(uintptr_t)f->opts;
	uint64_t word = 42, node;
	struct fuse_open_out open;

	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (i) {
			if (vuf_dax_wrong(f->v))
				fail_msg("forbidden by %s: %s", kinds[i - 1], vuf_dax_wrong(f->v));
			fx_drop(f);
			opts->vuf.rules = vuf_rules_named(kinds[i]);
			fx_connect(f);
			fx_up(f, true);
		}
		dx_file(f, "a", i, 65536);
		node = fz_walk(f, "a");
		is_served(f, node, i);
		if (!dx_rules(f)->shmem)
			continue;
		dx_map(f, node, 0, DX_RANGE, DX_WRITE, DX_RANGE);
		dx_is(f, DX_RANGE, i, 0, 65536);
		dx_is_hole(f, 0, DX_RANGE);
		assert_int_equal(fz_open(f, node, O_RDWR, &open), 0);
		assert_int_equal(fz_write(f, node, open.fh, 2 * 65536 - 8, &word, 8), 8);
		assert_int_equal(vuf_dax_read(f->v, DX_RANGE + 2 * 65536 - 8, &word, 8), 0);
		assert_int_equal(word, 42);
	}
	kill(f->pid, SIGTERM);
	assert_int_equal(fx_wait_exit(f, FX_WAIT_MS), 0);
}

/* ---- front-ends that serve badly ---- */

static void refuses_all(void **state)
{
	struct fx *f = *state;
	uint64_t a;

	dx_file(f, "a", 1, DX_RANGE);
	a = fz_walk(f, "a");
	vuf_dax_set_mood(f->v, VUF_DAX_REFUSE, 0);
	for (unsigned int i = 0; i < 20; i++)
		assert_true(fz_setupmapping(f, a, DX_NO_FH, 0, DX_RANGE, DX_WRITE, 0) < 0);
	is_served(f, a, 1);
	assert_int_equal(vuf_dax_stats(f->v).live, 0);
	/* Only for a while. */
	vuf_dax_set_mood(f->v, VUF_DAX_SERVE, 0);
	dx_map(f, a, 0, DX_RANGE, DX_WRITE, 0);
	dx_is(f, 0, 1, 0, DX_RANGE);
}

/* Others do not wait, FORGET least of all. */
static void answers_late(void **state)
{
	struct fx *f = *state;
	uint64_t a, sent = vuf_dax_stats(f->v).requests;
	struct vuf_req *q;

	dx_file(f, "a", 1, DX_RANGE);
	a = fz_walk(f, "a");
	vuf_dax_set_mood(f->v, VUF_DAX_LATE, 400);
	q = send_setup(f, a, 0);
	assert_true(vuf_dax_wait_requests(f->v, sent + 1, FX_WAIT_MS));
	is_served(f, a, 1);
	fz_forget(f, a, 0);
	assert_false(q->done);
	assert_int_equal(ended(f, q), 0);
	vuf_dax_set_mood(f->v, VUF_DAX_SERVE, 0);
	dx_is(f, 0, 1, 0, DX_RANGE);
	dx_live(f, 1);
}

/* Never: an errno, in bounded time; and when it serves again, so do we. */
static void never_answers(void **state)
{
	struct fx *f = *state;
	int64_t start = now_ms();
	struct vuf_req *q[2];
	uint64_t a;

	dx_file(f, "a", 1, DX_RANGE);
	a = fz_walk(f, "a");
	vuf_dax_set_mood(f->v, VUF_DAX_MUTE, 0);
	q[0] = send_setup(f, a, 0);
	q[1] = send_setup(f, a, DX_RANGE);
	is_served(f, a, 1);
	assert_true(ended(f, q[0]) < 0);
	assert_true(ended(f, q[1]) < 0);
	assert_true(now_ms() - start < 30000);
	/* What is owed never comes, and nobody waits as long again and again. */
	is_served(f, a, 1);
	f->fds = 0;
}

/* It gave up, and the front-end does it after all. */
static void answers_when_nobody_waits(void **state)
{
	struct fx *f = *state;
	struct vuf_req *q;
	uint64_t a;
	int r;

	dx_file(f, "a", 1, DX_RANGE);
	dx_file(f, "b", 2, DX_RANGE);
	a = fz_walk(f, "a");
	vuf_dax_set_mood(f->v, VUF_DAX_HOLD, 0);
	q = send_setup(f, a, 0);
	r = ended(f, q);
	assert_true(r < 0);
	is_served(f, a, 1);
	vuf_dax_set_mood(f->v, VUF_DAX_SERVE, 0);
	/* Its place holds what nobody asked for: another file has to get there. */
	for (unsigned int i = 0; i < 100 && r < 0; i++) {
		r = fz_setupmapping(f, fz_walk(f, "b"), DX_NO_FH, 0, DX_RANGE, DX_WRITE, 0);
		usleep(20000);
	}
	assert_int_equal(r, 0);
	dx_is(f, 0, 2, 0, DX_RANGE);
	dx_live(f, 1);
}

static void hangs_up_the_channel(void **state)
{
	struct fx *f = *state;
	struct vuf_req *q;
	uint64_t a;

	dx_file(f, "a", 1, DX_RANGE);
	a = fz_walk(f, "a");
	dx_map(f, a, 0, DX_RANGE, DX_WRITE, 5 * DX_RANGE);
	vuf_dax_set_mood(f->v, VUF_DAX_HANGUP, 0);
	q = send_setup(f, a, 0);
	assert_true(ended(f, q) < 0);
	assert_true(fz_setupmapping(f, a, DX_NO_FH, 0, DX_RANGE, DX_WRITE, 0) < 0);
	(void)fz_removemapping(f, a, &(struct fuse_removemapping_one){5 * DX_RANGE, DX_RANGE}, 1);
	is_served(f, a, 1);
	fz_forget(f, a, 1);
	a = fz_walk(f, "a");
	is_served(f, a, 1);
	/* The channel is gone from its descriptors. */
	f->fds = 0;
}

static void answers_something_else(void **state)
{
	struct fx *f = *state;
	uint64_t a;

	dx_file(f, "a", 1, DX_RANGE);
	a = fz_walk(f, "a");
	vuf_dax_set_mood(f->v, VUF_DAX_GARBAGE, 0);
	assert_true(fz_setupmapping(f, a, DX_NO_FH, 0, DX_RANGE, DX_WRITE, 0) < 0);
	is_served(f, a, 1);
	f->fds = 0;
}

/*
 * The front-end stops a ring while a MAP is on its way to it. It does not look at the channel then, or is
 * slow; the ring has to stop all the same, with its request answered.
 */
static void drained_while_it_waits(void **state)
{
	struct fx *f = *state;
	bool one_thread = dx_rules(f)->one_thread;
	struct vuf_req *q;
	uint32_t base;
	int64_t start;
	uint64_t a;
	int r = -1;

	dx_file(f, "a", 1, DX_RANGE);
	dx_file(f, "b", 2, DX_RANGE);
	a = fz_walk(f, "a");
	for (unsigned int round = 0; round < 3; round++) {
		uint64_t sent = vuf_dax_stats(f->v).requests;

		if (one_thread)
			pthread_mutex_lock(&f->v->lock);
		else
			vuf_dax_set_mood(f->v, VUF_DAX_HOLD, 0);
		q = send_setup(f, a, 0);
		if (one_thread)
			assert_true(vuf_dax_pending(f->v, FX_WAIT_MS));
		else
			assert_true(vuf_dax_wait_requests(f->v, sent + 1, FX_WAIT_MS));
		start = now_ms();
		assert_int_equal(vuf_ring_stop(f->v, 1, &base), 0);
		assert_true(now_ms() - start < 5000);
		assert_int_equal(vuf_req_wait(q, &f->v->ring[1]), 0);
		assert_int_equal(vuf_req_check(q), 0);
		assert_true(vuf_req_error(q) < 0);
		vuf_req_free(q);
		if (one_thread)
			pthread_mutex_unlock(&f->v->lock);
		else
			vuf_dax_set_mood(f->v, VUF_DAX_SERVE, 0);
		assert_int_equal(vuf_ring_start(f->v, 1, base), 0);
		/* The MAP is done now, or will be; the daemon must know. */
		r = -1;
		for (unsigned int i = 0; i < 100 && r < 0; i++) {
			r = fz_setupmapping(f, fz_walk(f, "b"), DX_NO_FH, 0, DX_RANGE, DX_WRITE, 0);
			usleep(20000);
		}
		assert_int_equal(r, 0);
		dx_is(f, 0, 2, 0, DX_RANGE);
		dx_live(f, 1);
		dx_unmap(f, a, 0, DX_RANGE);
		dx_live(f, 0);
	}
}

/* A ring stops with mappings there, as when a guest is paused: they stay. */
static void paused(void **state)
{
	struct fx *f = *state;
	uint32_t base[2];
	uint64_t a;

	dx_file(f, "a", 1, DX_RANGE);
	a = fz_walk(f, "a");
	dx_map(f, a, 0, DX_RANGE, DX_WRITE, 0);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(vuf_ring_stop(f->v, i, &base[i]), 0);
	dx_is(f, 0, 1, 0, DX_RANGE);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(vuf_ring_start(f->v, i, base[i]), 0);
	dx_is(f, 0, 1, 0, DX_RANGE);
	dx_live(f, 1);
	dx_unmap(f, a, 0, DX_RANGE);
	dx_live(f, 0);
}

/* Nothing is left over of ten thousand mappings. */
static void ten_thousand(void **state)
{
	struct fx *f = *state;
	unsigned int n = dx_rules(f)->late ? 300 : fx_sanitized() ? 2000 : 10000, fds, maps;
	uint64_t node[2], before;

	dx_file(f, "a", 1, 2 * DX_RANGE);
	dx_file(f, "b", 2, DX_RANGE);
	node[0] = fz_walk(f, "a");
	node[1] = fz_walk(f, "b");
	dx_map(f, node[0], 0, DX_RANGE, DX_WRITE, 0);
	dx_map(f, node[1], 0, DX_RANGE, DX_WRITE, DX_RANGE);
	dx_unmap(f, node[0], 0, 2 * DX_RANGE);
	dx_live(f, 0);
	fx_settle(f);
	fds = fx_count_fds(f);
	maps = fx_count_maps(f, "");
	before = vuf_dax_stats(f->v).maps;
	for (unsigned int i = 0; i < n; i++) {
		dx_map(f, node[i % 2], 0, DX_RANGE, DX_WRITE, i % 16 * DX_RANGE);
		dx_unmap(f, node[i % 2], i % 16 * DX_RANGE, DX_RANGE);
	}
	dx_live(f, 0);
	assert_int_equal(vuf_dax_stats(f->v).maps, before + n);
	/* A front-end may take the last region out of its table some time after it has answered. */
	for (unsigned int i = 0; i < 500 && fx_count_fds(f) > fds; i++)
		usleep(20000);
	assert_true(fx_count_fds(f) <= fds);
	/* The heap may have got a piece more, and threads that started late have stacks. */
	assert_true(fx_count_maps(f, "") <= maps + 64);
}

int main(int argc, char **argv)
{
	const struct dx_test tests[] = {
		DX_TEST(what_is_agreed_on, NULL),
		{"without_a_window", without_a_window, &all_of_them},
		{"a_window_of_nothing", without_a_window, &size_zero},
		DX_TEST(without_a_channel, &no_channel),
		DX_TEST(a_guest_that_agreed_on_nothing, &old_guest),
		{"the_largest_window", sizes_of_the_window, &largest},
		{"the_smallest_window", sizes_of_the_window, &smallest},
		DX_TEST(a_read_only_share, &readonly),
		DX_TEST(a_program_that_runs, NULL),
		DX_TEST(sessions, NULL),
		DX_TEST(resets, &with_resets),
		DX_TEST(a_status_of_zero, &with_status),
		DX_TEST(disconnects, NULL),
		DX_TEST(disconnects_while_it_waits, NULL),
		DX_TEST(one_front_end_after_the_other, &relisten),
		DX_TEST(refuses_all, NULL),
		DX_TEST(answers_late, NULL),
		DX_TEST(never_answers, &few),
		DX_TEST(answers_when_nobody_waits, &one),
		DX_TEST(hangs_up_the_channel, NULL),
		DX_TEST(answers_something_else, NULL),
		DX_TEST(drained_while_it_waits, NULL),
		DX_TEST(paused, NULL),
		DX_TEST(ten_thousand, NULL),
	};

	return dx_main(argc, argv, "dax_life", tests, ARRAY_SIZE(tests));
}
